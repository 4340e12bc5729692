"""The deck has ten slides, figures from the study's results, and a page that was rendered from it as it is."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DECK = ROOT / "docs" / "teaching" / "slides.md"
pytest.importorskip("markdown_it")


@pytest.fixture(scope="module")
def slides() -> ModuleType:
    spec = importlib.util.spec_from_file_location("slides", ROOT / "scripts" / "slides.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_ten_slides_with_a_title_each(slides: ModuleType) -> None:
    found = slides.slides(DECK.read_text("utf-8"))
    assert len(found) == 10
    assert all(each.startswith("# ") for each in found)


def test_the_page_was_rendered_from_the_deck_as_it_is(slides: ModuleType) -> None:
    page = slides.page(DECK.read_text("utf-8"), DECK.parent)
    assert DECK.with_suffix(".html").read_text("utf-8") == page, "run python scripts/slides.py"
    assert page.count("<section") == 10
    assert page.count("<svg") == DECK.read_text("utf-8").count("![")
    assert not re.findall(r'(?:src|href)="(?!#)', page)  # needs no other file
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))


def test_the_table_has_the_figures_of_the_study(slides: ModuleType) -> None:
    text = DECK.read_text("utf-8")
    assert slides.with_table(text) == text, "run python scripts/slides.py"
    study = json.loads((ROOT / "docs/studies/results/gradient-flow.json").read_text("utf-8"))
    table = text.split("<!-- begin: gradient-flow -->")[1].split("<!-- end")[0]
    digits = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    rows = [line.strip("|").split("|") for line in table.strip().splitlines()[2:]]
    assert len(rows) == 4
    for name, *numbers in rows:
        kind, norm = name.strip().split(", ")
        config = f"{kind}-{'none' if norm == 'no normalisation' else 'batch'}-he"
        [values] = [each["values"]["200"]["gradients"] for each in study["measurements"] if each["config"] == config]
        for number, value in zip(numbers, (values[0], values[-1]), strict=True):
            shown = float(re.sub(r"·10(.*)", lambda m: f"e{m[1].translate(digits)}", number.strip()))
            assert shown == pytest.approx(value, rel=0.06)


def test_the_story_is_what_was_measured() -> None:
    """Plain: vanishes without normalisation, explodes with batch norm. Residual: first and last layer are near."""
    study = json.loads((ROOT / "docs/studies/results/gradient-flow.json").read_text("utf-8"))
    ends = {
        each["config"]: (each["values"]["200"]["gradients"][0], each["values"]["200"]["gradients"][-1])
        for each in study["measurements"]
        if each["step"] == "start"
    }
    assert max(ends["plain-none-he"]) < 1e-15
    assert ends["plain-batch-he"][0] > 1e10 * ends["plain-batch-he"][1]
    assert 0.1 < ends["residual-none-he"][0] / ends["residual-none-he"][1] < 10
    assert min(ends["residual-none-he"]) > 1e9
    assert ends["residual-batch-he"][0] < 100 * ends["residual-batch-he"][1]
