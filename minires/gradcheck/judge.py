"""The verdict on one number: does the analytic derivative agree with the numerical one?

1  Sweep central differences over step sizes h. Steps on which an operation takes another branch than at x do not count.
2  If too few steps are left, x lies on a declared kink. The derivative to agree with is that of the smooth piece which
   the documented convention names: it is measured with the branches fixed as at x.
3  If the one-sided slopes stay apart though no operation declares a branch, x lies on an undeclared kink: any value
   between the two slopes is accepted.
4  Otherwise the most precise estimate that another method confirms is compared with the analytic value. The estimated
   errors of both are allowed beside the tolerances.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from minires.gradcheck.line import EPS, FEW, Estimate, Line, Step
from minires.gradcheck.numeric import (
    Kink,
    central3,
    central5,
    find_kink,
    fixed_step,
    is_infinite,
    richardson,
    without_staircase,
)
from minires.gradcheck.result import Element, Verdict

SAFETY = 20  # an estimated error is itself an estimate
ENOUGH_STEPS = 3  # without a crossing, to differentiate by
UNCLEAR = 1e-3  # relative error of a measured number above which agreement says little
CONFIRMED = "complex step, confirmed by differences"
METHODS = ("auto", "complex", "central3", "central5", "richardson", "adjoint")


@dataclass(frozen=True)
class Tolerances:
    """The method of measurement and the allowed difference.

    |analytic − numeric| ≤ atol + rtol · max(|analytic|, |numeric|) + estimated errors of both

    Attributes:
        atol, rtol: Absolute and relative tolerance.
        eps: Step of the central difference under the methods "auto" and "central3"; None: steps are swept.
        method: One of METHODS.
        negligible: Share of an array's largest number below which a single number need not be measured well.
    """

    atol: float
    rtol: float
    eps: float | None
    method: str
    negligible: float = 1e-6


@dataclass(frozen=True)
class Measurement:
    """The numeric estimate of one derivative, and the evaluations of F that it was made from.

    Attributes:
        best: The estimate to compare with; None if F is not finite around the point.
        steps: The differences that were taken.
        kink: The slopes at an undeclared kink, if x lies on one.
        crossing: The operation at whose declared kink x lies, or "".
    """

    best: Estimate | None
    steps: Sequence[Step]
    kink: Kink | None = None
    crossing: str = ""


def measure(line: Line, u: np.ndarray, tolerances: Tolerances) -> Measurement:
    """The derivative of ⟨u, F⟩ along the line, by the most precise method that applies."""
    method = tolerances.method
    if tolerances.eps and method in ("auto", "central3"):
        steps = line.sweep(u, powers=line.powers_around(tolerances.eps))
        crossed = [str(step.crossings[0]) for step in steps[-1:] if step.crossings]
        return Measurement(fixed_step(steps), steps, None, "".join(crossed))
    exact = line.complex_step(u) if method in ("auto", "adjoint", "complex") else None
    if exact is not None and method == "complex":
        return Measurement(exact, ())
    for powers in line.few_powers if exact is not None else ():
        few = line.sweep(u, powers=powers)
        if exact is not None and _agree(exact, few, tolerances):
            return Measurement(replace(exact, method=CONFIRMED), few)
    steps = line.sweep(u)
    if exact is not None and not steps and not _converged(line, u, exact):
        exact = None  # at the edge of the domain with no finite slope, as √x at 0
    return _from_sweep(line, u, tolerances, exact, steps)


def _from_sweep(
    line: Line, u: np.ndarray, tolerances: Tolerances, exact: Estimate | None, steps: Sequence[Step]
) -> Measurement:
    """The estimate by differences over all steps, or the complex step if they do not contradict it."""
    clean = [step for step in steps if not step.crossings]
    at_kink = len(clean) < ENOUGH_STEPS and len(clean) < len(steps)
    crossing = ""
    if at_kink:
        crossing = str(next(step.crossings[0] for step in reversed(steps) if step.crossings))
        clean = line.sweep(u, fixed_branches=True)
    clean = without_staircase(clean)
    kink = None if at_kink else find_kink(clean)
    if tolerances.method == "central3":
        best = central3(clean)
    elif tolerances.method == "central5":
        best = central5(line, u, clean, at_kink)
    else:
        best = richardson(clean)
        if kink is None and exact is not None:
            best = _more_precise(exact, best, clean, tolerances)
    return Measurement(best, steps, kink, crossing)


# What a deep network with small batches computes is smooth over tiny steps only.
SWEEPS = (FEW, range(6, 10), range(10, 14))


def measure_with_fixed_branches(line: Line, u: np.ndarray, tolerances: Tolerances) -> Measurement:
    """The same for a direction that moves many numbers, and so crosses many kinks: on the branches taken at x."""
    exact = line.complex_step(u) if tolerances.method in ("auto", "adjoint") and not tolerances.eps else None
    steps: list[Step] = []
    for powers in SWEEPS if exact is not None else ():
        steps += line.sweep(u, fixed_branches=True, powers=powers)
        if exact is not None and _confirmed(exact, steps, tolerances):
            return Measurement(replace(exact, method=CONFIRMED), steps)
    return measure(line, u, tolerances)


def _confirmed(exact: Estimate, steps: Sequence[Step], tolerances: Tolerances) -> bool:
    """Whether the differences agree with the complex step within their errors, which are below a thousandth of it."""
    difference = richardson(steps)
    if difference is None or find_kink(steps) is not None:
        return False
    error = SAFETY * difference.error
    close = error <= 1e-3 * abs(exact.value) and abs(exact.value - difference.value) <= error
    return close or _agree(exact, steps, tolerances)


def _converged(line: Line, u: np.ndarray, exact: Estimate) -> bool:
    """Whether a far smaller complex step gives the same derivative."""
    smaller = line.complex_step(u, 1e-6)
    return smaller is not None and abs(smaller.value - exact.value) <= 1e-3 * abs(exact.value)


def _agree(exact: Estimate, steps: Sequence[Step], tolerances: Tolerances) -> bool:
    """Whether a few differences, none of them across a kink, confirm the complex step as closely as it is judged."""
    if len(steps) < len(FEW) or any(step.crossings for step in steps) or find_kink(steps) is not None:
        return False
    difference = richardson(steps)
    size = abs(exact.value)
    close = min(1e-6, 0.1 * tolerances.rtol)
    return difference is not None and abs(difference.value - exact.value) <= close * size + exact.error


def _more_precise(
    exact: Estimate, difference: Estimate | None, steps: Sequence[Step], tolerances: Tolerances
) -> Estimate:
    """The complex step, unless the differences contradict it.

    Differences can be flat where the complex step is right: ln(1 + eˣ) at x = −60 is 0 in floating point, and stays 0.
    """
    if difference is None:
        return exact
    flat = max((step.h for step in steps if step.right == step.left == 0), default=0.0)
    if flat and abs(exact.value) * flat <= 8 * EPS:
        return exact
    apart = abs(exact.value - difference.value)
    if apart <= SAFETY * (difference.error + exact.error) + min(1e-7, 0.1 * tolerances.rtol) * abs(exact.value):
        return replace(exact, method=CONFIRMED)
    return replace(difference, method="differences (not analytic)")


def judge(
    index: tuple[int, ...] | None,
    analytic: float,
    noise: float,
    measurement: Measurement,
    scale: float,
    tolerances: Tolerances,
) -> Element:
    """The verdict on one number of a gradient (at `index`), or one projection of it (None).

    noise: how far rounding moves the analytic value. scale: the largest number of the array's gradient.
    """
    steps, kink = measurement.steps, measurement.kink
    left, right = (steps[-1].left, steps[-1].right) if steps else (None, None)
    if kink is not None:
        left, right = kink.left, kink.right
        verdict, reason = _at_undeclared_kink(analytic, kink, noise, tolerances)
    else:
        verdict, reason = _verdict(analytic, noise, measurement, scale, tolerances)
    best = measurement.best or Estimate(math.nan, math.inf, "none: the function is not finite around this point")
    error = SAFETY * best.error + noise
    return Element(
        index, analytic, best.value, error, verdict, best.method, reason, left, right, between_slopes=kink is not None
    )


def _verdict(
    analytic: float, noise: float, measurement: Measurement, scale: float, tolerances: Tolerances
) -> tuple[Verdict, str]:
    """(verdict, reason) where no undeclared kink was found."""
    best, crossing = measurement.best, measurement.crossing
    if not math.isfinite(analytic):
        if not math.isnan(analytic) and (is_infinite(measurement.steps) or best is None):
            return Verdict.KINK, "no finite slope here"
        return Verdict.WRONG, f"the analytic gradient is {analytic}"
    if best is None:
        return Verdict.VACUOUS, "the function is not finite around this point"
    error = SAFETY * best.error + noise
    size = max(abs(analytic), abs(best.value))
    difference, tolerance = abs(analytic - best.value), tolerances.atol + tolerances.rtol * size
    if difference > tolerance + error:
        if crossing:
            return Verdict.WRONG, f"(convention) at a tie of {crossing} another value is documented"
        if is_infinite(measurement.steps):
            return Verdict.KINK, "no finite slope here"
        return Verdict.WRONG, ""
    if crossing:
        return Verdict.KINK, f"at a tie of {crossing}; the value is the documented one"
    only_by_noise = difference > tolerance + SAFETY * best.error
    if (only_by_noise or error > UNCLEAR * size) and error > tolerances.negligible * scale:
        return Verdict.ROUNDING, f"measured to ±{error:.1g} only"
    return Verdict.PASS, ""


def _at_undeclared_kink(analytic: float, kink: Kink, noise: float, tolerances: Tolerances) -> tuple[Verdict, str]:
    """(verdict, reason): any value between the one-sided slopes is a subgradient."""
    low, high = kink.low, kink.high
    slack = tolerances.atol + tolerances.rtol * max(abs(low), abs(high)) + SAFETY * kink.error + noise
    if not low - slack <= analytic <= high + slack:
        slopes = f"outside the one-sided slopes {kink.left:.4g} and {kink.right:.4g}"
        return Verdict.WRONG, f"{slopes}; if an op chooses this value at a tie on purpose, declare its `branches`"
    if slack > 0.1 * (high - low) and not low <= analytic <= high:
        return Verdict.ROUNDING, f"near a kink, where slopes of {low:.4g} and {high:.4g} are measured to ±{slack:.1g}"
    slopes = f"slopes {kink.left:.4g} on the left, {kink.right:.4g} on the right"
    return Verdict.KINK, f"{slopes}; the value lies between"
