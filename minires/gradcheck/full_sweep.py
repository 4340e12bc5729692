"""The sweep of step sizes that the page draws: for one element of each array, over all steps.

A few steps that confirm the complex step are enough for a verdict, but do not make a V-curve. So the sweep is repeated
over all steps for the element that is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from minires.gradcheck.judge import Measurement, measure
from minires.gradcheck.line import FEW
from minires.gradcheck.result import Curve, Element, Verdict
from minires.gradcheck.under_test import GradientUnderTest


def curve_of(
    tested: GradientUnderTest, number: int, measured: Sequence[tuple[Element, Measurement]], full: bool
) -> Curve | None:
    """The curve of one of the measured elements of a variable; None if nothing was measured.

    Args:
        tested: The gradient.
        number: Of the variable.
        measured: Its elements, with their measurements.
        full: Whether to repeat the sweep over all steps. A projection that passed keeps its few steps, so that a fast
            check stays fast.
    """
    if not measured:
        return None
    element, measurement = _shown(measured)
    steps = measurement.steps
    if full and len(steps) <= len(FEW) and (element.index is not None or element.verdict is not Verdict.PASS):
        if element.index is not None:
            line = tested.line_along_element(number, element.index)
        else:  # a new direction: that of the element was not kept
            line, d = tested.random_line(number)
            element = tested.judge_projection(number, d, measure(line, tested.u, tested.tolerances))
        steps = line.sweep(tested.u)
    return Curve(element.index, element.analytic, element.numeric, tuple(steps))


def _shown(measured: Sequence[tuple[Element, Measurement]]) -> tuple[Element, Measurement]:
    """The element of the worst verdict with the largest difference; if all are PASS, with the largest number.

    A single number comes before a projection: its index says where to look.
    """

    def key(pair: tuple[Element, Measurement]) -> tuple[int, bool, float]:
        element = pair[0]
        size = abs(element.analytic if element.verdict is Verdict.PASS else element.difference)
        return element.verdict.rank, element.index is not None, size if math.isfinite(size) else math.inf

    return max(measured, key=key)
