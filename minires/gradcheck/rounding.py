"""How far rounding moves F and the analytic gradient, measured by moving numbers by their last bits.

What cancellation leaves of a sum is rounding error. No formula for the error of a whole network is known, so it is
measured: the numbers of the point, and the result of each operation, are changed in their last bits at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minires.gradcheck.interceptors import BranchReplayer, DivergedError, RoundingPerturber
from minires.gradcheck.line import EPS, Origin
from minires.gradcheck.problem import Arrays, Problem
from minires.gradcheck.sampling import spread

EPS32 = float(np.finfo(np.float32).eps)
TRIALS = 3
SAFETY = 10  # the largest of a few random moves is below the largest possible one
LARGEST_NOISE = 1e-3  # as a share of the largest number of an array's gradient


def largest(array: np.ndarray) -> float:
    """The largest absolute value among the finite numbers; 0 if there is none."""
    return float(abs(array[np.isfinite(array)]).max(initial=0.0))


def output_rounding(
    problem: Problem, base: np.ndarray, rng: np.random.Generator, interceptor: Callable[[], BranchReplayer]
) -> np.ndarray:
    """How far each output moves, at most, when the point moves by its last bits. base: F at the point, (m,)."""
    moves = np.zeros(base.shape)
    for _ in range(TRIALS):
        try:
            with np.errstate(invalid="ignore"):
                moved = abs(problem.outputs(_perturbed(problem.point, EPS, rng), interceptor()) - base)
        except DivergedError:
            continue
        np.maximum(moves, np.nan_to_num(moved, nan=0.0, posinf=0.0), out=moves)
    return moves


def gradient_rounding(
    origin: Origin, u: np.ndarray, gradients: dict[str, Arrays], rng: np.random.Generator, single_precision: bool
) -> Arrays:
    """How far rounding moves each number of the analytic gradient Jᵀu; one array for each variable.

    At a tie that no op declared, moving the point breaks the tie, and the gradient jumps. Therefore the estimate is
    limited to a small share of the gradient, or to what rounding moves F by where the gradient is what cancellation
    leaves (1 − softmax of a class with probability near 1). With single_precision each term of a sum rounds to float32
    besides, however the point moves. The arguments are as in `GradientUnderTest`.
    """
    problem, fused = origin.problem, gradients["backward_fused"]
    eps = float(np.finfo(problem.dtype).eps)
    moves = _largest_moves(
        fused, lambda: problem.gradient(u, _perturbed(problem.point, eps, rng), records=origin.records)
    )
    # The result of each operation of the formula, too, is off by its last bit.
    op_moves = _largest_moves(
        gradients["backward"],
        lambda: problem.gradient(u, fused=False, perturber=RoundingPerturber(origin.records, rng)),
    )
    if single_precision:
        moves = [move + 16 * EPS32 * largest(g) for move, g in zip(moves, fused, strict=True)]
    f_rounding = _rounding_of_f(origin, u)
    least_of_ops = 64 * eps * float(abs(u).max(initial=0.0))
    noise = []
    for move, op_move, gradient, x in zip(moves, op_moves, fused, problem.point, strict=True):
        # A sum over many numbers rounds by as much as all of them, but the gradient by each does not.
        terms = max(1.0, x.size / max(1, origin.base.size))
        limit, least = LARGEST_NOISE * largest(gradient), f_rounding / spread(x) / terms**0.5
        noise.append(
            np.minimum(SAFETY * move, max(limit, 100 * least))
            + least
            + np.minimum(SAFETY * op_move, max(limit, least_of_ops))
        )
    return noise


def _perturbed(point: Arrays, eps: float, rng: np.random.Generator) -> Arrays:
    """The point with its numbers moved by their last bits."""
    return [x * (1 + 2 * eps * rng.integers(-1, 2, x.shape)) for x in point]


def _largest_moves(expected: Sequence[np.ndarray], compute: Callable[[], Arrays]) -> Arrays:
    """The largest |compute() − expected| of each number in a few trials, each of which perturbs anew."""
    moves = [np.zeros(array.shape) for array in expected]
    for _ in range(TRIALS):
        try:
            gradients = compute()
        except DivergedError:
            continue
        for move, now, then in zip(moves, gradients, expected, strict=True):
            with np.errstate(invalid="ignore"):
                np.maximum(move, np.nan_to_num(abs(now - then), nan=0.0, posinf=0.0), out=move)
    return moves


def _rounding_of_f(origin: Origin, u: np.ndarray) -> float:
    """How far ⟨|u|, F⟩ moves when the point moves by its last bits, scaled to the engine's dtype."""
    size = float(np.nan_to_num(abs(u * origin.base), posinf=0.0).max(initial=0.0))
    size = size or float(abs(u).max(initial=0.0))  # outputs that are all zero do not tell the size of their terms
    moves = float((abs(u) * origin.input_rounding).sum()) + EPS * size
    return moves * (float(np.finfo(origin.problem.dtype).eps) / EPS)
