"""Networks, whose gradients have too many numbers to look at one by one: along random directions.

The complex step costs one forward pass a direction, and is as sharp in a deep network as in one op; so each parameter
tensor gets a direction of its own, at the price of a few hundred forward passes in all. That the function is analytic
between its kinks, and the complex step therefore its derivative, is confirmed once, by differences along a direction in
all tensors together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minires.gradcheck.examination import Examination, random_direction, spread, widths
from minires.gradcheck.judge import CONFIRMED, Measured, judge, measure_on_piece
from minires.gradcheck.numeric import Line
from minires.gradcheck.problem import Arrays
from minires.gradcheck.progress import Progress
from minires.gradcheck.result import ArrayResult, Element, Verdict, worst

NEGLIGIBLE = 1e-6  # a share of the whole that is not seen in it
MANY_VARIABLES = 9
MANY_ELEMENTS = 20_000


def is_network(state: Examination) -> bool:
    """Whether there is so much to differentiate by that single numbers would say little."""
    return len(state.problem.point) >= MANY_VARIABLES or sum(x.size for x in state.problem.point) > MANY_ELEMENTS


def together(state: Examination) -> tuple[Element, list[int]]:
    """The verdict along one direction in all variables.

    And the variables that count for so little in it that it says nothing of them.
    """
    direction = _even_direction(state)
    line = Line(state.origin, direction, 1.0)
    found = measure_on_piece(line, state.u, state.how)
    elements, sizes = [], []
    for label, gradients in state.gradients.items():
        with np.errstate(all="ignore"):
            terms = [g * d for g, d in zip(gradients, direction, strict=True)]
            analytic = sum(float(each.sum()) for each in terms)
            noise = math.hypot(*(float(np.linalg.norm(n * d)) for n, d in zip(state.noise, direction, strict=True)))
            sizes = [float(np.linalg.norm(each)) for each in terms]
            size = math.hypot(*sizes)
        elements.append((label, judge(None, analytic, noise, found, size, state.how)))
    return state.worse(elements), [k for k, each in enumerate(sizes) if each <= NEGLIGIBLE * math.hypot(*sizes)]


def _even_direction(state: Examination) -> Arrays:
    """A direction in all variables, each moved in proportion to the spread of its numbers; but less where its gradient
    is so large that it would hide the others'. The first layers of a deep plain network have some 10⁷ times the last's.
    """
    direction: Arrays = []
    for x in state.problem.point:
        size = 2.0 ** round(math.log2(spread(x) / max(1.0, x.size) ** 0.5))
        direction.append(random_direction(state.rng, x.shape) * widths(x) * size)
    with np.errstate(all="ignore"):
        sizes = [
            float(np.linalg.norm(np.nan_to_num(g * d)))
            for g, d in zip(state.gradients["backward"], direction, strict=True)
        ]
    usual = float(np.median([size for size in sizes if size] or [1.0]))
    return [
        d * 2.0 ** round(math.log2(usual / size)) if size > usual else d
        for d, size in zip(direction, sizes, strict=True)
    ]


def each_alone(state: Examination, numbers: Sequence[int], confirmed: bool, progress: Progress) -> list[ArrayResult]:
    """A result for each of these variables, along a direction in it. confirmed: the complex step is to be trusted."""
    results = []
    for done, number in enumerate(numbers, 1):
        variable = state.problem.variables[number]
        line, d = state.projection(number)
        exact = line.complex_step(state.u) if confirmed else None
        found = Measured(exact, (), None, "") if exact is not None else measure_on_piece(line, state.u, state.how)
        element = state.judged_projection(number, d, found)
        verdict = element.verdict
        if verdict is not Verdict.WRONG and element.vanishes:
            verdict = Verdict.VACUOUS
        shape = state.problem.point[number].shape
        results.append(ArrayResult(variable.name, shape, (element,), verdict, number=number))
        progress(done, len(numbers))
    return results


def examine_network(
    state: Examination, wrong: list[tuple[int, Element]], fast: bool, progress: Progress
) -> list[ArrayResult]:
    """All together; then each tensor alone, unless `fast` and all is well. wrong: what is known to be."""
    element, negligible = together(state)
    confirmed = element.method == CONFIRMED
    if fast and element.verdict is Verdict.PASS and not wrong:
        count = len(state.problem.point) - len(negligible)
        total = sum(x.size for k, x in enumerate(state.problem.point) if k not in negligible)
        result = ArrayResult(f"{count} arrays together", (total,), (element,), element.verdict)
        return [result, *each_alone(state, negligible, confirmed, progress)]
    results = each_alone(state, range(len(state.problem.point)), confirmed, progress)
    for number, extra in wrong:
        elements = (*results[number].elements, extra)
        verdict = worst(each.verdict for each in elements)
        results[number] = replace(results[number], elements=elements, verdict=verdict)
    return results
