"""What a V-curve says, read off its numbers: a valley, a floor, or that nothing can be read.

|D(h) − numeric|     falls with h², then grows with 1/h: a valley, if the numeric value is the derivative
|D(h) − analytic|    the same valley if the analytic value is right; if not, it stops at |analytic − numeric|, a floor
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from minires.gradcheck.markup import short
from minires.gradcheck.numeric import Step
from minires.gradcheck.result import ArrayResult, Curve, Verdict

FLOOR = 10  # so far above what the differences can resolve, a floor is one


@dataclass(frozen=True)
class Reading:
    """What a curve says: where the difference came nearest to the numeric value, and how near to the analytic one.

    clean: the steps on which nothing crossed. accuracy: the error at `best` with the rounding that is in it.
    """

    clean: tuple[Step, ...]
    best: Step
    accuracy: float
    apart: float

    @property
    def is_floor(self) -> bool:
        """Whether the analytic value stays away farther than the differences are off."""
        return self.apart > FLOOR * self.accuracy


def read(curve: Curve) -> Reading | None:
    """None where nothing can be read: no step without a crossing, or a value that is no number."""
    clean = tuple(step for step in curve.steps if not step.crossings and math.isfinite(step.central))
    if not clean or not math.isfinite(curve.numeric) or not math.isfinite(curve.analytic):
        return None

    def accuracy(step: Step) -> float:
        return abs(step.central - curve.numeric) + step.rounding

    best = min(clean, key=accuracy)
    return Reading(clean, best, accuracy(best), abs(best.central - curve.analytic))


def verdict_of(array: ArrayResult) -> Verdict:
    """On the number whose curve an array shows."""
    curve = array.curve
    for element in array.elements:
        if curve and (element.index, element.analytic) == (curve.index, curve.analytic):
            return element.verdict
    return array.verdict


def sentence(curve: Curve, verdict: Verdict) -> str:
    """What is seen, from the numbers, as plain text."""
    if not curve.steps:
        return "No step gave a finite difference: the function is not finite around this point."
    crossings = [crossing for step in curve.steps for crossing in step.crossings]
    if all(step.crossings for step in curve.steps):
        return (
            f"Every step crosses a kink: {crossings[-1]} takes another branch at x ± h than at x. So these differences "
            f"do not count; the numeric value was measured with the branches held as they are at x."
        )
    reading = read(curve)
    if reading is None:
        return (
            f"The analytic value is {curve.analytic:g}, the numeric one {curve.numeric:g}: there is no error to draw."
        )
    said = _floor(curve, reading, verdict) if reading.is_floor else _valley(curve, reading)
    if crossings:
        said += f" Hollow steps cross a kink of {crossings[-1]}; they do not count."
    return said


def _floor(curve: Curve, reading: Reading, verdict: Verdict) -> str:
    size = max(abs(curve.numeric), abs(curve.analytic))
    if verdict is Verdict.KINK:
        return (
            f"A floor at {short(reading.apart)}, as it must be at a kink: the central difference is the mean of both "
            f"slopes, and the analytic value is another one between them."
        )
    seen = (
        f"A floor: at h = {short(reading.best.h)} the difference comes within {short(reading.accuracy)} of the numeric "
        f"value, but it stays {short(reading.apart)} away from the analytic one, {short(reading.apart / size)} of the "
        f"number."
    )
    if verdict is Verdict.WRONG:
        return f"{seen} A smaller step does not help: the analytic value is wrong."
    return f"{seen} That is within what was allowed for the rounding of the analytic value."


def _valley(curve: Curve, reading: Reading) -> str:
    errors = [abs(step.central - curve.numeric) for step in reading.clean]
    least = abs(reading.best.central - curve.numeric)
    if not any(errors):
        return (
            "No error at all: every difference equals the numeric value to the last bit, and so does the analytic one."
        )
    falls = errors[0] > 10 * max(least, reading.best.rounding)
    rises = errors[-1] > 10 * max(least, reading.best.rounding)
    near = f"{short(reading.accuracy)} at h = {short(reading.best.h)}"
    if falls and rises:
        seen = f"A valley: the error falls with h to {near}, and below that rounding makes it grow again."
    elif falls:
        seen = f"The left wall of the valley lies outside: the error falls with h to {near}."
    elif rises:
        seen = (
            f"Half a valley: large steps do no harm, as f is nearly straight along this line, and the error is {near}; "
            f"below that rounding makes it grow."
        )
    else:
        seen = f"Flat: the error is no more than {short(max(errors))} at any step."
    return f"{seen} The analytic value goes along: nothing contradicts it."
