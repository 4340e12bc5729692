"""The exercises of the lessons, which grade themselves: a cell says what is wrong, and names the idea that is missing.

    lab.check("skip.two-terms", my_function)        # in the cell below the student's
    lab.EXERCISES                                   # all of them, by name

One file has the exercises of one lesson of `docs/lessons/`. A check compares with the engine, or with numbers that it
measures; it never shows the solution. Ops are graded by `lab.grade`.
"""

from __future__ import annotations

from minires.lab.exercises import (
    batch_norm,
    checking,
    convolution,
    digits,
    photograph,
    pooling,
    skip_connection,
    tensors,
)
from minires.lab.exercises.exercise import Checked, Exercise

_LESSONS = (tensors, skip_connection, convolution, batch_norm, pooling, checking, digits, photograph)
EXERCISES: dict[str, Exercise] = {each.name: each for lesson in _LESSONS for each in lesson.EXERCISES}

__all__ = ["EXERCISES", "Checked", "Exercise", "check"]


def check(name: str, *answers: object) -> Checked:
    """The result of the exercise called `name` for what the student has made; a notebook shows it as a box.

    Errors of the student's code are results too; only an interrupt passes through.

    Raises:
        MiniResError: If there is no such exercise, or if it asks for another number of answers.
    """
    return _find(name).check(*answers)


def _find(name: str) -> Exercise:
    from minires.errors import MiniResError

    if name not in EXERCISES:
        raise MiniResError(f"lab check: no exercise is called {name!r}; there are {', '.join(EXERCISES)}")
    return EXERCISES[name]
