"""The lessons run from beginning to end; answers pass, and each typical mistake is told what is wrong with it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from minires import lab
from minires.studies.published import published
from tests.docs import lessons

pytest.importorskip("jupytext")
pytest.importorskip("nbclient")
NAMES = lessons.names()


@pytest.mark.slow  # a kernel for each lesson, which trains networks
@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_runs_and_its_exercises_grade_themselves(name: str, tmp_path: Path) -> None:
    notebook = lessons.with_answers(name)
    lessons.execute(notebook, tmp_path)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if any(tag.startswith("grade-") for tag in tags):  # nobody has written an answer yet
            assert "Not yet" in lessons.shown(cell) or "This is where your work begins" in lessons.shown(cell)
    results = lessons.graded(notebook)
    for each in results:
        if each.after == "answer":
            assert each.passed, each.text
        else:
            assert not each.passed
            assert each.promised
            assert each.promised in each.text, each.text
    answers = Counter(each.exercise for each in results if each.after == "answer")
    mistakes = Counter(each.exercise for each in results if each.after == "mistake")
    assert answers == dict.fromkeys(lessons.EXERCISES, 1)
    assert set(mistakes) == set(lessons.EXERCISES)


@pytest.mark.slow  # ResNet-18, once for each of its blocks
def test_the_photograph_is_named_with_the_published_weights(data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    published = data_root / "weights" / "resnet18_imagenet.pth"
    (tmp_path / "cache" / "resnet18-f37072fd.pth").symlink_to(published.resolve())
    notebook = lessons.with_answers("8-photograph")
    lessons.execute(notebook, tmp_path)
    texts = [each["text"] for cell in notebook.cells for each in cell.get("outputs", []) if "text" in each]
    assert not any("cannot be had" in text for text in texts)
    assert all(each.passed for each in lessons.graded(notebook) if each.after == "answer")


@pytest.mark.slow  # reads what the run above would print
def test_without_weights_the_lesson_says_what_it_shows_instead(tmp_path: Path) -> None:
    notebook = lessons.with_answers("8-photograph")
    notebook.cells = [cell for cell in notebook.cells if "graded" not in cell.metadata][:7]
    lessons.execute(notebook, tmp_path)
    text = "".join(each.get("text", "") for cell in notebook.cells for each in cell.get("outputs", []))
    assert "ResNet-18's weights cannot be had" in text
    assert "So this run shows ResNet-32 and a handwritten digit" in text


# Exercises whose check takes no more than a second; ops are graded, and networks trained, in the kernels above.
QUICK = [
    ("1-tensors-and-graph", (1, 2)),
    ("2-skip-connection", (1, 2, 3)),
    ("3-convolution", (1, 2)),
    ("4-batch-norm", (1, 2)),
    ("5-pooling", (1,)),
    ("6-gradient-checks", (1, 2, 3)),
    ("8-photograph", (1, 2, 3)),
]


@pytest.mark.parametrize(("name", "exercises"), QUICK)
def test_answers_pass_and_mistakes_are_named_without_a_kernel(name: str, exercises: tuple[int, ...]) -> None:
    namespace = {"study": published("gradient-flow"), **lessons.definitions(name)}
    for exercise in exercises:
        *mistakes, answer = lessons.check_here(name, exercise, namespace)
        assert answer.passed, answer.text
        for each in mistakes:
            assert not each.passed
            assert each.promised in each.text, each.text


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_has_three_exercises_and_shows_no_answer(name: str) -> None:
    path = lessons.LESSONS / f"{name}.md"
    for exercise in lessons.EXERCISES:
        assert len(lessons.cells(path, f"exercise-{exercise}")) == 1
        assert len(lessons.cells(path, f"grade-{exercise}")) == 1
    text = path.read_text("utf-8")
    for cell in lessons.cells(lessons.LESSONS / "answers" / f"{name}.md", "answer-1"):
        assert cell.source not in text
    assert "answers/" not in text


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_of_code_installs(name: str) -> None:
    first = next(cell for cell in lessons.cells(lessons.LESSONS / f"{name}.md") if cell.cell_type == "code")
    assert first.metadata["tags"] == ["install"]
    assert '%pip install --quiet "minires[all]"' in first.source


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_of_a_lesson_take_45_minutes(name: str) -> None:
    text = (lessons.LESSONS / f"{name}.md").read_text("utf-8")
    assert sum(map(int, re.findall(r"^## .* \((\d+) minutes\)$", text, re.MULTILINE))) == 45


def test_every_exercise_is_in_a_lesson() -> None:
    text = "".join((lessons.LESSONS / f"{name}.md").read_text("utf-8") for name in NAMES)
    assert Counter(re.findall(r'lab\.check\("([\w.-]+)"', text)) == dict.fromkeys(lab.EXERCISES, 1)
