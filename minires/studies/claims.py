"""Judges claims by measurements.

A claim's criterion is an expression in Python over the numbers that the claim measures, for instance
`plain56 > plain20`. The same text is evaluated here and printed in the report, so the two cannot differ.
"""

from __future__ import annotations

from typing import Any

from minires.studies.form import Claim, Study
from minires.studies.results import NotMeasuredError, Results
from minires.studies.store import rounded

# What a criterion may use besides its numbers.
FUNCTIONS = {"abs": abs, "min": min, "max": max, "sqrt": lambda x: x**0.5}


def holds(criterion: str, numbers: dict[str, float]) -> bool:
    """Whether a criterion is true of some numbers. Raises NameError for a number that is missing."""
    return bool(eval(criterion, {"__builtins__": {}, **FUNCTIONS}, numbers))


def judge(study: Study, results: Results) -> list[dict[str, Any]]:
    """The claims of a study as results.json holds them. "holds" is None where something was not measured."""
    return [_judged(claim, results) for claim in study.claims]


def _judged(claim: Claim, results: Results) -> dict[str, Any]:
    try:
        ours = rounded(dict(claim.ours(results)))
        verdict = None if None in ours.values() else holds(claim.criterion, ours)
    except NotMeasuredError:
        ours, verdict = None, None
    return {
        "id": claim.id,
        "text": claim.text,
        "source": claim.source,
        "paper": claim.paper,
        "ours": ours,
        "criterion": claim.criterion,
        "holds": verdict,
    }
