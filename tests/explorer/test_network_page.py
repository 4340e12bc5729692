"""The network view in a real browser: served, and as a static copy opened from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("selenium", reason="needs a browser: selenium is not installed")

from minires.explorer.export import export
from tests.explorer.page import NARROW, WIDE, Page
from tests.explorer.served import small_session

pytestmark = pytest.mark.slow  # a real browser: seconds to start, and a second or so for each test

DRAWN = "document.querySelectorAll('.card').length === 3 && document.querySelectorAll('.charts figure').length === 3"
READY = f"{DRAWN} && document.querySelector('.network[data-settled]')"


@pytest.fixture
def page(chromium: Any, address: tuple[str, int]) -> Page:
    return Page(chromium, f"http://{address[0]}:{address[1]}/")


@pytest.fixture(scope="module")
def recorded(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Page:
    paths = export(tmp_path_factory.mktemp("site"), small_session())
    return Page(chromium, paths[0].as_uri())


def percents(page: Page) -> list[str]:
    found: list[str] = page.js("return [...document.querySelectorAll('.guess .percent')].map((e) => e.innerText)")
    return found


@pytest.mark.parametrize(("lang", "size"), [("en", WIDE), ("zh", NARROW)])
def test_blocks_classes_and_pictures(page: Page, lang: str, size: tuple[int, int]) -> None:
    page.resize(size)
    page.open(f"lang={lang}&view=network")
    page.wait(READY)
    whole = percents(page)
    page.press("block-1")
    page.wait(f"document.querySelectorAll('.card.off').length === 1 && {READY}")
    assert percents(page) != whole
    page.press("block-0")
    page.wait(f"document.querySelectorAll('.card.off').length === 2 && {READY}")
    page.press("all-on")
    page.wait(f"document.querySelectorAll('.card.off').length === 0 && {READY}")
    assert percents(page) == whole
    for overlay in ("gradient", "cam"):
        page.press(f"overlay-{overlay}")
        assert page.all(".photograph canvas")
    page.press("overlay-none")
    assert not page.all(".photograph canvas")
    page.js("document.querySelectorAll('.guess')[3].click()")
    page.wait(f"document.querySelectorAll('.guess')[3].getAttribute('aria-pressed') === 'true' && {READY}")
    page.js("document.querySelectorAll('.sample')[1].click()")
    page.wait(f"document.querySelectorAll('.sample')[1].getAttribute('aria-pressed') === 'true' && {READY}")
    page.assert_clean()
    address, text = page.state(), page.text()
    page.open(address)
    page.wait(READY)
    assert page.text() == text


def test_an_upload_and_what_is_refused(page: Page, tmp_path: Path) -> None:
    page.open("lang=en&view=network")
    page.wait(READY)
    photograph = tmp_path / "photograph.png"
    Image.fromarray(np.random.default_rng(9).integers(0, 256, (50, 60, 3), np.uint8)).save(photograph)
    before = len(page.all(".sample"))
    page.by_id("upload").send_keys(str(photograph))
    page.wait(f"document.querySelectorAll('.sample').length === {before + 1} && {READY}")
    page.assert_clean()
    (tmp_path / "text.png").write_text("no image")
    page.by_id("upload").send_keys(str(tmp_path / "text.png"))
    page.wait("document.querySelector('.network .notice') !== null")
    assert "cannot be read as an image" in page.text(".network .notice")
    for more in (1, 1 << 20):  # beyond 16 MiB: refused by our server, or by the one below it
        (tmp_path / "large.png").write_bytes(bytes((16 << 20) + more))
        page.by_id("upload").send_keys(str(tmp_path / "large.png"))
        page.wait("document.querySelector('.network .notice')?.textContent.includes('16 MiB')")
        assert len(page.text(".network .notice").splitlines()) == 1
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(photograph)
    page.by_id("upload").send_keys(str(photograph))  # the server goes on
    page.wait(f"document.querySelectorAll('.sample').length === {before + 2} && {READY}")


def test_another_site_is_refused(page: Page, block_file: str) -> None:
    other = Page(page.driver, block_file)
    other.open()
    page.driver.set_script_timeout(20)
    for headers in ("{}", "{'X-MiniRes': '1'}"):
        script = f"""const done = arguments[0];
        const asked = fetch("{page.address}api/network", {{ headers: {headers} }});
        asked.then((r) => done(r.status), (e) => done("refused"))"""
        assert page.driver.execute_async_script(script) == "refused"
    page.driver.get_log("browser")
    page.open("lang=en&view=network")
    page.wait(READY)


@pytest.mark.parametrize(("lang", "size"), [("en", NARROW), ("zh", WIDE)])
def test_the_static_copy(recorded: Page, lang: str, size: tuple[int, int]) -> None:
    recorded.resize(size)
    recorded.open(f"lang={lang}&view=network")
    recorded.wait(READY)
    whole = percents(recorded)
    for block in range(3):
        recorded.press(f"block-{block}")
        recorded.wait(f"document.querySelectorAll('.card.off').length === 1 && {READY}")
        assert percents(recorded) != whole
    assert recorded.state().endswith("off=2")
    recorded.assert_clean()
    recorded.press("view-block")
    recorded.press("go-next")
    assert recorded.step() == 1
    recorded.assert_clean()
