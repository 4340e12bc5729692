"""Networks, whose gradients have too many numbers to look at one by one: along random directions.

The complex step costs one forward pass a direction, and is as sharp in a deep network as in one op; so each parameter
tensor gets a direction of its own, at the price of a few hundred forward passes in all. That the function is analytic
between its kinks, and the complex step therefore its derivative, is confirmed once, by differences along a direction in
all tensors together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minires.gradcheck.examination import Examination, random_direction, spread
from minires.gradcheck.judge import CONFIRMED, SAFETY, Measured, agree, judge, measure
from minires.gradcheck.numeric import FEW, Estimate, Line, Step, richardson
from minires.gradcheck.problem import Arrays
from minires.gradcheck.progress import Progress
from minires.gradcheck.result import ArrayResult, Element, Verdict, worst

# What a deep network with small batches computes is smooth over tiny steps only.
SWEEPS = (FEW, range(6, 10), range(10, 13))
MANY_VARIABLES = 9
MANY_ELEMENTS = 20_000


def is_network(state: Examination) -> bool:
    """Whether there is so much to differentiate by that single numbers would say little."""
    return len(state.problem.point) >= MANY_VARIABLES or sum(x.size for x in state.problem.point) > MANY_ELEMENTS


def together(state: Examination) -> tuple[Element, Measured]:
    """The verdict along one direction in all variables, each moved in proportion to the spread of its numbers."""
    direction: Arrays = []
    for x in state.problem.point:
        size = 2.0 ** round(math.log2(spread(x) / max(1.0, x.size) ** 0.5))
        direction.append(random_direction(state.rng, x.shape) * size)
    line = Line(state.origin, direction, 1.0)
    found = _along(line, state)
    elements = []
    for label, gradients in state.gradients.items():
        with np.errstate(all="ignore"):
            terms = [g * d for g, d in zip(gradients, direction, strict=True)]
            analytic = sum(float(each.sum()) for each in terms)
            noise = math.hypot(*(float(np.linalg.norm(n * d)) for n, d in zip(state.noise, direction, strict=True)))
            size = math.hypot(*(float(np.linalg.norm(each)) for each in terms))
        elements.append((label, judge(None, analytic, noise, found, size, state.how)))
    return state.worse(elements), found


def _along(line: Line, state: Examination) -> Measured:
    """By the complex step, with the choices made at x; confirmed by a few differences with the same choices."""
    exact = line.complex_step(state.u) if state.how.method in ("auto", "adjoint", "complex") else None
    steps: list[Step] = []
    for powers in SWEEPS:
        steps += line.sweep(state.u, frozen=True, powers=powers)
        if exact is not None and _confirmed(exact, steps[-len(powers) :]):
            return Measured(exact.renamed(CONFIRMED), steps, None, "")
    difference = richardson(steps)
    return Measured(difference, steps, None, "") if difference is not None else measure(line, state.u, state.how)


def _confirmed(exact: Estimate, steps: Sequence[Step]) -> bool:
    """Whether these differences agree with the complex step, as sharply as they can, and that is to a thousandth."""
    difference = richardson(steps)
    if agree(exact, steps) or difference is None:
        return difference is not None
    error = SAFETY * difference.error
    return error <= 1e-3 * abs(exact.value) and abs(exact.value - difference.value) <= error


def each_alone(state: Examination, confirmed: bool, progress: Progress) -> list[ArrayResult]:
    """A result for each variable, along a direction in it. confirmed: the complex step is to be trusted."""
    results = []
    for number, variable in enumerate(state.problem.variables):
        line, d = state.projection(number)
        exact = line.complex_step(state.u) if confirmed else None
        found = Measured(exact, (), None, "") if exact is not None else _along(line, state)
        element = state.judged_projection(number, d, found)
        verdict = element.verdict
        if verdict is not Verdict.WRONG and element.vanishes:
            verdict = Verdict.VACUOUS
        results.append(ArrayResult(variable.name, state.problem.point[number].shape, (element,), verdict))
        progress(number + 1, len(state.problem.variables))
    return results


def examine_network(
    state: Examination, wrong: list[tuple[int, Element]], fast: bool, progress: Progress
) -> list[ArrayResult]:
    """All together; then each tensor alone, unless `fast` and all is well. wrong: what is known to be."""
    element, _ = together(state)
    confirmed = element.method == CONFIRMED
    if fast and element.verdict is Verdict.PASS and not wrong:
        total = sum(x.size for x in state.problem.point)
        name = f"all {len(state.problem.point)} arrays together"
        return [ArrayResult(name, (total,), (element,), element.verdict)]
    results = each_alone(state, confirmed, progress)
    for number, extra in wrong:
        elements = (*results[number].elements, extra)
        verdict = worst(each.verdict for each in elements)
        results[number] = ArrayResult(results[number].name, results[number].shape, elements, verdict)
    return results
