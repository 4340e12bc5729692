"""The documentation site: it builds without a warning, describes every public name, and needs no network to be read."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

import minires as mr

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def public_names() -> set[str]:
    """Every name in `__all__` of a public module, from `minires` on, as tests/core/test_public_names.py has it."""
    found: set[str] = set()
    waiting: list[tuple[str, ModuleType]] = [("minires", mr)]
    while waiting:
        place, module = waiting.pop()
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            found.add(f"{place}.{name}")
            if inspect.ismodule(value) and value.__name__.startswith("minires"):
                waiting.append((f"{place}.{name}", value))
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site: that of MINIRES_SITE, which `make docs` has built, or else one that is built here in the same way."""
    if built := os.environ.get("MINIRES_SITE"):
        return Path(built)
    for library in ("sphinx", "furo", "myst_nb", "sphinx_copybutton"):
        pytest.importorskip(library, reason='the site is built with what pip install "minires[docs]" brings')
    out = tmp_path_factory.mktemp("site")
    options = ["-q", "--fail-on-warning", "--keep-going", "-d", str(out / "doctrees")]
    environment = {**os.environ, "MINIRES_LESSONS": "off", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(out / "html")],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "html"


def inventory(site: Path) -> dict[str, str]:
    """{name: type} of objects.inv: four lines of text, then compressed lines, an object each."""
    _, _, _, _, packed = (site / "objects.inv").read_bytes().split(b"\n", 4)
    lines = zlib.decompress(packed).decode().splitlines()
    return dict(re.findall(r"^(.+?) (\S+:\S+) -?\d+ ", "\n".join(lines), re.MULTILINE))


class Addresses(HTMLParser):
    """The ids of a page, and what it links to and loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.ids.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in ("script", "img", "iframe", "source") and "src" in given:
            self.loaded.append(given["src"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "preload", "icon"):
            self.loaded.append(given["href"])


def check_inventory(site: Path) -> None:
    names = public_names()
    assert len(names) > 1200
    assert names - inventory(site).keys() == set()


def check_links(site: Path) -> None:
    """Every link within the site leads to a file and a heading that exist, and nothing is loaded from elsewhere."""
    pages = {path: Addresses(path.read_text("utf-8")) for path in site.rglob("*.html") if "explorer/" not in str(path)}
    broken = []
    for path, page in pages.items():
        assert not [each for each in page.loaded if urlsplit(each).netloc], f"{path} loads from the network"
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            fragment = unquote(parts.fragment)
            if not target.exists() or (target in pages and fragment and fragment not in pages[target].ids):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert not broken, "\n".join(broken[:40])


def check_formulas_and_source(site: Path) -> None:
    text = (site / "api" / "functional.html").read_text("utf-8")
    conv2d = text[text.index('id="minires.functional.conv2d"') :]
    assert "_modules/minires/ops/conv.html" in conv2d[:6000]
    assert "<math" in conv2d[:9000]
    assert (site / "explorer" / "index.html").is_file()
    assert "conv2d" in (site / "searchindex.js").read_text("utf-8")
    found = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    assert {"install", "tour", "skip-connection", "lessons/index", "lab/README", "studies/gradient-flow"} <= found
    assert {"gradcheck", "cuda", "kernels", "results", "from-pytorch", "contributing", "api/index", "search"} <= found


@pytest.mark.slow(reason="builds the site, some 50 s on two cores: Sphinx reads every docstring and writes 200 pages")
def test_the_site(site: Path) -> None:
    """One test, since with xdist each of several would build the site anew."""
    check_inventory(site)
    check_links(site)
    check_formulas_and_source(site)


def test_every_formula_belongs_to_a_public_name_and_is_typeset(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sphinx", reason='the site is built with what pip install "minires[docs]" brings')
    monkeypatch.syspath_prepend(str(DOCS))
    docstrings, mathml = importlib.import_module("_site.docstrings"), importlib.import_module("_site.mathml")
    names = public_names()
    assert len(docstrings.FORMULAS) > 30
    for name, formula in docstrings.FORMULAS.items():
        assert f"minires.{name}" in names
        assert mathml.translated(formula, block=True).startswith("<math"), name


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("|x| of `x`, x_ and *args.", r"\|x\| of ``x``, x\_ and \*args."),
        ("See `minires.grad`.", "See `minires.grad`."),
        ("`x += 1` adds.", "``x += 1`` adds."),
    ],
)
def test_docstrings_become_restructured_text(docstring: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sphinx", reason='the site is built with what pip install "minires[docs]" brings')
    monkeypatch.syspath_prepend(str(DOCS))
    assert importlib.import_module("_site.docstrings").line_in_rest(docstring) == expected
