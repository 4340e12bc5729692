"""Grades a file, or a class that was defined in a cell of a notebook or anywhere else in the running program.

A file is graded in a process of its own (`grading.py`). A class of a cell uses names of other cells, which no other
process has, so its checks run here. Whoever runs the cell can interrupt it.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from minires.core.function import Function
from minires.errors import MiniResError
from minires.lab.grading import Grade, collected, grade_file
from minires.lab.grading_process import Ended


def grade(
    what: str | Path | type[Any], time_limit: float | None = None, *, example: Callable[[], Any] | None = None
) -> Grade:
    """Grade the ops (Function subclasses) in a student's file, or one class; `docs/lab/grading.md` lists the checks.

    A file runs in another process with a time limit, in seconds, and limits on memory and on what it writes. A crash,
    an endless loop, an exit or a syntax error in it is a result. This guards against accidents. It is no sandbox: the
    file can do on this machine whatever the user can.

    A class, such as one of a notebook's cell, is graded where it is, since it may use names of other cells.

    Args:
        what: The file, or the class.
        time_limit: Seconds that a file may take, 60 unless it is given; a class has no limit.
        example: For a class with an op that the grader does not know: returns (how to make the op, a list of inputs).
            A file has a function of this name.

    Raises:
        MiniResError: If there is no such file, if the class is no Function, if the time limit is not a positive number,
            or if an argument belongs to the other kind.
    """
    if isinstance(what, type):
        if time_limit is not None:
            raise MiniResError("lab grade: a class has no time limit: interrupt the cell, or grade a file")
        return grade_class(what, example)
    if example is not None:
        raise MiniResError("lab grade: example= is for a class; a file has a function example()")
    return grade_file(what, 60.0 if time_limit is None else time_limit)


def grade_class(found: type[Any], example: Callable[[], Any] | None = None) -> Grade:
    """The grade of one subclass of Function; `example` as in a file, for an op that the grader does not know.

    Raises:
        MiniResError: If the class is no subclass of Function.
    """
    # Imported late: the worker is also a program, and a package that has imported its program makes Python warn.
    worker: Any = import_module("minires.lab.grading_worker")
    if not issubclass(found, Function):
        raise MiniResError(
            f"lab grade: {found.__name__} is no op: write class {found.__name__}(minires.Function), with forward and "
            "backward"
        )
    began = time.monotonic()
    try:
        ops, notes = worker.student_op(found, example)
        if ops:
            records = [*worker.graded(ops, notes, _file(found), stops_at=(KeyboardInterrupt,))]
        else:
            records = [{"problem": f"There is nothing to grade. {' '.join(notes)}".strip(), "hint": _NOTHING}]
    except worker.CannotGrade as problem:
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
