"""Outputs of very different sizes: the small ones are checked apart from the large ones.

One cotangent sums over all outputs. Beside 10⁶ x, an error in the gradient of 10⁻⁴ sin x is below every tolerance. So
the outputs are sorted by how much they move, and each group that moves far less than the largest has its own cotangent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from minires.gradcheck.result import ArrayResult, Verdict
from minires.gradcheck.under_test import GradientUnderTest

RATIO = 1e3  # between the sizes of one group and the next
MOST_GROUPS = 6
DIRECTIONS = 3  # along one, an output may happen to stay where it is
HIDDEN = "in outputs that are small beside others, which hide it"


def check_small_outputs(tested: GradientUnderTest, results: Sequence[ArrayResult]) -> list[ArrayResult]:
    """`results`, with a WRONG element more where small outputs show a mistake that large ones hide."""
    results = list(results)
    if tested.base.size < 2:
        return results
    for number, result in enumerate(results):
        if result.number is None or result.verdict is Verdict.WRONG or not result.elements:
            continue
        for outputs in _groups(tested, result.number):
            alone = tested.with_cotangent(np.where(outputs, tested.u, 0.0))
            element, _ = alone.check_projection(result.number)
            # Where a slope is infinite, 0 · ∞ makes NaN of what the others do not send.
            if element.verdict is Verdict.WRONG and np.isfinite(element.analytic):
                element = replace(element, reason="; ".join(filter(None, (element.reason, HIDDEN))))
                results[number] = replace(result, elements=(*result.elements, element), verdict=Verdict.WRONG)
                break
    return results


def _groups(tested: GradientUnderTest, number: int) -> Iterator[np.ndarray]:
    """Masks (m,) of the outputs that one variable moves, by size; without those of the largest size."""
    sizes = np.zeros(tested.base.shape)
    for _ in range(DIRECTIONS):
        line, _ = tested.random_line(number)
        np.maximum(sizes, line.output_slopes() * abs(tested.u), out=sizes)
    moving = sizes > 0
    if not moving.any():
        return
    with np.errstate(divide="ignore", over="ignore"):
        steps = np.where(moving, np.floor(np.log(sizes.max() / sizes) / np.log(RATIO)), 0)
    for group in sorted(set(steps[moving].tolist()) - {0.0})[:MOST_GROUPS]:
        yield steps == group
