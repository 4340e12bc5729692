"""Lessons as notebooks: reads them, puts the answers in, and executes them in a kernel of their own."""

from __future__ import annotations

import ast
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LESSONS = ROOT / "docs" / "lessons"
EXERCISES = (1, 2, 3)


@dataclass(frozen=True)
class Graded:
    """What a grading cell showed: for which exercise, after which cell, and what that cell's comment promises."""

    exercise: int
    after: str
    text: str
    promised: str

    @property
    def passed(self) -> bool:
        """A grade begins with the class and its mark, another result with a tick."""
        return self.text.startswith("✓") or bool(re.match(r"\w+: 20/20", self.text))


def names() -> list[str]:
    """The lessons in order, such as "2-skip-connection"."""
    return sorted(path.stem for path in LESSONS.glob("[0-9]*.md"))


def cells(path: Path, tag: str | None = None) -> list[Any]:
    """The cells of a notebook, or its code cells with this tag."""
    import jupytext

    notebook = jupytext.read(path)
    return [cell for cell in notebook.cells if tag is None or tag in cell.metadata.get("tags", [])]


def with_answers(name: str) -> Any:
    """The lesson as it is, and behind it for each exercise the answer and every mistake, each with the grading cell.

    The answer runs once more at the end, since pictures and the next exercise may use it.
    """
    import nbformat

    lesson, answers = LESSONS / f"{name}.md", LESSONS / "answers" / f"{name}.md"
    notebook = nbformat.v4.new_notebook(cells=cells(lesson))
    for exercise in EXERCISES:
        [grading] = cells(lesson, f"grade-{exercise}")
        [answer] = cells(answers, f"answer-{exercise}")
        mistakes = cells(answers, f"mistake-{exercise}")
        for kind, cell in [("answer", answer), *(("mistake", each) for each in mistakes)]:
            result = nbformat.v4.new_code_cell(grading.source, metadata={"graded": (exercise, kind, cell.source)})
            notebook.cells += [nbformat.v4.new_code_cell(cell.source), result]
        pictures = cells(lesson, f"picture-{exercise}")
        notebook.cells += [nbformat.v4.new_code_cell(cell.source) for cell in (answer, grading, *pictures)]
    return notebook


def execute(notebook: Any, folder: Path) -> None:
    """Run all cells in a fresh kernel, in this folder; an exception in a cell is raised.

    `folder`/cache is the cache of downloaded weights. Nobody answers at the proxy: a lesson works without a network.
    """
    from nbclient import NotebookClient

    nowhere = "http://127.0.0.1:9"
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MINIRES_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",  # the arrays are tiny
        "https_proxy": nowhere,
        "HTTPS_PROXY": nowhere,
    }
    client = NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)


def graded(notebook: Any) -> list[Graded]:
    """What the grading cells behind the lesson showed."""
    found = []
    for cell in notebook.cells:
        if "graded" in cell.metadata:
            exercise, kind, source = cell.metadata["graded"]
            promised = re.search(r"# says: (.*)", source)
            found.append(Graded(exercise, kind, shown(cell), promised[1] if promised else ""))
    return found


def shown(cell: Any) -> str:
    """The text of the cell's last result."""
    return cell.outputs[-1]["data"]["text/plain"] if cell.outputs and "data" in cell.outputs[-1] else ""


# -- without a kernel -------------------------------------------------------------------------------------------------


def definitions(name: str) -> dict[str, Any]:
    """What the lesson's cells import and define, without anything that they compute."""
    import minires

    namespace: dict[str, Any] = {"__name__": "lesson", "mr": minires}
    for cell in cells(LESSONS / f"{name}.md"):
        if cell.cell_type == "code" and "install" not in cell.metadata.get("tags", []):
            source = re.sub(r"^%.*$", "", cell.source, flags=re.MULTILINE)
            kept = [each for each in ast.parse(source).body if isinstance(each, _DEFINITIONS)]
            exec(compile(ast.Module(kept, []), name, "exec"), namespace)
    return namespace


_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)


def check_here(name: str, exercise: int, namespace: dict[str, Any]) -> list[Graded]:
    """What the exercise's grading cell gives for each mistake and, last, for the answer, in this process."""
    answers = LESSONS / "answers" / f"{name}.md"
    [grading] = cells(LESSONS / f"{name}.md", f"grade-{exercise}")
    call = re.sub(r"^result = ", "", grading.source).splitlines()[0]
    found = []
    for kind in ("mistake", "answer"):
        for cell in cells(answers, f"{kind}-{exercise}"):
            exec(compile(cell.source, "answer", "exec"), namespace)
            promised = re.search(r"# says: (.*)", cell.source)
            found.append(Graded(exercise, kind, str(eval(call, namespace)), promised[1] if promised else ""))
    return found
