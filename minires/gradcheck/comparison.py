"""The comparison of all gradients of a problem with numerical ones: number by number, or along random directions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from minires.gradcheck.consistency import input_subset_errors, interleaving_errors, linearity_errors
from minires.gradcheck.judge import Measurement, Tolerances, measure
from minires.gradcheck.line import FEW
from minires.gradcheck.network import check_network, is_network
from minires.gradcheck.problem import Problem
from minires.gradcheck.progress import Progress, silent
from minires.gradcheck.result import ArrayResult, Curve, Element, Verdict, worst
from minires.gradcheck.small_outputs import check_small_outputs
from minires.gradcheck.tied_inputs import check_tied_inputs
from minires.gradcheck.under_test import GradientUnderTest

ALL_ELEMENTS = 400  # up to so many numbers in all are checked one by one
SOME_ELEMENTS = 16  # of each array, if there are more
UNUSED = "f does not depend on it"
PROJECTIONS = 2  # random directions in each array


@dataclass(frozen=True)
class Comparison:
    """The results, one for each variable, and what `GradientUnderTest` found out about the function as a whole."""

    arrays: tuple[ArrayResult, ...]
    nondeterministic: str = ""
    float32_branches: int = 0
    gradients: Sequence[np.ndarray] = ()  # the analytic ones, one for each variable


def compare_gradients(
    problem: Problem,
    tolerances: Tolerances,
    rng: np.random.Generator,
    *,
    projections_only: bool,
    one_result: bool = False,
    nondet_tol: float = 0.0,
    progress: Progress = silent,
    full_sweeps: bool = False,
) -> Comparison:
    """Compare the gradient by every variable of the problem; nondet_tol and progress are as of `gradcheck`.

    Args:
        projections_only: Whether to check along random directions only.
        one_result: Whether one result for all arrays of a network together is enough, if it is PASS.
        full_sweeps: Whether each result's curve covers all steps, not only those that it was judged by. Results of a
            network have no curve.
    """
    tested = GradientUnderTest(problem, tolerances, rng, nondet_tol)
    if tested.nondeterministic:
        results = [
            ArrayResult(variable.name, x.shape, (), Verdict.VACUOUS, note="not checked")
            for variable, x in zip(problem.variables, problem.point, strict=True)
        ]
        return Comparison(tuple(results), tested.nondeterministic, tested.float32_branches)
    wrong = [*linearity_errors(tested), *input_subset_errors(tested), *interleaving_errors(tested)]
    if is_network(tested):
        results = check_network(tested, wrong, one_result, progress)
        return Comparison(tuple(results), "", tested.float32_branches, tested.gradients["backward"])
    results = []
    for number, variable in enumerate(problem.variables):
        measured = list(_measured(tested, number, projections_only or tolerances.method == "adjoint"))
        elements = [element for element, _ in measured] + [element for n, element in wrong if n == number]
        curve = _curve(tested, number, measured, full_sweeps)
        results.append(_result(variable.name, problem.point[number].shape, elements, curve, number))
        progress(number + 1, len(problem.variables))
    results = check_small_outputs(tested, check_tied_inputs(tested, _without_unused(tested, results)))
    return Comparison(tuple(results), "", tested.float32_branches, tested.gradients["backward"])


def _without_unused(tested: GradientUnderTest, results: Sequence[ArrayResult]) -> list[ArrayResult]:
    """`results`, of which those for variables that f does not use say so and are no failure, unless all are."""
    unused = [
        result.verdict is Verdict.VACUOUS
        and result.number is not None
        and all(not element.analytic for element in result.elements)
        and tested.is_unused(result.number)
        for result in results
    ]
    if all(unused):
        return list(results)
    return [
        ArrayResult(each.name, each.shape, (), Verdict.PASS, UNUSED, number=each.number) if is_unused else each
        for each, is_unused in zip(results, unused, strict=True)
    ]


def _measured(tested: GradientUnderTest, number: int, projections_only: bool) -> Iterator[tuple[Element, Measurement]]:
    total = sum(array.size for array in tested.problem.point)
    shape = tested.problem.point[number].shape
    size = int(np.prod(shape))
    if not size:
        return
    everything = not projections_only and (total <= ALL_ELEMENTS or size <= SOME_ELEMENTS)
    if not projections_only:
        flat = range(size) if everything else sorted(tested.rng.choice(size, SOME_ELEMENTS, replace=False))
        for k in flat:
            yield tested.check_element(number, tuple(int(i) for i in np.unravel_index(int(k), shape)))
    if not everything:
        for _ in range(PROJECTIONS):
            yield tested.check_projection(number)


def _curve(
    tested: GradientUnderTest, number: int, measured: Sequence[tuple[Element, Measurement]], full: bool
) -> Curve | None:
    """The curve of the element of one variable that a page shows; None if nothing was measured.

    full: whether to repeat the sweep over all steps: the few that confirm the complex step do not make a V-curve. A
    projection that passed keeps its few steps, so that a fast check stays fast.
    """
    if not measured:
        return None
    element, measurement = max(measured, key=lambda each: _interest(each[0]))
    steps = measurement.steps
    if full and len(steps) <= len(FEW) and (element.index is not None or element.verdict is not Verdict.PASS):
        if element.index is not None:
            line = tested.line_along_element(number, element.index)
        else:  # a new direction: that of the element was not kept
            line, d = tested.random_line(number)
            element = tested.judge_projection(number, d, measure(line, tested.u, tested.tolerances))
        steps = line.sweep(tested.u)
    return Curve(element.index, element.analytic, element.numeric, tuple(steps))


def _interest(element: Element) -> tuple[int, bool, float]:
    """A rank: the worst verdict, a number before a projection, then the largest difference (if PASS, number)."""
    size = abs(element.analytic if element.verdict is Verdict.PASS else element.difference)
    return element.verdict.rank, element.index is not None, size if math.isfinite(size) else math.inf


def _result(
    name: str, shape: tuple[int, ...], elements: list[Element], curve: Curve | None, number: int
) -> ArrayResult:
    if not elements:
        return ArrayResult(name, shape, (), Verdict.PASS, note="empty", number=number)
    verdict = worst(element.verdict for element in elements)
    if verdict is not Verdict.WRONG and all(element.vanishes for element in elements):
        verdict = Verdict.VACUOUS
    return ArrayResult(name, shape, tuple(elements), verdict, curve=curve, number=number)
