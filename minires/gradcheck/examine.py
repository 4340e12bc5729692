"""All of a problem examined: every input's gradient, element by element or along random directions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minires.gradcheck.examination import Examination
from minires.gradcheck.judge import Measured, Tolerances
from minires.gradcheck.network import examine_network, is_network
from minires.gradcheck.problem import Problem
from minires.gradcheck.progress import Progress, silent
from minires.gradcheck.result import ArrayResult, Curve, Element, Verdict, worst
from minires.gradcheck.ties import move_ties_together
from minires.gradcheck.valley import curve

ALL_ELEMENTS = 400  # so many numbers in all are checked one by one
SOME_ELEMENTS = 16  # of each array, beyond that
PROJECTIONS = 2  # and so many random directions in it


@dataclass(frozen=True)
class Examined:
    """The results, and in what f or its gradient did not give the same answer twice, if so."""

    arrays: tuple[ArrayResult, ...]
    unsteady: str = ""
    float32_choices: int = 0


def examine(
    problem: Problem,
    how: Tolerances,
    rng: np.random.Generator,
    *,
    projections_only: bool,
    one_result: bool = False,
    nondet_tol: float = 0.0,
    progress: Progress = silent,
    valleys: bool = False,
) -> Examined:
    """Every variable's result; `projections_only` where elements would be too many.

    one_result: of a network's arrays together one result will do, if it is a good one. valleys: each result's curve
    covers all steps, not only those it was judged by; a network's results have none.
    """
    state = Examination(problem, how, rng, nondet_tol)
    if state.unsteady:
        arrays = [
            ArrayResult(variable.name, x.shape, (), Verdict.VACUOUS, note="not looked at")
            for variable, x in zip(problem.variables, problem.point, strict=True)
        ]
        return Examined(tuple(arrays), state.unsteady, state.float32_choices)
    wrong = [*state.not_linear(), *state.not_alone()]
    if is_network(state):
        arrays = examine_network(state, wrong, one_result, progress)
        return Examined(tuple(arrays), state.unsteady, state.float32_choices)
    results = []
    for number, variable in enumerate(problem.variables):
        measured = list(_measured(state, number, projections_only or how.method == "adjoint"))
        elements = [element for element, _ in measured] + [element for n, element in wrong if n == number]
        drawn = curve(state, number, measured, valleys)
        results.append(_result(variable.name, problem.point[number].shape, elements, drawn, number))
        progress(number + 1, len(problem.variables))
    results = move_ties_together(state, results)
    return Examined(tuple(results), state.unsteady, state.float32_choices)


def _measured(state: Examination, number: int, projections_only: bool) -> Iterator[tuple[Element, Measured]]:
    total = sum(array.size for array in state.problem.point)
    shape = state.problem.point[number].shape
    size = int(np.prod(shape))
    if not size:
        return
    if projections_only:
        for _ in range(PROJECTIONS):
            yield state.projected(number)
        return
    everything = total <= ALL_ELEMENTS or size <= SOME_ELEMENTS
    flat = range(size) if everything else sorted(state.rng.choice(size, SOME_ELEMENTS, replace=False))
    for k in flat:
        yield state.element(number, tuple(int(i) for i in np.unravel_index(int(k), shape)))
    if not everything:
        for _ in range(PROJECTIONS):
            yield state.projected(number)


def _result(
    name: str, shape: tuple[int, ...], elements: list[Element], drawn: Curve | None, number: int
) -> ArrayResult:
    verdict = worst(element.verdict for element in elements)
    if not elements:
        return ArrayResult(name, shape, (), Verdict.PASS, note="empty", number=number)
    if verdict is not Verdict.WRONG and all(element.vanishes for element in elements):
        verdict = Verdict.VACUOUS
    return ArrayResult(name, shape, tuple(elements), verdict, curve=drawn, number=number)
