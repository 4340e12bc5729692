"""What a gradient check found: verdicts on numbers and arrays, and what it takes to explain them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from minires.gradcheck.numeric import Step


class Verdict(str, Enum):
    """On one number, or the worst of several. In this order, the last is the worst.

    PASS: analytic and numeric gradient agree. KINK: there is no derivative here, and the analytic value is the one that
    the op's convention names, or lies between the one-sided slopes. ROUNDING: they agree, but so roughly can the number
    be measured that this says little. VACUOUS: the gradient is zero whatever the backward pass does, and no way was
    found to check it. WRONG: they differ by more than every error that was estimated.
    """

    PASS = "PASS"
    KINK = "KINK"
    ROUNDING = "ROUNDING"
    VACUOUS = "VACUOUS"
    WRONG = "WRONG"

    def __str__(self) -> str:
        return self.value

    @property
    def rank(self) -> int:
        """0 for PASS … 4 for WRONG."""
        return list(Verdict).index(self)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of several; of none VACUOUS."""
    return max(verdicts, key=lambda verdict: verdict.rank, default=Verdict.VACUOUS)


@dataclass(frozen=True)
class Element:
    """One number of a gradient, or one projection of an array's gradient on a random direction.

    index: of the number; None for a projection. error: by how much `numeric` may be off, and `analytic` by its own
    rounding. left, right: one-sided slopes, where they were measured. reason: of a verdict that is not PASS.
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
    between_slopes: bool = False  # a KINK that nobody declared: any value between the slopes would have done

    @property
    def difference(self) -> float:
        """analytic − numeric."""
        return self.analytic - self.numeric

    @property
    def vanishes(self) -> bool:
        """Whether it is zero as far as it can be measured: then a backward pass of zeros would agree."""
        return self.verdict is not Verdict.KINK and abs(self.numeric) <= self.error


@dataclass(frozen=True)
class Curve:
    """The sweep behind one element, to draw the error of the difference against the step."""

    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class ArrayResult:
    """One input or parameter.

    name: "weight", or "weight, order 2" for a second derivative. elements: what was measured. note: what to know of a
    verdict ("zero here: each op passes alone"). guess: what the mistake might be. curve: of the worst element.
    """

    name: str
    shape: tuple[int, ...]
    elements: tuple[Element, ...]
    verdict: Verdict
    note: str = ""
    guess: str = ""
    curve: Curve | None = None
    number: int | None = None  # which variable of the problem it is; None if several

    @property
    def worst_element(self) -> Element | None:
        """Of the worst verdict, that with the largest difference."""
        return max(self.elements, key=lambda e: (e.verdict.rank, _size(e)), default=None)

    def count(self, verdict: Verdict) -> int:
        """How many elements got it."""
        return sum(element.verdict is verdict for element in self.elements)

    def matrix(self, what: str) -> np.ndarray:
        """ "analytic" or "numeric" in the array's shape; NaN where it was not measured."""
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
    """An op that is wrong when it is checked alone, with the very numbers it had.

    op: its class. number: which operation of the forward pass, from 0. line: "file.py:12: source" that applied it.
    defined: where its backward is written. module: the dotted name of the module that applied it, if any.
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
