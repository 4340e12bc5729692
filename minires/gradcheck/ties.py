"""Numbers at kinks that nobody declared, moved together: along such a direction a maximum of ties is smooth.

max(a, b) at a = b has one-sided slopes 0 and 1 in a, and in b, so a gradient of (1, 1) lies between them in both; but
along (1, 1) the slope is 1 on both sides, not 2. Ties are between equal numbers, so all that are equal are moved alike:
first every value by an amount of its own, zero staying where it is, since it is the kink of ReLU and |x|; and should
that line have a kink yet, one value after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from minires.gradcheck.examination import Examination, random_direction, spread
from minires.gradcheck.judge import judge, measure
from minires.gradcheck.numeric import Line
from minires.gradcheck.problem import Arrays
from minires.gradcheck.result import ArrayResult, Verdict

MOST_VALUES = 30  # moved one after the other


def move_ties_together(state: Examination, results: Sequence[ArrayResult]) -> list[ArrayResult]:
    """`results`, with WRONG where the gradient is off along a smooth direction through undeclared kinks."""
    results = list(results)
    if not any(element.between_slopes for result in results for element in result.elements):
        return results
    for direction in _directions(state):
        number = max(range(len(direction)), key=lambda k: float(abs(direction[k]).max(initial=0.0)))
        line = Line(state.origin, direction, min(map(spread, state.problem.point)))
        found = measure(line, state.u, state.how)
        if found.kink is not None or found.crossing:
            continue
        for gradients in state.gradients.values():
            analytic = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
            noise = sum(float((n * abs(d)).sum()) for n, d in zip(state.noise, direction, strict=True))
            element = judge(None, analytic, noise, found, state.size(number), state.how)
            if element.verdict is Verdict.WRONG:
                element = replace(element, reason="along a direction in which equal numbers, all ties, move together")
                elements = (*results[number].elements, element)
                results[number] = replace(results[number], elements=elements, verdict=Verdict.WRONG)
                return results
    return results


def _directions(state: Examination) -> Iterator[Arrays]:
    """Every value by an amount of its own; then one value after the other, of those that several numbers have."""
    flat = np.concatenate([x.reshape(-1) for x in state.problem.point])
    values, which, counts = np.unique(flat, return_inverse=True, return_counts=True)
    amounts = np.where(values == 0, 0.0, random_direction(state.rng, values.shape))
    yield _as_arrays(amounts[which], state)
    repeated = np.flatnonzero(counts > 1)
    for k in repeated[np.argsort(-counts[repeated], kind="stable")][:MOST_VALUES]:
        yield _as_arrays((which == k).astype(float), state)


def _as_arrays(flat: np.ndarray, state: Examination) -> Arrays:
    ends = np.cumsum([x.size for x in state.problem.point])[:-1]
    return [part.reshape(x.shape) for part, x in zip(np.split(flat, ends), state.problem.point, strict=True)]
