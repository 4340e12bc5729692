"""The sweep that a page draws: of one element of each array, over all steps.

Where the complex step gives the derivative, a few steps confirm it, and a few steps are no valley. So for the one
element that is shown the sweep is made in full.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from minires.gradcheck.examination import Examination
from minires.gradcheck.judge import Measured, measure
from minires.gradcheck.numeric import FEW
from minires.gradcheck.result import Curve, Element, Verdict


def shown(measured: Sequence[tuple[Element, Measured]]) -> tuple[Element, Measured]:
    """Of the worst verdict the one with the largest difference, or, of PASS, the largest number.

    One element comes before a projection on all of them: its index says where to look.
    """

    def key(pair: tuple[Element, Measured]) -> tuple[int, bool, float]:
        element = pair[0]
        size = abs(element.analytic if element.verdict is Verdict.PASS else element.difference)
        return element.verdict.rank, element.index is not None, size if math.isfinite(size) else math.inf

    return max(measured, key=key)


def curve(state: Examination, number: int, measured: Sequence[tuple[Element, Measured]], full: bool) -> Curve | None:
    """Of what was measured in variable `number`; None where nothing was. full: over all steps, however it was judged.

    That costs one more sweep. A projection that passed does without, or a fast check would not be fast.
    """
    if not measured:
        return None
    element, found = shown(measured)
    steps = found.steps
    if full and len(steps) <= len(FEW) and (element.index is not None or element.verdict is not Verdict.PASS):
        if element.index is not None:
            line = state.unit(number, element.index)
        else:  # along another direction: that of the element was not kept
            line, d = state.projection(number)
            element = state.judged_projection(number, d, measure(line, state.u, state.how))
        steps = line.sweep(state.u)
    return Curve(element.index, element.analytic, element.numeric, tuple(steps))
