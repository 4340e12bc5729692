"""A check for undeclared kinks: all inputs that are equal, and so tied, are moved together.

max(a, b) at a = b has the one-sided slopes 0 and 1 in a, and in b. A gradient of (1, 1), which gives the whole to both,
lies between the slopes in each of them. But along the direction (1, 1) the function is smooth with slope 1, not 2. Ties
are between equal numbers, so directions that move equal numbers equally find such a mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from minires.gradcheck.judge import judge, measure
from minires.gradcheck.line import Line
from minires.gradcheck.problem import Arrays
from minires.gradcheck.result import ArrayResult, Verdict
from minires.gradcheck.sampling import random_direction, spread
from minires.gradcheck.under_test import GradientUnderTest

MOST_VALUES = 30  # moved one after the other


def check_tied_inputs(tested: GradientUnderTest, results: Sequence[ArrayResult]) -> list[ArrayResult]:
    """`results`, with one of them WRONG if the gradient is wrong along a smooth direction through undeclared kinks."""
    results = list(results)
    if not any(element.between_slopes for result in results for element in result.elements):
        return results
    for direction in _directions(tested):
        number = max(range(len(direction)), key=lambda k: float(abs(direction[k]).max(initial=0.0)))
        line = Line(tested.origin, direction, min(map(spread, tested.problem.point)))
        measurement = measure(line, tested.u, tested.tolerances)
        if measurement.kink is not None or measurement.crossing:
            continue
        for gradients in tested.gradients.values():
            analytic = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
            noise = sum(float((n * abs(d)).sum()) for n, d in zip(tested.noise, direction, strict=True))
            element = judge(None, analytic, noise, measurement, tested.scale(number), tested.tolerances)
            if element.verdict is Verdict.WRONG:
                element = replace(element, reason="along a direction in which equal numbers, all ties, move together")
                elements = (*results[number].elements, element)
                results[number] = replace(results[number], elements=elements, verdict=Verdict.WRONG)
                return results
    return results


def _directions(tested: GradientUnderTest) -> Iterator[Arrays]:
    """First every value by an amount of its own, except 0, the kink of ReLU and |x|; then each repeated value alone."""
    flat = np.concatenate([x.reshape(-1) for x in tested.problem.point])
    values, which, counts = np.unique(flat, return_inverse=True, return_counts=True)
    amounts = np.where(values == 0, 0.0, random_direction(tested.rng, values.shape))
    yield _as_arrays(amounts[which], tested)
    repeated = np.flatnonzero(counts > 1)
    for k in repeated[np.argsort(-counts[repeated], kind="stable")][:MOST_VALUES]:
        yield _as_arrays((which == k).astype(float), tested)


def _as_arrays(flat: np.ndarray, tested: GradientUnderTest) -> Arrays:
    ends = np.cumsum([x.size for x in tested.problem.point])[:-1]
    return [part.reshape(x.shape) for part, x in zip(np.split(flat, ends), tested.problem.point, strict=True)]
