"""Numbers at kinks that nobody declared, moved together: along such a direction a maximum of ties is smooth.

max(a, b) at a = b has one-sided slopes 0 and 1 in a, and in b, so a gradient of (1, 1) lies between them in both; but
along (1, 1) the slope is 1 on both sides, not 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from minires.gradcheck.examination import Examination, spread
from minires.gradcheck.judge import judge, measure
from minires.gradcheck.numeric import Line
from minires.gradcheck.problem import Arrays
from minires.gradcheck.result import ArrayResult, Verdict

PAIRS = 20
Place = tuple[int, tuple[int, ...]]  # which variable, which of its numbers


def move_ties_together(state: Examination, results: Sequence[ArrayResult]) -> list[ArrayResult]:
    """`results`, with WRONG where the gradient is off along a smooth direction through undeclared kinks."""
    results = list(results)
    places = [
        (number, element.index)
        for number, result in enumerate(results)
        for element in result.elements
        if element.verdict is Verdict.KINK and element.between_slopes and element.index is not None
    ]
    for chosen in _directions(state.rng, places):
        direction = _along(state, chosen)
        number = chosen[0][0]
        line = Line(state.origin, direction, spread(state.problem.point[number]))
        found = measure(line, state.u, state.how)
        if found.kink is not None or found.crossing:
            continue
        for gradients in state.gradients.values():
            analytic = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
            noise = sum(float((n * d).sum()) for n, d in zip(state.noise, direction, strict=True))
            element = judge(None, analytic, noise, found, state.size(number), state.how)
            if element.verdict is Verdict.WRONG:
                element = replace(element, reason=f"along a direction in which {len(chosen)} ties move together")
                elements = (*results[number].elements, element)
                results[number] = replace(results[number], elements=elements, verdict=Verdict.WRONG)
                return results
    return results


def _along(state: Examination, chosen: Sequence[Place]) -> Arrays:
    direction = [np.zeros(x.shape) for x in state.problem.point]
    for number, index in chosen:
        direction[number][index] = 1.0
    return direction


def _directions(rng: np.random.Generator, places: list[Place]) -> Iterator[list[Place]]:
    """All together, then pairs of them."""
    if len(places) < 2:
        return
    yield places
    for _ in range(min(PAIRS, len(places) * (len(places) - 1) // 2)):
        first, second = rng.choice(len(places), 2, replace=False)
        yield [places[first], places[second]]
