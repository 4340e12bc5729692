"""What a gradient check found: verdicts on numbers and arrays, and the data that explain them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from minires.gradcheck.line import Step


class Verdict(str, Enum):
    """The verdict on one number, or the worst verdict of several. `meaning` explains each; the last is the worst."""

    PASS = "PASS"
    KINK = "KINK"
    ROUNDING = "ROUNDING"
    VACUOUS = "VACUOUS"
    WRONG = "WRONG"

    def __str__(self) -> str:
        return self.value

    @property
    def meaning(self) -> str:
        """What the verdict says."""
        return {
            "PASS": "the analytic and the numeric gradient agree",
            "KINK": "there is no derivative here; the analytic value is the documented one, or lies between the "
            "one-sided slopes",
            "ROUNDING": "they agree, but the number could be measured so roughly that this says little",
            "VACUOUS": "the gradient is zero whatever backward does, and no way was found to check it",
            "WRONG": "they differ by more than the tolerances and all estimated errors together",
        }[self.value]

    @property
    def rank(self) -> int:
        """0 for PASS … 4 for WRONG."""
        return list(Verdict).index(self)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of several verdicts; VACUOUS if there is none."""
    return max(verdicts, key=lambda verdict: verdict.rank, default=Verdict.VACUOUS)


@dataclass(frozen=True)
class Element:
    """One number of a gradient, or one projection of an array's gradient on a random direction.

    Attributes:
        index: Where the number stands in its array; None for a projection.
        analytic, numeric: The value that backward gave, and the numerical derivative.
        error: Estimated error of `numeric`, and of `analytic` by its own rounding, together.
        verdict, reason: The verdict, and why it is not PASS, or "".
        method: How `numeric` was computed.
        left, right: One-sided slopes, if they were measured.
        between_slopes: Whether the number is at an undeclared kink, where any value between the slopes is accepted.
    """

    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    error: float
    verdict: Verdict
    method: str
    reason: str = ""
    left: float | None = None
    right: float | None = None
    between_slopes: bool = False

    @property
    def difference(self) -> float:
        """analytic − numeric."""
        return self.analytic - self.numeric

    @property
    def vanishes(self) -> bool:
        """Whether it is zero as far as it can be measured, so that a backward that returns zeros would agree."""
        return self.verdict is not Verdict.KINK and abs(self.numeric) <= self.error


@dataclass(frozen=True)
class Curve:
    """A sweep of step sizes for one element: the error of its differences against the step is a V-curve."""

    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class ArrayResult:
    """The result for one input or parameter.

    Attributes:
        name: "weight", or "weight, order 2" for a second derivative.
        shape: The shape of the input or parameter.
        elements: The numbers and projections that were checked.
        verdict: The worst of them, unless the ops, checked on their own, say otherwise.
        note: An explanation of the verdict, such as "zero here; each op on its way passes alone".
        guess: What the mistake may be, or "".
        curve: The sweep of the worst element, if one was made.
        number: Which variable of the problem it is; None for several together.
    """

    name: str
    shape: tuple[int, ...]
    elements: tuple[Element, ...]
    verdict: Verdict
    note: str = ""
    guess: str = ""
    curve: Curve | None = None
    number: int | None = None

    @property
    def worst_element(self) -> Element | None:
        """The element of the worst verdict with the largest difference; None if there are no elements."""
        return max(self.elements, key=lambda e: (e.verdict.rank, _size(e)), default=None)

    def count(self, verdict: Verdict) -> int:
        """How many elements have this verdict."""
        return sum(element.verdict is verdict for element in self.elements)

    def matrix(self, what: str) -> np.ndarray:
        """The values of "analytic" or "numeric" in the array's shape; NaN where nothing was measured."""
        array = np.full(self.shape, np.nan)
        for element in self.elements:
            if element.index is not None:
                array[element.index] = getattr(element, what)
        return array


def _size(element: Element) -> float:
    size = abs(element.difference)
    return size if np.isfinite(size) else np.inf


@dataclass(frozen=True)
class Suspect:
    """An op that is WRONG when it is checked on its own, with the numbers that it had in the whole.

    Attributes:
        op: Name of its class.
        number: Its position among all operations of the forward pass, from 0.
        line: "file.py:12: source" of the line that applied it.
        defined: "file.py:34" where its backward is defined.
        module: Dotted name of the module that applied it, or "".
        element: Its worst number.
        guess: What the mistake may be, or "".
    """

    op: str
    number: int
    line: str
    defined: str
    module: str
    element: Element
    guess: str

    def __str__(self) -> str:
        where = f" in {self.module}" if self.module else ""
        guess = f"\n      looks like: {self.guess}" if self.guess else ""
        return f"{self.op}{where}, applied at {self.line}\n      its backward: {self.defined}{guess}"
