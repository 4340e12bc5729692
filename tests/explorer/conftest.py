"""A real browser for the explorer's page, and the page to open in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minires.explorer.bundle import block_page
from tests.explorer.served import served, small_session

LOOKED_FOR = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium driven by selenium; the test is skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs a browser: selenium is not installed")
    browser = next(filter(None, map(shutil.which, LOOKED_FOR)), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("needs a browser: chromium and chromedriver (on Debian: apt install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    options.add_argument("--headless=new")
    options.add_argument("--disable-dev-shm-usage")
    options.add_argument("--hide-scrollbars")
    options.add_argument("--lang=en")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's does not work for root, as in a container
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield opened
    opened.quit()


@pytest.fixture(scope="session")
def block_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the exported block page, a file."""
    path: Path = tmp_path_factory.mktemp("explorer") / "index.html"
    path.write_text(block_page(), "utf-8")
    return path.as_uri()


@pytest.fixture(scope="session")
def address() -> tuple[str, int]:
    """The explorer with a small network, served on a free port of this machine by the real server."""
    pytest.importorskip("waitress", reason="waitress is not installed")
    return served(small_session())
