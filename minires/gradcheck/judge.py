"""The verdict on one number: does the analytic derivative agree with what evaluating the function says?

1  Sweep differences over steps h. Steps on which some operation chose differently than at x are set aside.
2  If too few are left, x lies at a declared kink: the derivative to agree with is that of the piece which the
   convention names, and it is measured with the choices held fixed.
3  If the one-sided slopes stay apart though no choice was declared, x lies at a kink that nobody declared: any value
   between the two slopes will do.
4  Take the sharpest estimate that another method confirms, and compare, giving both sides their estimated errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from minires.gradcheck.numeric import (
    EPS,
    FEW,
    Estimate,
    Kink,
    Line,
    Step,
    central3,
    central5,
    find_kink,
    is_infinite,
    richardson,
    with_step,
    without_plateau,
)
from minires.gradcheck.result import Element, Verdict

SAFETY = 20  # an estimated error is itself an estimate
CLEAN_STEPS = 3  # so many steps without a crossing are enough to differentiate by
UNCLEAR = 1e-3  # an error of this share of the number: agreement says little
CONFIRMED = "complex step, confirmed by differences"
METHODS = ("auto", "complex", "central3", "central5", "richardson", "adjoint")


@dataclass(frozen=True)
class Tolerances:
    """What may differ: |analytic − numeric| ≤ atol + rtol · |numeric| + errors. eps: the one step of central3 to use.

    small: what share of an array's largest number is too small to be asked of a single one.
    """

    atol: float
    rtol: float
    eps: float | None
    method: str
    small: float = 1e-6


@dataclass(frozen=True)
class Measured:
    """What evaluating says about one derivative."""

    best: Estimate | None
    steps: Sequence[Step]
    kink: Kink | None
    crossing: str


def measure(line: Line, u: np.ndarray, how: Tolerances) -> Measured:
    """The derivative of ⟨u, F⟩ along the line, by the sharpest method that applies."""
    if how.eps and how.method in ("auto", "central3"):
        steps = line.sweep(u, powers=line.around(how.eps))
        crossed = [str(step.crossings[0]) for step in steps[-1:] if step.crossings]
        return Measured(with_step(steps), steps, None, "".join(crossed))
    exact = line.complex_step(u) if how.method in ("auto", "adjoint", "complex") else None
    if exact is not None and how.method == "complex":
        return Measured(exact, (), None, "")
    for powers in line.few if exact is not None else ():
        few = line.sweep(u, powers=powers)
        if exact is not None and agree(exact, few):
            return Measured(exact.renamed(CONFIRMED), few, None, "")
    steps = line.sweep(u)
    if exact is not None and not steps and not _converged(line, u, exact):
        exact = None  # at the edge of the domain with no finite slope, as √x at 0
    clean = [step for step in steps if not step.crossings]
    at_kink = len(clean) < CLEAN_STEPS and len(clean) < len(steps)
    crossing = ""
    if at_kink:
        crossing = str(next(step.crossings[0] for step in reversed(steps) if step.crossings))
        clean = line.sweep(u, frozen=True)
    clean = without_plateau(clean)
    kink = None if at_kink else find_kink(clean)
    if how.method == "central3":
        return Measured(central3(clean), steps, kink, crossing)
    if how.method == "central5":
        return Measured(central5(line, u, clean, at_kink), steps, kink, crossing)
    difference = richardson(clean)
    if kink is not None or exact is None:
        return Measured(difference, steps, kink, crossing)
    return Measured(_sharper(exact, difference, clean), steps, kink, crossing)


# What a deep network with small batches computes is smooth over tiny steps only.
SWEEPS = (FEW, range(6, 10), range(10, 14))


def measure_on_piece(line: Line, u: np.ndarray, how: Tolerances) -> Measured:
    """The same along a direction that moves many numbers, and so crosses many kinks: with the choices made at x."""
    exact = line.complex_step(u) if how.method in ("auto", "adjoint") and not how.eps else None
    steps: list[Step] = []
    for powers in SWEEPS if exact is not None else ():
        steps += line.sweep(u, frozen=True, powers=powers)
        if exact is not None and _confirmed(exact, steps):
            return Measured(exact.renamed(CONFIRMED), steps, None, "")
    return measure(line, u, how)


def _confirmed(exact: Estimate, steps: Sequence[Step]) -> bool:
    """Whether these differences agree with the complex step, as sharply as they can, and that is to a thousandth."""
    difference = richardson(steps)
    if difference is None or find_kink(steps) is not None:
        return False
    error = SAFETY * difference.error
    close = error <= 1e-3 * abs(exact.value) and abs(exact.value - difference.value) <= error
    return close or agree(exact, steps)


def _converged(line: Line, u: np.ndarray, exact: Estimate) -> bool:
    """Whether a far smaller complex step gives the same derivative."""
    smaller = line.complex_step(u, 1e-6)
    return smaller is not None and abs(smaller.value - exact.value) <= 1e-3 * abs(exact.value)


def agree(exact: Estimate, steps: Sequence[Step]) -> bool:
    """Whether a few differences, with no kink in sight, confirm the complex step."""
    if len(steps) < len(FEW) or any(step.crossings for step in steps) or find_kink(steps) is not None:
        return False
    difference = richardson(steps)
    size = abs(exact.value)
    return difference is not None and abs(difference.value - exact.value) <= 1e-6 * size + exact.error


def _sharper(exact: Estimate, difference: Estimate | None, steps: Sequence[Step]) -> Estimate:
    """The complex step where differences do not contradict it.

    ln(1 + e⁻⁶⁰) is zero and stays it: what is too small to be added to numbers of about 1 leaves differences flat.
    """
    if difference is None:
        return exact
    flat = max((step.h for step in steps if step.right == step.left == 0), default=0.0)
    if flat and abs(exact.value) * flat <= 8 * EPS:
        return exact
    apart = abs(exact.value - difference.value)
    if apart <= SAFETY * (difference.error + exact.error) + 1e-7 * abs(exact.value):
        return exact.renamed(CONFIRMED)
    return difference.renamed("differences (not analytic)")


def judge(
    index: tuple[int, ...] | None, analytic: float, noise: float, found: Measured, scale: float, how: Tolerances
) -> Element:
    """The verdict. noise: how far rounding moves the analytic value; scale: the size of the array's gradient."""
    left, right = (found.steps[-1].left, found.steps[-1].right) if found.steps else (None, None)
    if found.kink is not None:
        left, right = found.kink.left, found.kink.right
    best = found.best or Estimate(math.nan, math.inf, "none: the function is not finite around this point")

    def verdict(verdict: Verdict, reason: str = "") -> Element:
        error = SAFETY * best.error + noise
        return Element(index, analytic, best.value, error, verdict, best.method, reason, left, right)

    if found.kink is not None:
        return replace(verdict(*_at_undeclared_kink(analytic, found.kink, noise, how)), between_slopes=True)
    if not math.isfinite(analytic):
        if not math.isnan(analytic) and (is_infinite(found.steps) or found.best is None):
            return verdict(Verdict.KINK, "no finite slope here")
        return verdict(Verdict.WRONG, f"the analytic gradient is {analytic}")
    if found.best is None:
        return verdict(Verdict.VACUOUS, "the function is not finite around this point")
    error = SAFETY * best.error + noise
    size = max(abs(analytic), abs(best.value))
    allowed = how.atol + how.rtol * size + error
    if abs(analytic - best.value) > allowed:
        if found.crossing:
            return verdict(Verdict.WRONG, f"(convention) at a tie of {found.crossing} another value is documented")
        if is_infinite(found.steps):
            return verdict(Verdict.KINK, "no finite slope here")
        return verdict(Verdict.WRONG)
    if found.crossing:
        return verdict(Verdict.KINK, f"at a tie of {found.crossing}; the value is the documented one")
    # Whether it agrees only because rounding moves the analytic value that far.
    excused = abs(analytic - best.value) > how.atol + how.rtol * size + SAFETY * best.error
    if (excused or error > UNCLEAR * size) and error > how.small * scale:
        return verdict(Verdict.ROUNDING, f"measured to ±{error:.1g} only")
    return verdict(Verdict.PASS)


def _at_undeclared_kink(analytic: float, kink: Kink, noise: float, how: Tolerances) -> tuple[Verdict, str]:
    low, high = kink.low, kink.high
    slack = how.atol + how.rtol * max(abs(low), abs(high)) + SAFETY * kink.error + noise
    if slack > 0.1 * (high - low) and not low <= analytic <= high:
        return Verdict.ROUNDING, f"near a kink, where slopes of {low:.4g} and {high:.4g} are measured to ±{slack:.1g}"
    if low - slack <= analytic <= high + slack:
        return (
            Verdict.KINK,
            f"slopes {kink.left:.4g} on the left, {kink.right:.4g} on the right; the value lies between",
        )
    return Verdict.WRONG, f"outside the one-sided slopes {kink.left:.4g} and {kink.right:.4g}"
