"""F along a line through the point: a sweep of step sizes, and the complex step.

Along a direction d, with F the outputs and u a cotangent, φ(h) = ⟨u, F(x + h·d)⟩:

    central difference    D(h) = (φ(h) − φ(−h)) / 2h           = φ′ + O(h²)
    complex step          Im F(x + i·h·d) / h,  h = 10⁻³⁰      = J d + O(h²)      (Squire & Trapp 1998)

The truncation error of a difference falls with a power of h, and its rounding error grows with 1/h. The complex step
subtracts nothing and so has no rounding error of that kind, but F must be analytic.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.exceptions import ComplexWarning

from minires.gradcheck.interceptors import BranchComparator, BranchRecord, BranchReplayer, Crossing, DivergedError
from minires.gradcheck.problem import Direction, Problem

RATIO = 8.0  # between one step and the next
ALL = range(1, 15)  # powers of the ratio: from 1/8 of the scale down to 2·10⁻¹³ of it
FEW = range(2, 6)  # enough to confirm the complex step in the usual case
EPS = float(np.finfo(np.float64).eps)
COMPLEX_STEP = 1e-30


@dataclass(frozen=True)
class Estimate:
    """An estimated derivative, its estimated absolute error, and the method that gave it."""

    value: float
    error: float
    method: str


@dataclass(frozen=True)
class Step:
    """The differences of φ at one step size, from F at x + h·d and at x − h·d.

    Attributes:
        h: Step size.
        central, right, left: Central difference and one-sided differences of φ.
        rounding: Estimated rounding error of these differences.
        bend: Σ |uᵢ| |right slope − left slope| over the outputs Fᵢ; kinks of several outputs cannot cancel in it.
        low, high: Σ of the smaller, and of the larger, of each output's two slopes times uᵢ. If each output has a kink
            of its own, every choice of subgradients gives a sum between these two.
        crossings: The operations that took another branch at +h or −h than at x.
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
    """The point x through which lines go.

    Attributes:
        problem: The function and the point.
        base: F(x), (m,).
        records: The branches that the operations took at x.
        input_rounding: How far each output moves when the numbers of x are off by their last bits, (m,).
        rounding: The same when the result of each operation is off by its last bits too, (m,).
    """

    problem: Problem
    base: np.ndarray
    records: Sequence[BranchRecord]
    input_rounding: np.ndarray
    rounding: np.ndarray


@dataclass(frozen=True)
class _Sides:
    h: float
    plus: np.ndarray
    minus: np.ndarray
    crossings: tuple[Crossing, ...]


class Line:
    """A line through the point: F(x + h·d) for any h, real or complex.

    Args:
        origin: The point.
        direction: d, an array for each variable, or None for a variable that stays where it is.
        scale: The largest step is an eighth of it. It is rounded to a power of two, so that x + h·d is exact.
        least: Size of the numbers that are moved. If it is far below `scale`, the sweep includes smaller steps.
    """

    def __init__(self, origin: Origin, direction: Direction, scale: float, least: float = math.inf) -> None:
        self.origin, self.direction = origin, direction
        self.scale = 2.0 ** round(math.log2(scale)) if scale > 0 and math.isfinite(scale) else 1.0
        more = max(0, math.ceil(math.log(self.scale / least, RATIO))) if 0 < least < self.scale else 0
        self.few_powers = [FEW, range(FEW.start + more, FEW.stop + more)][: 1 + (more > 1)]
        self.all_powers = range(ALL.start, ALL.stop + more)

    def powers_around(self, h: float) -> list[float]:
        """The powers of the ratio that give two steps: the next larger one than h, and h itself."""
        power = math.log(self.scale / h, RATIO)
        return [power - 1, power]

    def sweep(self, u: np.ndarray, fixed_branches: bool = False, powers: Sequence[float] | None = None) -> list[Step]:
        """Differences over a sweep of steps h = scale · 8⁻ᵏ, from large to small, for k in `powers` (default: all).

        Steps with a result that is not finite (outside the domain of F) are left out. fixed_branches: whether
        operations take the branches that they took at x, so that no step crosses a kink.
        """
        sides = [
            self._sides(self.scale * RATIO**-k, fixed_branches) for k in (self.all_powers if powers is None else powers)
        ]
        moving = np.zeros(self.origin.base.shape, bool)  # outputs that no step moves have no rounding error
        for side in sides:
            moving |= (side.plus != self.origin.base) | (side.minus != self.origin.base)
        steps = [self._step(side, u, moving) for side in sides]
        return [each for each in steps if math.isfinite(each.central)]

    def complex_step(self, u: np.ndarray, relative_step: float = 1.0) -> Estimate | None:
        """φ′ = ⟨u, Im F(x + i·h·d)⟩ / h with the branches taken at x; None where f does not take complex numbers.

        relative_step: h as a share of the usual step.
        """
        slope = self._complex_slopes(relative_step)
        if slope is None:
            return None
        base = self.origin.base
        moving = np.maximum(EPS * abs(base), self.origin.input_rounding) * (slope != 0)
        error = 8 * float((abs(u) * (moving / self.scale + EPS * abs(slope))).sum())
        return Estimate(_dot(u, slope), error, "complex step")

    def output_slopes(self) -> np.ndarray:
        """How much each output moves along the line, |J d| (m,), roughly; 0 where rounding moves it as much."""
        h = self.scale * RATIO**-3
        sides = self._sides(h, fixed_branches=True)
        with np.errstate(all="ignore"):
            moved = np.nan_to_num(abs(sides.plus - sides.minus) / 2, posinf=0.0)
        moved[moved < 100 * np.maximum(self.origin.rounding, EPS * abs(self.origin.base))] = 0.0
        exact = self._complex_slopes()
        return moved / h if exact is None else np.maximum(moved / h, abs(exact))

    def _complex_slopes(self, relative_step: float = 1.0) -> np.ndarray | None:
        """Im F(x + i·h·d) / h, the slope of each output, (m,); None where f does not take complex numbers."""
        base = self.origin.base
        h = (COMPLEX_STEP if self.scale > 1e-250 else 1e-10) * self.scale * relative_step  # h must not underflow
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", ComplexWarning)
                y = self._evaluate(1j * h, BranchReplayer(self.origin.records))
        except Exception:  # a user's op may fail in any way on numbers that it was not written for
            return None
        if y.dtype.kind != "c" or y.shape != base.shape or not np.isfinite(y).all():
            return None
        slopes: np.ndarray = y.imag / h
        return slopes

    def _evaluate(self, h: complex, interceptor: BranchReplayer | BranchComparator | None) -> np.ndarray:
        """F(x + h·d)."""
        problem = self.origin.problem
        with np.errstate(all="ignore"):
            return problem.outputs(problem.at(h, self.direction), interceptor)

    def _evaluate_or_nan(self, h: float, interceptor: BranchReplayer | BranchComparator | None) -> np.ndarray:
        """F(x + h·d), or NaN where f raises an error, as it may outside its domain. Raises DivergedError."""
        try:
            return self._evaluate(h, interceptor)
        except DivergedError:
            raise
        except Exception:  # a user's function may raise anything
            return np.full(self.origin.base.shape, math.nan)

    def _sides(self, h: float, fixed_branches: bool) -> _Sides:
        results, crossings = [], []
        for signed in (h, -h):
            if fixed_branches:
                results.append(self._with_fixed_branches(signed))
                continue
            comparator = BranchComparator(self.origin.records)
            try:
                results.append(self._evaluate_or_nan(signed, comparator))
            except DivergedError:
                results.append(self._evaluate_or_nan(signed, None))
                comparator.crossings.append(Crossing(comparator.number, "the function's own Python code", ()))
            crossings += comparator.crossings
        return _Sides(h, results[0], results[1], tuple(crossings))

    def _with_fixed_branches(self, h: float) -> np.ndarray:
        """F(x + h·d) with the branches taken at x; NaN where f's own Python code branches differently."""
        try:
            return self._evaluate_or_nan(h, BranchReplayer(self.origin.records))
        except DivergedError:
            return np.full(self.origin.base.shape, math.nan)

    def _step(self, side: _Sides, u: np.ndarray, moving: np.ndarray) -> Step:
        h, plus, minus, base = side.h, side.plus, side.minus, self.origin.base
        with np.errstate(all="ignore"):
            up, down = plus - base, base - minus  # subtracted before the sum over u: equal outputs cancel exactly
            size = EPS * np.maximum(np.maximum(abs(plus), abs(minus)), abs(base))
            rounding = float((abs(u) * np.maximum(size, self.origin.rounding) * moving).sum()) / h
            bend = float((abs(u) * abs(up - down)).sum()) / h
            right, left = _dot(u, up) / h, _dot(u, down) / h
            low, high = float(np.minimum(u * up, u * down).sum()) / h, float(np.maximum(u * up, u * down).sum()) / h
            central = _dot(u, plus - minus) / (2 * h)
            return Step(h, central, right, left, rounding, bend, low, high, side.crossings)


def _dot(u: np.ndarray, v: np.ndarray) -> float:
    """⟨u, v⟩, summed in extended precision."""
    return float((u.astype(np.longdouble) * v).sum())
