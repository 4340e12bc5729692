"""What a report says of places where the gradient stops: by accident, or declared by `stop_gradients=True`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minires.gradcheck.comparison import compare_gradients
from minires.gradcheck.judge import Tolerances
from minires.gradcheck.problem import Problem
from minires.gradcheck.result import ArrayResult, Verdict
from minires.gradcheck.stops import Stop

SHOWN = 4
HELD = "stop_gradients: these keep the values that they have here, and what remains was checked: {}"
NOTHING_HELD = "stop_gradients: the gradient stops nowhere here, so that this option changes nothing"
ACCIDENT = "the gradient stops at {}: it depends on the inputs, but backward does not pass through it"
REMEDY = (
    "with what enters there held constant the rest is {}. If the gradient is to stop there, pass stop_gradients=True"
)


def stopped_note(problem: Problem) -> str:
    """What `stop_gradients=True` holds constant."""
    stops = problem.find_stops()
    return HELD.format(_named(stops)) if stops else NOTHING_HELD


def explain_stops(
    problem: Problem, tolerances: Tolerances, seed: int, arrays: Sequence[ArrayResult], engine: str
) -> tuple[list[ArrayResult], list[str]]:
    """(arrays, notes) of a report with WRONG arrays: their guess, if the gradient stops somewhere.

    engine: the guess that paths are not added up, which is none where paths stop.
    """
    stops = problem.find_stops()
    if not stops:
        return list(arrays), []
    before = problem.held
    problem.hold(stops=True)
    try:
        rest = compare_gradients(problem, tolerances, np.random.default_rng(seed), projections_only=True).arrays
    finally:
        problem.held = before
    wrong = any(array.verdict is Verdict.WRONG for array in rest)
    note = f"{ACCIDENT.format(_named(stops))}; {REMEDY.format('wrong, too' if wrong else 'right')}"
    return [_explained(array, f"the gradient stops at {stops[0]}", engine, wrong) for array in arrays], [note]


def _explained(array: ArrayResult, reason: str, engine: str, wrong_besides: bool) -> ArrayResult:
    if array.verdict is not Verdict.WRONG or not array.elements:
        return array
    return replace(array, guess=array.guess.replace(engine, reason) if wrong_besides else reason)


def _named(stops: Sequence[Stop]) -> str:
    more = f" and {len(stops) - SHOWN} more places" if len(stops) > SHOWN else ""
    return ", ".join(map(str, stops[:SHOWN])) + more
