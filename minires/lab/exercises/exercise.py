"""What an exercise is, and its result."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minires.core.tensor import Tensor
from minires.errors import MiniResError
from minires.lab.explaining import described, hint_for

NOT_YET = "Not yet: write your answer into the cell above, run it, and run this cell again."


class Wrong(Exception):
    """An answer is wrong; the message says what, and which idea is missing."""


@dataclass(frozen=True)
class Checked:
    """The result of an exercise: true if it passed.

    Attributes:
        name, title: Of the exercise.
        passed: Whether the answer is right.
        message: What is right, or what is wrong.
    """

    name: str
    title: str
    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return f"{'✓' if self.passed else '✗'} {self.title}: {self.message}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The result as notebooks show it."""
        from minires.lab.markup import frame, paragraphs

        return frame(self.passed, self.title, paragraphs(self.message))


@dataclass(frozen=True)
class Exercise:
    """An exercise of a lesson.

    Attributes:
        name: "lesson.exercise".
        title: What is asked for, in a few words.
        run: Takes the answers; returns what to say if they are right, and raises Wrong if they are not.
    """

    name: str
    title: str
    run: Callable[..., str]

    def check(self, *answers: object) -> Checked:
        """The result for these answers. Raises MiniResError for another number of them."""
        wanted = list(inspect.signature(self.run).parameters)
        if len(wanted) != len(answers):
            raise MiniResError(f"lab check: {self.name} takes {', '.join(wanted)}; {len(answers)} were given")
        try:
            if any(each is None or each is ... for each in answers):
                raise NotImplementedError
            passed, message = True, self.run(*answers)
        except Wrong as problem:
            passed, message = False, str(problem)
        except NotImplementedError:
            passed, message = False, NOT_YET
        except Exception as error:
            passed, message = False, _explained(error, answers)
        return Checked(self.name, self.title, passed, message)


def _explained(error: Exception, answers: tuple[object, ...]) -> str:
    """The error of the student's code, with the line, and a hint."""
    files = [Path(f.__code__.co_filename) for each in answers for f in _functions(each)]
    texts = [described(error, file) for file in files] or [described(error, Path("?"))]
    return f"Your code raises {max(texts, key=len)}.\n{hint_for(error)}"  # the longest names the line


def _functions(answer: object) -> list[Any]:
    if inspect.isfunction(answer):
        return [answer]
    return [each for each in vars(answer).values() if inspect.isfunction(each)] if inspect.isclass(answer) else []


# -- for the checks ---------------------------------------------------------------------------------------------------


def array(value: Any, what: str) -> np.ndarray:
    """An answer as an array of numbers. Raises Wrong if it is something else; Ellipsis or None is no answer yet."""
    if value is None or value is ...:
        raise NotImplementedError
    found = np.asarray(value.numpy() if isinstance(value, Tensor) else value)
    if found.dtype.kind not in "biuf":
        raise Wrong(f"{what} should be an array of numbers; it is a {type(value).__name__}.")
    return found


def like(value: Any, expected: np.ndarray, what: str, hints: dict[str, np.ndarray] | None = None) -> None:
    """Raises Wrong if an answer is not `expected`. `hints` are typical wrong answers by what to say of them."""
    found = array(value, what)
    if found.shape != expected.shape:
        raise Wrong(f"{what} has shape {found.shape}, and should have {expected.shape}.")
    if np.allclose(found, expected, rtol=1e-6, atol=1e-8):
        return
    for hint, wrong in (hints or {}).items():
        if wrong.shape == found.shape and np.allclose(found, wrong, rtol=1e-6, atol=1e-8):
            raise Wrong(f"{what} is wrong. {hint}")
    worst = np.unravel_index(np.argmax(np.abs(found - expected)), expected.shape)
    where = f" at {tuple(map(int, worst))}" if expected.ndim else ""
    raise Wrong(f"{what} is {found[worst]:.6g}{where}, and should be {expected[worst]:.6g} for the numbers tried here.")


def several(answer: Any, count: int, what: str) -> list[Any]:
    """An answer that should be a tuple of so many. Raises Wrong if it is not."""
    if answer is None or answer is ...:
        raise NotImplementedError
    if not isinstance(answer, (tuple, list)) or len(answer) != count:
        raise Wrong(f"{what}: return {count} values, separated by commas.")
    return list(answer)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Normally distributed float64 numbers, the same ones each time."""
    return np.asarray(np.random.default_rng((seed, *shape)).standard_normal(shape))
