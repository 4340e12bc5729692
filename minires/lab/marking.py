"""Marks for a whole class: every file of a folder is graded, and a table is written that a spreadsheet reads.

minires lab grade --all handed-in --csv marks.csv
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from minires.errors import MiniResError
from minires.files import atomic_write
from minires.lab.grader import grade
from minires.lab.grading import FULL_MARK, Grade

COLUMNS = ("file", "mark", "out of", "bonus", "classes", "problem", "look next at", "seconds")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with one of these a spreadsheet takes a text for a formula


def handed_in(folder: str | Path) -> list[Path]:
    """The Python files and notebooks in the folder and below it, sorted, without what is hidden or cached by Python.

    Raises:
        MiniResError: If there is no such folder, or no such file in it.
    """
    top = Path(folder)
    if not top.is_dir():
        raise MiniResError(f"lab grade: {folder} is no folder; name the one with your students' files")
    found = [path for path in sorted(top.rglob("*")) if path.is_file() and _is_meant(path.relative_to(top))]
    files = [path for path in found if path.suffix.lower() in (".py", ".ipynb")]
    if not files:
        raise MiniResError(f"lab grade: there is no Python file in {folder}")
    return files


def _grade(file: Path, time_limit: float | None) -> Grade:
    if file.suffix.lower() == ".py":
        return grade(file, time_limit)
    hint = "Ask for the class in a file of its own. A cell that begins with %%writefile relu.py writes it."
    return Grade(str(file), (), "A notebook cannot be graded.", hint)


def _is_meant(path: Path) -> bool:
    return not any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def grade_all(
    folder: str | Path,
    time_limit: float | None = None,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Grade]:
    """The grades of all files of a folder, in the order of their names.

    Args:
        folder: As for `handed_in`.
        time_limit: Seconds that each file may take, 60 unless it is given.
        jobs: How many are graded at once; as many as there are processors unless it is given.
        progress: Is told (how many are done, of how many).

    Raises:
        MiniResError: As `handed_in` does, and for a time limit that is no positive number.
    """
    files = handed_in(folder)
    grades = []
    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:  # each file runs in a process of its own
        try:
            for found in pool.map(lambda file: _grade(file, time_limit), files):
                grades.append(found)
                if progress is not None:
                    progress(len(grades), len(files))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return grades


def write_csv(grades: Sequence[Grade], folder: str | Path, path: str | Path) -> None:
    """Write a row for each grade, files named relative to the folder. Raises MiniResError if it cannot be written.

    The byte order mark tells spreadsheets that it is UTF-8. A text that they would take for a formula begins with an
    apostrophe: names and messages come from students.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(COLUMNS)
    table.writerows(list(_row(found, Path(folder))) for found in grades)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode("utf-8-sig"))


def _row(found: Grade, folder: Path) -> Iterator[str | float]:
    yield _safe(Path(found.path).relative_to(folder).as_posix())
    yield from (found.mark, FULL_MARK, found.bonus)
    yield _safe(" ".join(op.name for op in found.ops))
    yield _safe(" ".join([found.problem, *found.notes]).strip())
    yield _safe(found.next)
    yield found.seconds


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def as_table(grades: Sequence[Grade], folder: str | Path) -> str:
    """The marks as text, a line for each file."""
    names = [Path(found.path).relative_to(folder).as_posix() for found in grades]
    width = max(map(len, names))
    lines = [
        f"{name:<{width}}  {found.mark:>4.3g}/{FULL_MARK}  {found.next or 'nothing is left to look at'}".replace(
            "\n", " "
        )
        for name, found in zip(names, grades, strict=True)
    ]
    mean = sum(found.mark for found in grades) / len(grades)
    return "\n".join([*lines, "", f"{len(grades)} files, {sum(g.is_full for g in grades)} full marks, mean {mean:.1f}"])
