"""A problem at its point: the analytic gradient, how far to trust it, and what any one number of it should be.

The cotangent is random: u ~ N(0, 1) with no component near zero, ‖u‖ = 1. With u of ones, batch norm and softmax have
a gradient of zero, and a backward pass of zeros would pass. Beyond agreement with differences, backward must be linear
in u, must not depend on who else asks for a gradient, and must answer twice the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from minires.errors import DtypeError, GraphError
from minires.gradcheck.interceptors import BranchReplayer, DivergedError, RoundingPerturber
from minires.gradcheck.judge import Measured, Tolerances, judge, measure, measure_on_piece
from minires.gradcheck.numeric import EPS, Line, Origin
from minires.gradcheck.problem import Arrays, Problem
from minires.gradcheck.result import Element, Verdict

EPS32 = float(np.finfo(np.float32).eps)
MOST_ASKING = 8  # inputs; with more, who asks is not varied
MOST_NOISE = 1e-3  # of the largest number of an array's gradient
FLOOR = 0.3  # the least component of a cotangent, before it is scaled to unit length


def cotangent(rng: np.random.Generator, shape: int | tuple[int, ...]) -> np.ndarray:
    """Random, of unit length, no component near zero."""
    normal = rng.normal(size=shape)
    u = normal + np.where(normal < 0, -FLOOR, FLOOR)
    return u / max(float(np.linalg.norm(u)), 1e-300)


def spread(array: np.ndarray) -> float:
    """How far its numbers lie apart, or how large they are if they do not: what a step is measured by."""
    if not array.size:
        return 1.0
    with np.errstate(all="ignore"):
        size = float(abs(array).max())
        deviation = float((array / size).std() * size) if size else 0.0  # squares of 10²⁰⁰ are no numbers
    return deviation if deviation > 1e-12 * size else size or 1.0


def widths(array: np.ndarray) -> np.ndarray:
    """How far to move each number, as a share of the spread: a power of two, less for one that is far smaller."""
    scale = spread(array)
    small = (array != 0) & (abs(array) < 1e-4 * scale)
    with np.errstate(all="ignore"):
        share = 2.0 ** np.round(np.log2(np.minimum(64 * abs(array) / scale, 1.0)))
    return np.where(small, share, 1.0)


class Examination:
    """All that is known of a problem before its elements are looked at.

    unsteady: in what f or its gradient did not give the same answer twice; then nothing else is to be looked at.
    """

    def __init__(self, problem: Problem, how: Tolerances, rng: np.random.Generator, nondet_tol: float) -> None:
        self.problem, self.how, self.rng = problem, how, rng
        self.base, self.notes = problem.listen(problem.point)
        if self.base.dtype.kind == "c":
            raise DtypeError(
                "gradcheck: f returns complex numbers of real ones; check its real and its imaginary part, as functions"
            )
        self.float32_choices = self._choices_of_float32()
        self.unsteady = self._check_declarations() or self._unsteady_forward(nondet_tol)
        if self.unsteady:
            return
        self.single = problem.dtype == np.float32 or any(note.narrows for note in self.notes)
        jitter = self._moves(lambda: BranchReplayer(self.notes))
        # In differences the rounding of every operation shows: log(1 + x²) of a tiny x is a staircase.
        shaken = self._moves(lambda: RoundingPerturber(self.notes, self.rng))
        self.origin = Origin(problem, self.base, self.notes, jitter, np.maximum(jitter, shaken))
        self.u = cotangent(rng, self.base.size)
        self.gradients = {
            "backward_fused": problem.gradient(self.u),
            "backward": problem.gradient(self.u, formulas=True),
        }
        self.unsteady = self._unsteady_gradient(nondet_tol)
        self.noise = self._noise()

    def _choices_of_float32(self) -> int:
        """Take float32's choices for the point's own: near a tie they may differ, and they are what backward knows."""
        if self.problem.dtype != np.float32:
            return 0
        single = [array.astype(np.float32) for array in self.problem.point]
        _, notes = self.problem.listen(single, self.problem.provider)
        differ = sum(
            int((a.branches != b.branches).sum())
            for a, b in zip(notes, self.notes, strict=True)
            if a.branches is not None and b.branches is not None and a.branches.shape == b.branches.shape
        )
        if differ:
            self.notes = notes
            self.base = self.problem.outputs(self.problem.point, BranchReplayer(notes))
        return differ

    def _check_declarations(self) -> str:
        """What `on_branches` computes must be what `forward` computes, or a declared kink would prove nothing.

        Returns what differs between two runs, if it so happens that one shows.
        """
        declaring = sorted({note.op for note in self.notes if note.branches is not None})
        try:
            repeated = self.problem.outputs(self.problem.point, BranchReplayer(self.notes))
        except DivergedError:
            return "" if self.float32_choices else "f applied other operations from one run to the next"
        if repeated.shape != self.base.shape:
            return "f gave answers of two shapes"
        size = float(abs(self.base[np.isfinite(self.base)]).max(initial=0.0))
        with np.errstate(invalid="ignore"):
            apart = float(np.nan_to_num(abs(repeated - self.base), nan=0.0, posinf=0.0).max(initial=0.0))
        if apart > 1e-10 * size and declaring and not self._unsteady_forward(0.0):
            raise GraphError(
                f"gradcheck: on_branches(branches, …) differs from forward by {apart:.2g}, though on the branches that "
                f"forward took: look at {', '.join(declaring)}"
            )
        return ""

    def _unsteady_forward(self, tolerance: float) -> str:
        """What differs between two forward passes at the same point, if anything does by more than `tolerance`."""
        again = self.problem.outputs(self.problem.point)
        free = self.problem.outputs(self.problem.point) if self.float32_choices else self.base
        if again.shape != free.shape:
            return "f gave answers of two shapes"
        with np.errstate(invalid="ignore"):
            apart = float(np.nan_to_num(abs(again - free)).max(initial=0.0))
        return f"f gave two answers for one input, {apart:.3g} apart" if apart > tolerance else ""

    def _unsteady_gradient(self, tolerance: float) -> str:
        """What differs between two backward passes at the same point, if anything does by more than `tolerance`."""
        for what, twice in (("from one run to the next", False), ("between two backward passes over one graph", True)):
            second = self.problem.gradient(self.u, twice=twice)
            with np.errstate(invalid="ignore"):
                moved = [abs(a - b) for a, b in zip(self.gradients["backward_fused"], second, strict=True)]
            apart = max((float(np.nan_to_num(each).max(initial=0.0)) for each in moved), default=0.0)
            if apart > tolerance:
                return f"the gradient differs by {apart:.3g} {what}"
        return ""

    def _nudged(self, eps: float) -> Arrays:
        """The point with its numbers moved by their last bits."""
        return [x * (1 + 2 * eps * self.rng.integers(-1, 2, x.shape)) for x in self.problem.point]

    def _moves(self, interceptor: Callable[[], BranchReplayer]) -> np.ndarray:
        """How far each output moves when the point moves by its last bits: what cancellation leaves is noise."""
        largest = np.zeros(self.base.shape)
        for _ in range(3):
            try:
                with np.errstate(invalid="ignore"):
                    moved = abs(self.problem.outputs(self._nudged(EPS), interceptor()) - self.base)
            except DivergedError:
                continue
            np.maximum(largest, np.nan_to_num(moved, nan=0.0, posinf=0.0), out=largest)
        return largest

    def _noise(self) -> Arrays:
        """How far rounding moves each analytic number: ten times the largest move when the point moves by its last
        bits.

        At a tie that nobody declared such a move breaks the tie, and the gradient jumps; so what is called noise is
        limited to a small share of the gradient, or, where the gradient is what is left of terms that cancel, to what
        rounding moves f itself by.
        """
        eps = float(np.finfo(self.problem.dtype).eps)
        largest = self._largest_moves(
            "backward_fused", lambda: self.problem.gradient(self.u, self._nudged(eps), notes=self.notes)
        )
        # And when the result of each operation of the formula is off by its last bit: 1 − softmax of a sure class.
        shaken = self._largest_moves(
            "backward",
            lambda: self.problem.gradient(self.u, formulas=True, perturber=RoundingPerturber(self.notes, self.rng)),
        )
        if self.single:  # whose sums round in every term, the same way however the point moves
            sizes = [float(abs(g[np.isfinite(g)]).max(initial=0.0)) for g in self.gradients["backward_fused"]]
            largest = [most + 16 * EPS32 * size for most, size in zip(largest, sizes, strict=True)]
        rounding = self._rounding_of_f()
        noise = []
        for most, gradient, x in zip(largest, self.gradients["backward_fused"], self.problem.point, strict=True):
            limit = MOST_NOISE * float(abs(gradient[np.isfinite(gradient)]).max(initial=0.0))
            # What is left of terms that cancel (1 − softmax of a sure class) is off by what rounding moves f by.
            least = rounding / spread(x)
            noise.append(np.minimum(10 * most, max(limit, 100 * least)) + least)
        least = 64 * eps * float(abs(self.u).max(initial=0.0))
        for k, moves in enumerate(shaken):
            noise[k] += np.minimum(10 * moves, max(MOST_NOISE * self.size(k), least))
        return noise

    def _largest_moves(self, label: str, gradient: Callable[[], Arrays]) -> Arrays:
        """How far each analytic number moves at most in three other ways to compute it."""
        largest = [np.zeros(array.shape) for array in self.problem.point]
        for _ in range(3):
            try:
                gradients = gradient()
            except DivergedError:
                continue
            for most, now, then in zip(largest, gradients, self.gradients[label], strict=True):
                with np.errstate(invalid="ignore"):
                    np.maximum(most, np.nan_to_num(abs(now - then), nan=0.0, posinf=0.0), out=most)
        return largest

    def _rounding_of_f(self) -> float:
        """How far ⟨|u|, F⟩ moves when the point moves by its last bits, of the engine's dtype."""
        size = float(np.nan_to_num(abs(self.u * self.base), posinf=0.0).max(initial=0.0))
        size = size or float(abs(self.u).max(initial=0.0))  # of zeros throughout nobody knows what they are made of
        moves = float((abs(self.u) * self.origin.jitter).sum()) + EPS * size
        return moves * (float(np.finfo(self.problem.dtype).eps) / EPS)

    # -- lines through the point --------------------------------------------------------------------------------------

    def unit(self, number: int, index: tuple[int, ...]) -> Line:
        """Along one element of one variable."""
        d = np.zeros(self.problem.point[number].shape)
        d[index] = 1.0
        direction = [d if k == number else None for k in range(len(self.problem.point))]
        x = self.problem.point[number]
        return Line(self.origin, direction, spread(x), abs(float(x[index])))

    def projection(self, number: int) -> tuple[Line, np.ndarray]:
        """Along a random direction in one variable, and that direction: ±(0.5 … 1.5), of few binary digits."""
        d = random_direction(self.rng, self.problem.point[number].shape) * widths(self.problem.point[number])
        direction = [d if k == number else None for k in range(len(self.problem.point))]
        scale = spread(self.problem.point[number]) / max(1.0, d.size) ** 0.5
        return Line(self.origin, direction, scale), d

    # -- elements -----------------------------------------------------------------------------------------------------

    def element(self, number: int, index: tuple[int, ...]) -> tuple[Element, Measured]:
        """The verdict on one number of one variable's gradient."""
        found = measure(self.unit(number, index), self.u, self.how)
        analytic = {label: float(g[number][index]) for label, g in self.gradients.items()}
        return self._judged(number, index, analytic, float(self.noise[number][index]), found), found

    def projected(self, number: int) -> tuple[Element, Measured]:
        """The verdict on one variable's gradient along a random direction."""
        line, d = self.projection(number)
        found = measure_on_piece(line, self.u, self.how)
        return self.judged_projection(number, d, found), found

    def judged_projection(self, number: int, d: np.ndarray, found: Measured) -> Element:
        """The verdict on one variable's gradient along d, when the derivative has been measured."""
        with np.errstate(all="ignore"):
            analytic = {label: float((g[number] * d).sum()) for label, g in self.gradients.items()}
            noise = float(np.linalg.norm(self.noise[number] * d))
        return self._judged(number, None, analytic, noise, found)

    def _judged(
        self, number: int, index: tuple[int, ...] | None, analytic: dict[str, float], noise: float, found: Measured
    ) -> Element:
        """The verdict on one number or projection."""
        scale = self.size(number)
        return self.worse([(k, judge(index, value, noise, found, scale, self.how)) for k, value in analytic.items()])

    def worse(self, elements: list[tuple[str, Element]]) -> Element:
        """The worse of the verdicts on the fused kernel and on the formula."""
        label, element = max(elements, key=lambda each: each[1].verdict.rank)
        if len({each.verdict for _, each in elements}) > 1:
            which = "the formula (backward)" if label == "backward" else "the fused kernel (backward_arrays)"
            element = replace(element, reason=f"{which} alone; {element.reason}".rstrip("; "))
        return element

    def size(self, number: int) -> float:
        """The largest number of one variable's gradient."""
        gradient = self.gradients["backward_fused"][number]
        return float(abs(gradient[np.isfinite(gradient)]).max(initial=0.0))

    # -- what backward must be besides right --------------------------------------------------------------------------

    def not_linear(self) -> Iterator[tuple[int, Element]]:
        """Where Jᵀ(c·u) is not c·Jᵀu, or Jᵀ(u + w) not Jᵀu + Jᵀw.

        c is so large that a clipped gradient shows, and a power of two, so that a right backward gives the very bits.
        """
        w = cotangent(self.rng, self.base.size)
        c = -(2.0 ** (10 + math.ceil(math.log2(self.base.size) / 2))) if self.base.size else -1.0
        for label, formulas in (("backward_fused", False), ("backward", True)):
            scaled = self.problem.gradient(c * self.u, formulas=formulas)
            other = self.problem.gradient(w, formulas=formulas)
            both = self.problem.gradient(self.u + w, formulas=formulas)
            for number, gradient in enumerate(self.gradients[label]):
                reason = "not linear in the gradient that arrives"
                yield from self._unequal(number, scaled[number], c * gradient, 0.0, reason)
                # Sums round, and by much where terms cancel that are as large as u: 1 − softmax of a sure class.
                x = self.problem.point[number]
                terms = 64 * EPS * float(abs(x).max(initial=0.0)) / spread(x) + float(
                    self.noise[number].max(initial=0.0)
                )
                with np.errstate(invalid="ignore"):
                    total = gradient + other[number]
                size = float(np.nan_to_num(abs(gradient) + abs(other[number]), posinf=0.0).max(initial=0.0))
                yield from self._unequal(number, both[number], total, 1e-3 * size + terms, reason)

    def not_alone(self) -> Iterator[tuple[int, Element]]:
        """Where a gradient is another one when only some inputs ask for theirs; of many inputs, when one alone does."""
        count = len(self.problem.point)
        if not 1 < count <= MOST_ASKING:
            return
        sizes = range(1, count) if count <= 4 else (1, count - 1)
        for asking in (set(some) for size in sizes for some in itertools.combinations(range(count), size)):
            for label, formulas in (("backward_fused", False), ("backward", True)):
                found = self.problem.gradient(self.u, formulas=formulas, only=asking)
                for number in asking:
                    names = ", ".join(self.problem.variables[k].name for k in sorted(asking))
                    reason = f"another value while only {names} ask for a gradient"
                    expected = self.gradients[label][number]
                    noise = float(self.noise[number].max(initial=0.0))
                    yield from self._unequal(number, found[number], expected, noise, reason)

    def _unequal(
        self, number: int, found: np.ndarray, expected: np.ndarray, allowed: float, reason: str
    ) -> Iterator[tuple[int, Element]]:
        """The worst element by which two gradients that should be equal differ."""
        if not found.size:
            return
        relative = 1e-4 if self.single else 1e-9
        with np.errstate(all="ignore"):
            excess = np.nan_to_num(abs(found - expected) - relative * abs(expected) - allowed, nan=-1.0)
            if self.single:
                excess -= 1e-5 * float(np.nan_to_num(abs(expected), posinf=0.0).max())
        index = tuple(int(k) for k in np.unravel_index(int(excess.argmax()), excess.shape))
        if excess[index] > 0:
            values = float(found[index]), float(expected[index])
            yield number, Element(index, *values, allowed, Verdict.WRONG, "backward against itself", reason)


def random_direction(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """±(0.5 … 1.5), multiples of 1/256, so that a step along it is exact."""
    return np.asarray(rng.choice((-1.0, 1.0), shape) * (128 + rng.integers(0, 257, shape)) / 256)
