"""Derivatives by evaluating alone: differences over a sweep of steps, and the complex step.

Along a direction d, with F the outputs and u a cotangent, φ(h) = ⟨u, F(x + h·d)⟩:

    central, 3 points   D(h) = (φ(h) − φ(−h)) / 2h                        = φ′ + O(h²)
    central, 5 points   (4 D(h) − D(2h)) / 3                              = φ′ + O(h⁴)
    Richardson          T₀ = D(h₀), D(h₁), …;  Tₘ = (rᵐ² Tₘ₋₁(h/r) − Tₘ₋₁(h)) / (rᵐ² − 1)    (Ridders 1982)
    complex step        Im F(x + i·h·d) / h, h = 10⁻³⁰                    = J d + O(h²)   (Squire & Trapp 1998)

Truncation falls with a power of h, rounding grows with 1/h: the error of an honest gradient, drawn against h, is a
valley, and that of a wrong one has a floor. The complex step subtracts nothing and has no valley, but the function must
be analytic. Every estimate carries its own error estimate, which the verdict is measured by.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.exceptions import ComplexWarning

from minires.gradcheck.interceptors import BranchComparator, BranchRecord, BranchReplayer, Crossing, DivergedError
from minires.gradcheck.problem import Direction, Problem

RATIO = 8.0  # between one step and the next
ALL = range(1, 15)  # powers of the ratio: from 1/8 of the scale down to 2·10⁻¹³ of it
FEW = range(2, 6)  # enough to confirm the complex step by, where all is well
EPS = float(np.finfo(np.float64).eps)
COMPLEX_STEP = 1e-30


@dataclass(frozen=True)
class Estimate:
    """A number that a derivative is believed to be, how far off it may be, and by which method."""

    value: float
    error: float
    method: str

    def renamed(self, method: str) -> Estimate:
        """The same, by a method of another name."""
        return replace(self, method=method)


@dataclass(frozen=True)
class Step:
    """φ at x ± h: the central difference, both one-sided slopes, and the rounding that is in them.

    bend: Σ |uᵢ| · |slope of Fᵢ on the right − on the left|, which no cancelling hides. low, high: Σ of the smaller, and
    of the larger, of each output's two slopes times uᵢ: where each output has a kink of its own, any choice between its
    slopes gives a sum between these. crossings: which operations
    chose differently at +h or −h than at x.
    """

    h: float
    central: float
    right: float
    left: float
    rounding: float
    bend: float
    low: float
    high: float
    crossings: tuple[Crossing, ...] = ()


@dataclass(frozen=True)
class Origin:
    """The point: F there, the choices made, and how far rounding may move each output.

    jitter: when the point is off by its last bits. rounding: when each operation's result is, too.
    """

    problem: Problem
    base: np.ndarray
    notes: Sequence[BranchRecord]
    jitter: np.ndarray
    rounding: np.ndarray


@dataclass(frozen=True)
class _Sides:
    h: float
    plus: np.ndarray
    minus: np.ndarray
    crossings: tuple[Crossing, ...]


class Line:
    """A line through the point: F(x + h·d) for any h, real or complex.

    scale: a power of two as large as what varies in the data. So x + h·d loses nothing to rounding for the steps used.
    least: how large the numbers are that are moved, where they are far smaller than that: the sweep then goes on to
    steps that are small beside them.
    """

    def __init__(self, origin: Origin, direction: Direction, scale: float, least: float = math.inf) -> None:
        self.problem, self.base, self.notes = origin.problem, origin.base, origin.notes
        self.jitter, self.rounding = origin.jitter, origin.rounding
        self.direction = direction
        self.scale = 2.0 ** round(math.log2(scale)) if scale > 0 and math.isfinite(scale) else 1.0
        more = max(0, math.ceil(math.log(self.scale / least, RATIO))) if 0 < least < self.scale else 0
        self.few = [FEW, range(FEW.start + more, FEW.stop + more)][: 1 + (more > 1)]
        self.all = range(ALL.start, ALL.stop + more)

    def around(self, h: float) -> list[float]:
        """The powers of two steps: h itself, and the next larger one."""
        power = math.log(self.scale / h, RATIO)
        return [power - 1, power]

    def at(self, h: complex, interceptor: BranchReplayer | BranchComparator | None) -> np.ndarray:
        """F(x + h·d)."""
        with np.errstate(all="ignore"):
            return self.problem.outputs(self.problem.at(h, self.direction), interceptor)

    def near(self, h: float, interceptor: BranchReplayer | BranchComparator | None) -> np.ndarray:
        """The same; NaN throughout where f refuses, as outside its domain it may."""
        try:
            return self.at(h, interceptor)
        except DivergedError:
            raise
        except Exception:  # a user's function may refuse in any way
            return np.full(self.base.shape, math.nan)

    def sweep(self, u: np.ndarray, frozen: bool = False, powers: Sequence[float] | None = None) -> list[Step]:
        """Steps from large to small. frozen: with the choices made at x, so that nothing can cross.

        Those with a result that is no number (outside the domain) are left out.
        """
        sides = [self._sides(self.scale * RATIO**-k, frozen) for k in (self.all if powers is None else powers)]
        moving = np.zeros(self.base.shape, bool)  # an output that no step moves has no rounding in its difference
        for side in sides:
            moving |= (side.plus != self.base) | (side.minus != self.base)
        steps = [self._step(side, u, moving) for side in sides]
        return [each for each in steps if math.isfinite(each.central)]

    def _sides(self, h: float, frozen: bool) -> _Sides:
        results, crossings = [], []
        for signed in (h, -h):
            if frozen:
                results.append(self._on_the_same_piece(signed))
                continue
            comparer = BranchComparator(self.notes)
            try:
                results.append(self.near(signed, comparer))
            except DivergedError:
                results.append(self.near(signed, None))
                comparer.crossings.append(Crossing(comparer.number, "the function's own Python code", ()))
            crossings += comparer.crossings
        return _Sides(h, results[0], results[1], tuple(crossings))

    def _on_the_same_piece(self, h: float) -> np.ndarray:
        """F(x + h·d) with the choices made at x; NaN where the function's own Python code would choose otherwise."""
        try:
            return self.near(h, BranchReplayer(self.notes))
        except DivergedError:
            return np.full(self.base.shape, math.nan)

    def _step(self, side: _Sides, u: np.ndarray, moving: np.ndarray) -> Step:
        h, plus, minus = side.h, side.plus, side.minus
        with np.errstate(all="ignore"):
            up, down = plus - self.base, self.base - minus  # subtracted first: equal outputs cancel without rounding
            size = EPS * np.maximum(np.maximum(abs(plus), abs(minus)), abs(self.base))
            rounding = float((abs(u) * np.maximum(size, self.rounding) * moving).sum()) / h
            bend = float((abs(u) * abs(up - down)).sum()) / h
            right, left = _dot(u, up) / h, _dot(u, down) / h
            low, high = float(np.minimum(u * up, u * down).sum()) / h, float(np.maximum(u * up, u * down).sum()) / h
            central = _dot(u, plus - minus) / (2 * h)
            return Step(h, central, right, left, rounding, bend, low, high, side.crossings)

    def complex_step(self, u: np.ndarray, share: float = 1.0) -> Estimate | None:
        """The derivative of the smooth piece on which x lies; None where f does not take complex numbers.

        share: of the usual step.
        """
        h = (COMPLEX_STEP if self.scale > 1e-250 else 1e-10) * self.scale * share  # no step may be zero
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", ComplexWarning)
                y = self.at(1j * h, BranchReplayer(self.notes))
        except Exception:  # a user's op may fail in any way on numbers that it was not written for
            return None
        if y.dtype.kind != "c" or y.shape != self.base.shape or not np.isfinite(y).all():
            return None
        slope = y.imag / h
        moving = np.maximum(EPS * abs(self.base), self.jitter) * (slope != 0)
        error = 8 * float((abs(u) * (moving / self.scale + EPS * abs(slope))).sum())
        return Estimate(_dot(u, slope), error, "complex step")


def _dot(u: np.ndarray, v: np.ndarray) -> float:
    """⟨u, v⟩, summed with more digits than it needs; 0 · ∞ counts for nothing where u is 0."""
    return float((u.astype(np.longdouble) * v).sum())


def with_step(steps: Sequence[Step]) -> Estimate | None:
    """The three-point difference at the smaller of two steps; the larger says how far off it is."""
    if len(steps) < 2:
        return None
    large, small = steps
    truncation = abs(large.central - small.central) / (RATIO**2 - 1)
    return Estimate(small.central, truncation + small.rounding, "central difference, 3 points")


def central3(steps: Sequence[Step]) -> Estimate | None:
    """The three-point difference at the step where its estimated error is least."""
    candidates = []
    for large, small in pairwise(steps):  # D(h) is off by about (D(8h) − D(h)) / 63
        truncation = abs(large.central - small.central) / (RATIO**2 - 1)
        candidates.append((small, truncation + _noise(steps) / small.h + small.rounding))
    if not candidates:
        return None
    step, error = min(candidates, key=lambda each: (contradicted(each[0].central, _below(steps, each[0])), each[1]))
    return Estimate(step.central, error, "central difference, 3 points")


def _below(steps: Sequence[Step], step: Step) -> list[Step]:
    return [each for each in steps if each.h < step.h]


def central5(line: Line, u: np.ndarray, steps: Sequence[Step], frozen: bool) -> Estimate | None:
    """The five-point difference, at the step where the Richardson table found least error."""
    best = richardson(steps)
    if best is None:
        return None
    step = min(steps, key=lambda each: abs(each.central - best.value) + each.rounding)
    (double,) = line.sweep(u, frozen, [math.log(line.scale / (2 * step.h), RATIO)])
    value = (4 * step.central - double.central) / 3
    error = abs(value - step.central) / 15 + 2 * (_noise(steps) / step.h + step.rounding)
    return Estimate(value, error, "central difference, 5 points")


def richardson(steps: Sequence[Step]) -> Estimate | None:
    """The entry of the extrapolation table that its neighbours confirm best, and no smaller steps contradict."""
    noise = _noise(steps)
    best: tuple[bool, float, Estimate] | None = None  # contradicted, by error
    above: list[float] = []
    for k, step in enumerate(steps):
        row = [step.central]
        if k and abs(steps[k - 1].h / step.h - RATIO) > 0.01:
            above = []  # a step is missing in between: the table starts anew
        for m, previous in enumerate(above[:4]):
            factor = RATIO ** (2 * (m + 1))
            row.append((factor * row[m] - previous) / (factor - 1))
            error = max(abs(row[m + 1] - row[m]), abs(row[m + 1] - previous)) + noise / step.h + step.rounding
            rank = contradicted(row[m + 1], steps[k + 1 :]), error
            if math.isfinite(error) and (best is None or rank < best[:2]):
                best = *rank, Estimate(row[m + 1], error, "differences, extrapolated")
        above = row
    return best[2] if best is not None else None


def contradicted(value: float, smaller: Sequence[Step]) -> bool:
    """Whether three of the smaller steps after one another agree on another derivative, rounding aside, to a hundredth.

    Steps far larger than x see x² as even, with a slope of zero, and agree on it too.
    """
    for k in range(len(smaller) - 2):
        three = [each.central for each in smaller[k : k + 3]]
        size = max(map(abs, three))
        alike = max(three) - min(three) <= 0.01 * size and smaller[k + 2].rounding <= 0.01 * size
        if size and alike and abs(three[-1] - value) > 0.1 * max(size, abs(value)):
            return True
    return False


def _noise(steps: Sequence[Step]) -> float:
    """How much φ jumps from one point to the next: what is left of φ(h) − 2φ(0) + φ(−h) as h vanishes."""
    small = [abs(each.right - each.left) * each.h / 2 for each in steps[-3:]]
    return sorted(small)[len(small) // 2] if small else math.inf


def without_plateau(steps: Sequence[Step]) -> list[Step]:
    """`steps` without the smallest, if φ is a staircase: flat over tiny steps, but with one slope on both sides of
    larger ones.

    That is a function which rounds to float32 on the way; on a stair, a difference is zero or a whole jump, and the
    jumps are the rounding of the larger steps.
    """
    flat = max((each.h for each in steps if each.right == each.left == 0), default=math.inf)
    sloping = [each for each in steps if each.h > flat and abs(each.right - each.left) < 0.2 * abs(each.right)]
    if not sloping:
        return list(steps)
    least = sloping[-1].h
    near = [each for each in steps if flat < each.h <= RATIO * least]
    stair = min(max(abs(each.right), abs(each.left)) * each.h for each in near)
    jump = max(stair, *(abs(each.right - each.left) * each.h for each in near))
    kept = [each for each in steps if each.h >= least]
    return [replace(each, rounding=max(each.rounding, jump / each.h)) for each in kept]


@dataclass(frozen=True)
class Kink:
    """One-sided slopes that stay apart however small the step."""

    left: float
    right: float
    low: float  # as of Step
    high: float
    error: float


def find_kink(steps: Sequence[Step]) -> Kink | None:
    """The two slopes at a kink in x itself, if there is one.

    For a smooth φ the slopes' difference falls with h until rounding makes it grow again; at a kink it stays. So take
    the smallest steps whose rounding is far below the slopes' difference, and see whether three of them agree on both
    slopes.
    """
    clear = [each for each in steps if each.bend > 100 * each.rounding]
    if len(clear) < 3:
        return None
    last = clear[-3:]
    bends = [each.bend for each in last]
    if min(bends) < 0.9 * max(bends):
        return None
    lows, highs = [each.low for each in last], [each.high for each in last]
    spread = max(max(lows) - min(lows), max(highs) - min(highs))
    end = last[-1]
    return Kink(end.left, end.right, end.low, end.high, spread + end.rounding)


def is_infinite(steps: Sequence[Step]) -> bool:
    """Whether the slopes grow without bound as h vanishes, as those of √|x| at 0 do: √8-fold from one step to the next.

    A jump in f, or rounding, makes them grow as 1/h: eightfold.
    """
    sizes = [max(abs(each.right), abs(each.left)) for each in steps[-6:]]
    ratios = [small / large if large else math.inf for large, small in pairwise(sizes)]
    return len(ratios) == 5 and all(1.5 < ratio < 0.9 * RATIO for ratio in ratios)
