"""Grades a class that was defined in a cell of a notebook, or anywhere else in the running program.

A file is graded in a process of its own (`grading.py`). A class of a cell uses names of other cells, which no other
process has, so its checks run here. Whoever runs the cell can interrupt it.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minires.core.function import Function
from minires.errors import MiniResError
from minires.lab.grading import Grade, collected
from minires.lab.grading_process import Ended
from minires.lab.grading_worker import CannotGrade, graded, student_op


def grade_class(found: type[Any], example: Callable[[], Any] | None = None) -> Grade:
    """The grade of one subclass of Function; `example` as in a file, for an op that the grader does not know.

    Raises:
        MiniResError: If the class is no subclass of Function.
    """
    if not issubclass(found, Function):
        raise MiniResError(
            f"lab grade: {found.__name__} is no op: write class {found.__name__}(minires.Function), with forward and "
            "backward"
        )
    began = time.monotonic()
    try:
        ops, notes = student_op(found, example)
        if ops:
            records = [*graded(ops, notes, _file(found), stops_at=(KeyboardInterrupt,))]
        else:
            records = [{"problem": f"There is nothing to grade. {' '.join(notes)}".strip(), "hint": _NOTHING}]
    except CannotGrade as problem:
        records = [{"problem": str(problem), "hint": problem.hint}]
    return collected(found.__name__, [*records, {"done": True}], Ended("", "", [], time.monotonic() - began))


_NOTHING = (
    "Name the class as the op (ReLU, MaxPool2d, …), or pass example=, a function that returns (how to make the op, a "
    "list of inputs): lab.grade(Swish, example=lambda: (lambda: Swish(1.5), [numpy.ones(3)]))"
)


def _file(found: type[Any]) -> Path:
    """Where the class's methods are written; of a cell the name that the notebook gave it."""
    for method in vars(found).values():
        if inspect.isfunction(method):
            return Path(method.__code__.co_filename)
    return Path("?")
