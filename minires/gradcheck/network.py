"""Networks have too many numbers to check one by one: their gradients are checked along random directions.

The complex step costs one forward pass for each direction and is as precise in a deep network as in one op. So each
parameter tensor is checked along a direction of its own. That the network is analytic between its kinks, so that the
complex step gives its derivative, is confirmed once, by differences along one direction in all tensors together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minires.gradcheck.judge import CONFIRMED, Measurement, judge, measure_with_fixed_branches
from minires.gradcheck.line import Line
from minires.gradcheck.problem import Arrays
from minires.gradcheck.progress import Progress
from minires.gradcheck.result import ArrayResult, Element, Verdict, worst
from minires.gradcheck.sampling import random_direction, relative_steps, spread
from minires.gradcheck.under_test import GradientUnderTest, worse

NEGLIGIBLE = 1e-6  # share of the joint projection below which a variable does not show in it
MANY_VARIABLES = 9
MANY_ELEMENTS = 20_000


def is_network(tested: GradientUnderTest) -> bool:
    """Whether there are so many variables or numbers that single numbers would say little."""
    point = tested.problem.point
    return len(point) >= MANY_VARIABLES or sum(x.size for x in point) > MANY_ELEMENTS


def check_network(
    tested: GradientUnderTest, wrong: list[tuple[int, Element]], fast: bool, progress: Progress
) -> list[ArrayResult]:
    """A result for each variable. wrong: (number of a variable, element) that are known to be WRONG.

    fast: whether one result for all variables together is enough if it is PASS; variables that do not show in it get a
    result of their own.
    """
    variables, point = tested.problem.variables, tested.problem.point
    element, negligible = _joint_projection(tested)
    confirmed = element.method == CONFIRMED
    if fast and element.verdict is Verdict.PASS and not wrong:
        total = sum(x.size for k, x in enumerate(point) if k not in negligible)
        name = f"{len(variables) - len(negligible)} arrays together"
        result = ArrayResult(name, (total,), (element,), element.verdict)
        return [result, *_each_variable(tested, negligible, confirmed, progress)]
    results = _each_variable(tested, range(len(variables)), confirmed, progress)
    for number, extra in wrong:
        elements = (*results[number].elements, extra)
        verdict = worst(each.verdict for each in elements)
        results[number] = replace(results[number], elements=elements, verdict=verdict)
    return results


def _joint_projection(tested: GradientUnderTest) -> tuple[Element, list[int]]:
    """(the verdict along one direction in all variables, the variables that are too small in it to show)."""
    direction = _balanced_direction(tested)
    line = Line(tested.origin, direction, 1.0)
    measurement = measure_with_fixed_branches(line, tested.u, tested.tolerances)
    elements, sizes = {}, []
    for label, gradients in tested.gradients.items():
        with np.errstate(all="ignore"):
            terms = [g * d for g, d in zip(gradients, direction, strict=True)]
            analytic = sum(float(each.sum()) for each in terms)
            noise = math.hypot(*(float(np.linalg.norm(n * d)) for n, d in zip(tested.noise, direction, strict=True)))
            sizes = [float(np.linalg.norm(each)) for each in terms]
            size = math.hypot(*sizes)
        elements[label] = judge(None, analytic, noise, measurement, size, tested.tolerances)
    return worse(elements), [k for k, each in enumerate(sizes) if each <= NEGLIGIBLE * math.hypot(*sizes)]


def _balanced_direction(tested: GradientUnderTest) -> Arrays:
    """A direction in all variables, each in proportion to the spread of its numbers, but less where the gradient is
    large.

    A variable with a far larger gradient would hide the others: in a deep plain network the gradients of the first
    layers are some 10⁷ times those of the last.
    """
    direction: Arrays = []
    for x in tested.problem.point:
        size = 2.0 ** round(math.log2(spread(x) / max(1.0, x.size) ** 0.5))
        direction.append(random_direction(tested.rng, x.shape) * relative_steps(x) * size)
    with np.errstate(all="ignore"):
        sizes = [
            float(np.linalg.norm(np.nan_to_num(g * d)))
            for g, d in zip(tested.gradients["backward"], direction, strict=True)
        ]
    usual = float(np.median([size for size in sizes if size] or [1.0]))
    return [
        d * 2.0 ** round(math.log2(usual / size)) if size > usual else d
        for d, size in zip(direction, sizes, strict=True)
    ]


def _each_variable(
    tested: GradientUnderTest, numbers: Sequence[int], confirmed: bool, progress: Progress
) -> list[ArrayResult]:
    """A result for each of these variables, along a random direction. confirmed: whether to trust the complex step."""
    results = []
    for done, number in enumerate(numbers, 1):
        line, d = tested.random_line(number)
        exact = line.complex_step(tested.u) if confirmed else None
        if exact is not None:
            measurement = Measurement(exact, ())
        else:
            measurement = measure_with_fixed_branches(line, tested.u, tested.tolerances)
        element = tested.judge_projection(number, d, measurement)
        verdict = element.verdict
        if verdict is not Verdict.WRONG and element.vanishes:
            verdict = Verdict.VACUOUS
        name, shape = tested.problem.variables[number].name, tested.problem.point[number].shape
        results.append(ArrayResult(name, shape, (element,), verdict, number=number))
        progress(done, len(numbers))
    return results
