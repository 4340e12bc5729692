"""What a sweep of step sizes shows, in words: a V-curve, a plateau, or nothing.

|D(h) − numeric|     falls with h², then grows with 1/h: a V-curve, if the numeric value is the derivative
|D(h) − analytic|    the same V-curve if the analytic value is right; else a plateau at |analytic − numeric|
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from minires.gradcheck.line import Step
from minires.gradcheck.markup import short
from minires.gradcheck.result import ArrayResult, Curve, Verdict

PLATEAU = 10  # least distance of a plateau, in units of the differences' error


@dataclass(frozen=True)
class SweepSummary:
    """A sweep in numbers.

    Attributes:
        clean: The steps that do not cross a kink.
        best: The step whose difference is nearest to the numeric value.
        accuracy: How near it is, with the rounding error of the difference.
        apart: How far it is from the analytic value.
    """

    clean: tuple[Step, ...]
    best: Step
    accuracy: float
    apart: float

    @property
    def is_plateau(self) -> bool:
        """Whether the analytic value is farther away than the error of the differences explains."""
        return self.apart > PLATEAU * self.accuracy


def summarize(curve: Curve) -> SweepSummary | None:
    """The sweep in numbers; None if every step crosses a kink, or a value is not finite."""
    clean = tuple(step for step in curve.steps if not step.crossings and math.isfinite(step.central))
    if not clean or not math.isfinite(curve.numeric) or not math.isfinite(curve.analytic):
        return None

    def accuracy(step: Step) -> float:
        return abs(step.central - curve.numeric) + step.rounding

    best = min(clean, key=accuracy)
    return SweepSummary(clean, best, accuracy(best), abs(best.central - curve.analytic))


def verdict_of(array: ArrayResult) -> Verdict:
    """The verdict on the element whose curve an array shows."""
    curve = array.curve
    for element in array.elements:
        if curve and (element.index, element.analytic) == (curve.index, curve.analytic):
            return element.verdict
    return array.verdict


def describe(curve: Curve, verdict: Verdict) -> str:
    """What the curve shows, as plain text for a reader who does not see it."""
    if not curve.steps:
        return "No step gave a finite difference: the function is not finite around this point."
    crossings = [crossing for step in curve.steps for crossing in step.crossings]
    if all(step.crossings for step in curve.steps):
        return (
            f"Every step crosses a kink: {crossings[-1]} takes another branch at x ± h than at x. So these differences "
            f"do not count; the numeric value was measured with the branches held as they are at x."
        )
    summary = summarize(curve)
    if summary is None:
        return (
            f"The analytic value is {curve.analytic:g}, the numeric one {curve.numeric:g}: there is no error to draw."
        )
    said = _describe_plateau(curve, summary, verdict) if summary.is_plateau else _describe_v_curve(curve, summary)
    if crossings:
        said += f" Hollow steps cross a kink of {crossings[-1]}; they do not count."
    return said


def _describe_plateau(curve: Curve, summary: SweepSummary, verdict: Verdict) -> str:
    size = max(abs(curve.numeric), abs(curve.analytic))
    if verdict is Verdict.KINK:
        return (
            f"A plateau at {short(summary.apart)}, as expected at a kink: the central difference is the mean of both "
            f"slopes, and the analytic value is another one between them."
        )
    seen = (
        f"A plateau: at h = {short(summary.best.h)} the difference comes within {short(summary.accuracy)} of the "
        f"numeric value, but it stays {short(summary.apart)} away from the analytic one, "
        f"{short(summary.apart / size)} of the number."
    )
    if verdict is Verdict.WRONG:
        return f"{seen} A smaller step does not help: the analytic value is wrong."
    return f"{seen} That is within what was allowed for the rounding of the analytic value."


def _describe_v_curve(curve: Curve, summary: SweepSummary) -> str:
    errors = [abs(step.central - curve.numeric) for step in summary.clean]
    least = abs(summary.best.central - curve.numeric)
    if not any(errors):
        return (
            "No error at all: every difference equals the numeric value to the last bit, and so does the analytic one."
        )
    falls = errors[0] > 10 * max(least, summary.best.rounding)
    rises = errors[-1] > 10 * max(least, summary.best.rounding)
    near = f"{short(summary.accuracy)} at h = {short(summary.best.h)}"
    if falls and rises:
        seen = f"A V-curve: the error falls with h to {near}, and below that rounding makes it grow again."
    elif falls:
        seen = f"The falling half of a V-curve: the error falls with h to {near}."
    elif rises:
        seen = (
            f"The rising half of a V-curve: f is nearly straight along this line, so large steps are accurate, and the "
            f"error is {near}; below that rounding makes it grow."
        )
    else:
        seen = f"Flat: the error is no more than {short(max(errors))} at any step."
    return f"{seen} The analytic value shows the same errors: nothing contradicts it."
