"""Guesses at the mistake from the pattern of a wrong gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minires.gradcheck.consistency import KEPT_OUTSIDE
from minires.gradcheck.result import ArrayResult, Verdict

LEAST_MEASURED = 6  # numbers of a large array that must fit a pattern
CLOSE = 1e-5  # relative deviation up to which a pattern fits


def guess(
    result: ArrayResult,
    shapes: Sequence[tuple[int, ...]],
    values: np.ndarray | None = None,
    gradient: np.ndarray | None = None,
) -> str:
    """A guess at the mistake behind a WRONG array, or "" if its numbers show no known pattern.

    Args:
        result: The array's result.
        shapes: Shapes of the op's inputs and outputs; a forgotten mean divides by a product of their lengths.
        values: The array itself, to recognise the terms of a normalisation.
        gradient: All of the analytic gradient, to recognise in a large array, of which some numbers were measured, that
            they are elsewhere.
    """
    elements = [each for each in result.elements if math.isfinite(each.analytic) and math.isfinite(each.numeric)]
    if not elements:
        return "it is not finite" if result.elements else ""
    linear = [each for each in result.elements if "linear" in each.reason]
    if linear:
        return "backward is not linear in the gradient that arrives (something clips, squares or caches it)"
    wrong = [each for each in result.elements if each.verdict is Verdict.WRONG]
    if any(KEPT_OUTSIDE in each.reason for each in wrong):
        return "a class-level cache, or a buffer that all applications share: keep it on self, for each application"
    if wrong and all("convention" in each.reason for each in wrong):
        return "another subgradient than the documented one at a tie or kink"
    if wrong and all("ties, move together" in each.reason for each in wrong):
        return "all ties receive the gradient, where their shares should sum to one"
    a, n = (np.array([getattr(each, what) for each in elements]) for what in ("analytic", "numeric"))
    scale = float(abs(n).max())
    if not scale:
        return "it should be zero (if the op is a straight-through estimator, declare its `surrogate`)"
    if float(abs(a).max()) <= CLOSE * scale:
        return "backward returns zeros"
    return _factor(a, n, shapes) or _moved(result, gradient) or _missing_term(result, values) or _where(result, a, n)


def _factor(a: np.ndarray, n: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> str:
    """A guess if all ratios analytic/numeric are the same, else ""."""
    size = float(abs(n).max())  # scaled first: the square of 10²⁰⁰ overflows
    a, n = a / size, n / size
    ratio = float((a * n).sum() / (n * n).sum())
    if len(a) > 1 and float(abs(a - ratio * n).max()) > CLOSE * float(abs(a).max()):
        return ""
    if math.isclose(ratio, -1, rel_tol=CLOSE):
        return "the sign is flipped"
    if len(a) == 1 or math.isclose(ratio, 1, rel_tol=CLOSE):
        return ""  # any two numbers have a ratio; and a factor of 1 is none
    lengths = {math.prod(part) for shape in shapes for part in _stretches(shape)} - {1}
    for length in sorted(lengths):
        if math.isclose(ratio, length, rel_tol=CLOSE):
            return f"a constant factor {length}: a division by {length} is missing, as of a mean"
        if math.isclose(ratio, 1 / length, rel_tol=CLOSE):
            if length == 2:
                break
            return (
                f"a constant factor 1/{length}: a mean where a sum belongs, or only one of {length} copies was counted"
            )
        for wrong, name in (
            (1 - 1 / length, f"({length} − 1)/{length}"),
            (length / (length - 1), f"{length}/({length} − 1)"),
        ):
            if math.isclose(ratio, wrong, rel_tol=CLOSE / length):
                return f"a constant factor {name}: the biased and the unbiased variance, or n and n − 1, mixed up"
    if math.isclose(ratio, 0.5, rel_tol=CLOSE):
        return "a factor ½: a path counted once where it joins twice, or x² with the 2 forgotten"
    if math.isclose(ratio, 2, rel_tol=CLOSE):
        return "a factor 2: a path counted twice"
    return f"a constant factor {ratio:.6g}"


def _stretches(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Lengths of the axes that a mean may go over: any run of axes, and those of batch norm, all but the second."""
    runs = [shape[i:j] for i in range(len(shape)) for j in range(i + 1, len(shape) + 1)]
    return [*runs, (shape[0], *shape[2:])] if len(shape) > 2 else runs


def _moved(result: ArrayResult, gradient: np.ndarray | None) -> str:
    """A guess if the numbers are right but in the wrong places, else ""."""
    n = result.matrix("numeric")
    a = result.matrix("analytic") if gradient is None or not np.isnan(n).any() else gradient
    measured = ~np.isnan(n)
    if np.isnan(a).any() or a.ndim < 1 or measured.sum() < min(a.size, LEAST_MEASURED) or a.size < 2:
        return ""

    def same(b: np.ndarray) -> bool:
        """Whether b, the analytic gradient in another order, is the numeric one where that was measured."""
        return b.shape == a.shape and float(abs(b - n)[measured].max()) <= CLOSE * float(abs(n[measured]).max())

    if a.ndim > 1 and same(np.swapaxes(a, -1, -2)):
        return "it is transposed"
    for axes in {(-1,), (-2,), (-2, -1)}:
        if a.ndim >= len(axes) and -min(axes) <= a.ndim and same(np.flip(a, axes)):
            return "it is mirrored: a kernel that is not flipped, or flipped once too often"
    for axis in range(a.ndim):
        for by in (-2, -1, 1, 2):
            if a.shape[axis] > abs(by) and _shifted(a, n, axis, by):
                why = "padding that is not cropped, or a stride from another start"
                return f"it is shifted by {by} along axis {axis}: {why}"
    return ""


def _shifted(a: np.ndarray, n: np.ndarray, axis: int, by: int) -> bool:
    """Whether a[i + by] = n[i] along an axis, wherever both exist; n is NaN where nothing was measured."""
    length = a.shape[axis] - abs(by)
    at = np.take(a, range(max(by, 0), max(by, 0) + length), axis)
    of = np.take(n, range(max(-by, 0), max(-by, 0) + length), axis)
    known = ~np.isnan(of)
    if length < 2 or known.sum() < min(of.size, LEAST_MEASURED) or not float(abs(of[known]).max()):
        return False
    return float(abs(at - of)[known].max()) <= CLOSE * float(np.nanmax(abs(n)))


def _missing_term(result: ArrayResult, values: np.ndarray | None) -> str:
    """A guess if terms of batch norm are missing: a − n is constant in each channel, or proportional to x − mean."""
    a, n = result.matrix("analytic"), result.matrix("numeric")
    if values is None or np.isnan(a).any() or a.ndim < 2 or a.shape[0] * math.prod(a.shape[2:]) < 4:
        return ""
    missing = np.moveaxis(a - n, 1, 0).reshape(a.shape[1], -1)
    x = np.moveaxis(values, 1, 0).reshape(a.shape[1], -1)
    x = x - x.mean(1, keepdims=True)
    mean = missing.mean(1, keepdims=True)
    slope = (missing * x).sum(1, keepdims=True) / np.maximum((x * x).sum(1, keepdims=True), 1e-300)
    size = CLOSE * float(abs(missing).max())
    if float(abs(missing - mean).max()) <= size:
        return "each channel is off by a constant: the gradient through the mean is missing"
    if float(abs(missing - slope * x).max()) <= size:
        return "each channel is off by a multiple of x − mean: the gradient through the variance is missing"
    if float(abs(missing - mean - slope * x).max()) <= size:
        return "the gradient through mean and variance is missing: they were treated as constants"
    return ""


def _where(result: ArrayResult, a: np.ndarray, n: np.ndarray) -> str:
    """A guess from how many numbers are wrong, if not all are."""
    wrong = result.count(Verdict.WRONG)
    zeros = int(((a == 0) & (n != 0)).sum())
    if zeros and zeros == int((abs(a - n) > CLOSE * float(abs(n).max())).sum()):
        lost = "gradients overwritten, dropped or cropped"
        return f"{zeros} of {len(a)} measured numbers are zero and should not be: {lost}"
    if 0 < wrong < len(result.elements):
        indices = [each.index for each in result.elements if each.verdict is Verdict.WRONG and each.index is not None]
        if indices:
            return f"{wrong} of {len(result.elements)} measured numbers are wrong, the first at {indices[0]}"
    return ""
