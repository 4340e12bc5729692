"""The exercises of "Gradient checks, and breaking the engine"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from minires.errors import MiniResError
from minires.lab.exercises.exercise import Exercise, Wrong, array, like, normal
from minires.lab.mistakes import MISTAKES, break_engine

# An engine that is broken in a way that the student finds out.
_PATIENTS = {1: "average-pool-forgets-to-divide", 2: "batch-variance-as-constant", 3: "zero-padded-max-pool"}
_MUST_NOTICE = ("zero-padded-max-pool", "average-pool-forgets-to-divide", "relu-derivative-one-at-zero")


def mystery(number: int) -> AbstractContextManager[None]:
    """A context manager in which the engine has one of the lab's mistakes: which one, the student finds out.

    Raises:
        MiniResError: If there is no such patient.
    """
    if number not in _PATIENTS:
        raise MiniResError(f"lab mystery: there are patients {', '.join(map(str, _PATIENTS))}, and no {number!r}")
    return break_engine(_PATIENTS[number])


def _numeric(numeric_gradient: Callable[..., Any]) -> str:
    """(f(x + h e) − f(x − h e)) / 2h for each element e, which for f = Σ x³ is 3x² + h²."""
    h = 0.01
    x = normal(2, 3)
    given = x.copy()
    found = array(numeric_gradient(lambda each: float((each**3).sum()), given, h), "numeric_gradient(f, x, h)")
    if not np.array_equal(given, x):
        raise Wrong("x is another array afterwards. Put each number back, or change a copy.")
    one_sided = "You look to one side only: take f(x + h) and f(x − h), and divide by 2h. The error is then h², not h."
    wider = "The two points are 2h apart: divide by 2h."
    like(
        found,
        3 * x**2 + h**2,
        "the numeric gradient of Σ x³",
        {one_sided: 3 * x**2 + 3 * x * h + h**2, wider: 2 * (3 * x**2 + h**2)},
    )
    return "central differences, element by element, and x is left alone."


def _diagnosis(answer: Mapping[int, Any]) -> str:
    """Which mistake each patient has."""
    for number, name in _PATIENTS.items():
        if answer.get(number) in (None, ...):
            raise NotImplementedError
        if answer[number] not in MISTAKES:
            raise Wrong(f"no mistake is called {answer[number]!r}; there are {', '.join(MISTAKES)}.")
        if answer[number] != name:
            raise Wrong(
                f"patient {number} does not have {answer[number]}. Compare its table with the one that you get in "
                f"lab.break_engine({answer[number]!r}): they differ."
            )
    return "all three patients are diagnosed."


def _tests(engine_is_right: Callable[[], Any]) -> str:
    """A test that passes on the right engine and fails on three broken ones."""
    found = engine_is_right()
    if found is None or found is ...:
        raise NotImplementedError
    if not found:
        raise Wrong("your test fails on the right engine: it would accuse an innocent.")
    for name in _MUST_NOTICE:
        with break_engine(name):
            try:
                noticed = not engine_is_right()
            except Exception:  # an error is noticed too
                noticed = True
        if not noticed:
            raise Wrong(f"your test passes on an engine with {name}: {MISTAKES[name].title}.")
    return "it passes on the right engine, and notices each of three mistakes."


EXERCISES = (
    Exercise("check.numeric", "A numeric gradient", _numeric),
    Exercise("check.diagnosis", "Three patients", _diagnosis),
    Exercise("check.tests", "A test that notices", _tests),
)
