"""What forward and backward must satisfy besides giving the right numbers.

f and its gradient are the same when they are computed again; `on_branches` agrees with `forward`; backward is a linear
map of the cotangent; and the gradient of an input does not depend on which other inputs require gradients.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from minires.errors import GraphError
from minires.gradcheck.interceptors import BranchRecord, BranchReplayer, DivergedError
from minires.gradcheck.line import EPS
from minires.gradcheck.problem import Arrays, Problem, SharedOutputError
from minires.gradcheck.result import Element, Verdict
from minires.gradcheck.sampling import cotangent, spread

if TYPE_CHECKING:
    from minires.gradcheck.under_test import GradientUnderTest

MOST_INPUTS = 8  # with more, all of them always require gradients
BACKWARDS = (("backward_fused", True), ("backward", False))  # (label, whether fused kernels are used)
KEPT_OUTSIDE = "something is kept outside of the op itself"
SHARED_OUTPUT = "applying f to other numbers changed an output that it had returned before: they share a buffer"
TWO_SHAPES = "f gave answers of two shapes"


def branches_mismatch(
    problem: Problem, base: np.ndarray, records: Sequence[BranchRecord], float32_branches: int
) -> str:
    """Check that `on_branches` computes what `forward` does on the branches that it took: kinks rely on it.

    Returns what differs between two runs of f, if this shows any, or "". Raises GraphError if a declaration is wrong.
    """
    declaring = sorted({record.op for record in records if record.branches is not None})
    try:
        repeated = problem.outputs(problem.point, BranchReplayer(records))
    except DivergedError:
        return "" if float32_branches else "f applied other operations from one run to the next"
    if repeated.shape != base.shape:
        return TWO_SHAPES
    size = float(abs(base[np.isfinite(base)]).max(initial=0.0))
    with np.errstate(invalid="ignore"):
        apart = float(np.nan_to_num(abs(repeated - base), nan=0.0, posinf=0.0).max(initial=0.0))
    if apart > 1e-10 * size and declaring and not forward_mismatch(problem, base, float32_branches, 0.0):
        raise GraphError(
            f"gradcheck: on_branches(branches, …) differs from forward by {apart:.2g}, though on the branches that "
            f"forward took: look at {', '.join(declaring)}"
        )
    return ""


def forward_mismatch(problem: Problem, base: np.ndarray, float32_branches: int, tolerance: float) -> str:
    """What differs by more than `tolerance` between two forward passes at the point, or ""."""
    again = problem.outputs(problem.point)
    free = problem.outputs(problem.point) if float32_branches else base
    if again.shape != free.shape:
        return TWO_SHAPES
    with np.errstate(invalid="ignore"):
        apart = float(np.nan_to_num(abs(again - free)).max(initial=0.0))
    return f"f gave two answers for one input, {apart:.3g} apart" if apart > tolerance else ""


def backward_mismatch(problem: Problem, u: np.ndarray, gradient: Arrays, tolerance: float) -> str:
    """What differs by more than `tolerance` between two backward passes at the point, or ""."""
    for what, repeat in (("from one run to the next", False), ("between two backward passes over one graph", True)):
        second = problem.gradient(u, repeat=repeat)
        with np.errstate(invalid="ignore"):
            moved = [abs(a - b) for a, b in zip(gradient, second, strict=True)]
        apart = max((float(np.nan_to_num(each).max(initial=0.0)) for each in moved), default=0.0)
        if apart > tolerance:
            return f"the gradient differs by {apart:.3g} {what}"
    return ""


Finding = tuple[int, Element]  # (number of the variable, a WRONG element)


def linearity_errors(tested: GradientUnderTest) -> Iterator[Finding]:
    """Find elements at which backward is not linear: Jᵀ(c·u) ≠ c·Jᵀu or Jᵀ(u + w) ≠ Jᵀu + Jᵀw.

    c is so large that clipping shows, and a power of two, so that a linear backward gives exactly the same bits.
    """
    problem, u, size = tested.problem, tested.u, tested.base.size
    w = cotangent(tested.rng, size)
    c = -(2.0 ** (10 + math.ceil(math.log2(size) / 2))) if size else -1.0
    reason = "not linear in the gradient that arrives"
    for label, fused in BACKWARDS:
        scaled = problem.gradient(c * u, fused=fused)
        other = problem.gradient(w, fused=fused)
        both = problem.gradient(u + w, fused=fused)
        for number, gradient in enumerate(tested.gradients[label]):
            yield from _unequal(tested, number, scaled[number], c * gradient, 0.0, reason)
            # The sum rounds, and by more where it cancels terms that are as large as u, as in softmax.
            x, noise = problem.point[number], float(tested.noise[number].max(initial=0.0))
            rounding = 64 * EPS * float(abs(x).max(initial=0.0)) / spread(x) + noise
            with np.errstate(invalid="ignore"):
                total = gradient + other[number]
            largest = float(np.nan_to_num(abs(gradient) + abs(other[number]), posinf=0.0).max(initial=0.0))
            yield from _unequal(tested, number, both[number], total, 1e-3 * largest + rounding, reason)


def interleaving_errors(tested: GradientUnderTest) -> Iterator[Finding]:
    """Find elements whose gradient changes when f is applied to other numbers between forward and backward.

    That is the usual case in a network that applies an op twice. A cache of the class, or a buffer that all
    applications share, then holds what belongs to another one.
    """
    reason = f"another value after f was applied to other numbers ({KEPT_OUTSIDE})"
    for label, fused in BACKWARDS:
        try:
            found = tested.problem.gradient(tested.u, fused=fused, interleaved=True)
        except SharedOutputError:
            element = Element(None, math.nan, math.nan, 0.0, Verdict.WRONG, "f against itself", SHARED_OUTPUT)
            yield 0, element
            return
        for number, expected in enumerate(tested.gradients[label]):
            noise = float(tested.noise[number].max(initial=0.0))
            differing = list(_unequal(tested, number, found[number], expected, noise, reason))
            yield from differing
            if differing:
                return


def input_subset_errors(tested: GradientUnderTest) -> Iterator[Finding]:
    """Find elements whose gradient changes when only some of the inputs require gradients.

    Up to four inputs are tried in all subsets. With more inputs, each one is tried alone, and all but each one.
    """
    problem = tested.problem
    count = len(problem.point)
    if not 1 < count <= MOST_INPUTS:
        return
    sizes = range(1, count) if count <= 4 else (1, count - 1)
    for subset in (set(some) for size in sizes for some in itertools.combinations(range(count), size)):
        names = ", ".join(problem.variables[k].name for k in sorted(subset))
        for label, fused in BACKWARDS:
            found = problem.gradient(tested.u, fused=fused, subset=subset)
            for number in subset:
                expected, noise = tested.gradients[label][number], float(tested.noise[number].max(initial=0.0))
                reason = f"another value while only {names} ask for a gradient"
                yield from _unequal(tested, number, found[number], expected, noise, reason)


def _unequal(
    tested: GradientUnderTest, number: int, found: np.ndarray, expected: np.ndarray, allowed: float, reason: str
) -> Iterator[Finding]:
    """The worst element by which two gradients that should be equal differ, if any differs by too much."""
    if not found.size:
        return
    relative = 1e-4 if tested.single_precision else 1e-9
    with np.errstate(all="ignore"):
        excess = np.nan_to_num(abs(found - expected) - relative * abs(expected) - allowed, nan=-1.0)
        if tested.single_precision:
            excess -= 1e-5 * float(np.nan_to_num(abs(expected), posinf=0.0).max())
    index = tuple(int(k) for k in np.unravel_index(int(excess.argmax()), excess.shape))
    if excess[index] > 0:
        values = float(found[index]), float(expected[index])
        yield number, Element(index, *values, allowed, Verdict.WRONG, "backward against itself", reason)
