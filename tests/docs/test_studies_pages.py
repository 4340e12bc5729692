"""docs/studies says what the committed results say, and these what their measurements say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from minires.studies.claims import judge
from minires.studies.report import results_of

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("make_studies", ROOT / "scripts" / "make_studies.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_pages_are_those_of_the_results(script):
    pages = script.pages()
    assert len(pages) > 1
    old = [str(file.relative_to(ROOT)) for file, text in pages.items() if file.read_text("utf-8") != text]
    assert not old, "run python scripts/make_studies.py"
    assert set(script.FOLDER.glob("*.md")) == set(pages), "a page of no study"


def test_the_verdicts_follow_from_the_measurements(script):
    for study, document in script.committed():
        assert document["claims"] == judge(study, results_of(document)), study.name


def test_every_figure_is_there_and_used(script):
    named = {
        name
        for file in script.FOLDER.glob("*.md")
        for name in re.findall(r"\]\((figures/[^)]+)\)", file.read_text("utf-8"))
    }
    there = {f"figures/{file.name}" for file in (script.FOLDER / "figures").iterdir()}
    assert named == there
