"""The exercise pages say what is measured now, and the hand-written ones name what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from minires import lab
from minires.core.random import get_state
from minires.lab import pages
from minires.lab.grading import Grade, Item, OpGrade
from minires.lab.grading_cases import GRADED
from minires.lab.grading_checks import StudentOp, checks_for

pytestmark = pytest.mark.slow  # measures each page again, half a minute in all

DOCS = Path(__file__).resolve().parents[2] / "docs" / "lab"
each_mistake = pytest.mark.parametrize("mistake", lab.MISTAKES.values(), ids=lambda mistake: mistake.name)
NUMBER = re.compile(r"-?\d+\.\d+|-?\d+")
AGAIN = "run `python -m minires.lab.pages docs/lab`"


def assert_same(written: str, measured: str) -> None:
    """The same words, and the same numbers up to the last of four digits, which may differ between machines."""
    assert NUMBER.sub("#", written).split() == NUMBER.sub("#", measured).split(), AGAIN
    old, new = ([float(number) for number in NUMBER.findall(text)] for text in (written, measured))
    assert new == pytest.approx(old, rel=2e-3), AGAIN


@each_mistake
def test_the_page_is_up_to_date(mistake):
    """And to measure leaves the user's random numbers alone."""
    state = get_state()
    measured = pages.page(mistake)
    assert get_state() == state
    assert_same((DOCS / f"{mistake.name}.md").read_text("utf-8"), measured)


@each_mistake
def test_the_page_shows_a_symptom(mistake):
    """A row that differs between the right engine and the broken one."""
    text = (DOCS / f"{mistake.name}.md").read_text("utf-8")
    table = text[text.index("```text\n") :].split("```")[1].splitlines()
    head, *rows = table[3:]
    right, broken = head.index("right"), head.index("broken")
    assert any(row[right:broken].strip() != row[broken:].strip() for row in rows)


def test_the_answers_are_up_to_date():
    assert (DOCS / pages.ANSWERS).read_text("utf-8") == pages.answers()


def test_an_old_page_is_noticed():
    with pytest.raises(AssertionError, match=r"minires\.lab\.pages"):
        assert_same("slope -8.193  4.309", "slope -8.193  4.409")
    with pytest.raises(AssertionError, match=r"minires\.lab\.pages"):
        assert_same("gradient check passes", "gradient check fails")


def test_the_program_writes_every_page(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "MISTAKES", {"missing-unbroadcast": lab.find("missing-unbroadcast")})
    pages.write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"missing-unbroadcast.md", "answers.md"}


def test_the_readme_links_every_page():
    text = (DOCS / "README.md").read_text("utf-8")
    assert all(f"| [{name}]({name}.md) |" in text for name in lab.MISTAKES)
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert all((DOCS / link).exists() for link in links)


def test_the_readme_says_which_mistakes_pass_a_gradient_check():
    """Three of them; an engine that stops with an error has not passed."""
    table = {name: (DOCS / f"{name}.md").read_text("utf-8") for name in lab.MISTAKES}
    blind = {
        name for name, text in table.items() if re.search(r"^gradient check .*passes +passes$", text, re.MULTILINE)
    }
    assert blind == {"biased-running-variance", "zero-padded-max-pool", "shortcut-with-wrong-stride"}
    assert "Three of them pass a gradient check" in (DOCS / "README.md").read_text("utf-8")


def test_grading_names_every_op_and_its_points():
    text = (DOCS / "grading.md").read_text("utf-8")
    assert all(f"`{op.signature}`" in text for op in GRADED.values())
    op = GRADED["Maximum"]  # it has every check
    for check in checks_for(StudentOp("Maximum", op.cases, op.reference, op.reference)):
        assert f"| {check.name} | {check.points}{' extra' if check.bonus else ''} |" in text


def test_the_grades_names_in_the_documentation_are_there():
    grade = Grade("x.py", [OpGrade("Exp", True, [Item("forward", 1.0, 2.0, "why")])])
    text = (DOCS / "grading.md").read_text("utf-8")
    for name in re.findall(r"^grade\.(\w+)", text, re.MULTILINE):
        assert hasattr(grade, name)
