"""Derivatives from a sweep of step sizes h, each with an estimate of its own error.

With D(h) the central difference of φ (see `line.py`) and r the ratio of successive steps:

    central, 3 points   D(h)                                                              = φ′ + O(h²)
    central, 5 points   (4 D(h) − D(2h)) / 3                                              = φ′ + O(h⁴)
    Richardson          T₀ = D(h₀), D(h₁), …;  Tₘ = (r²ᵐ Tₘ₋₁(h/r) − Tₘ₋₁(h)) / (r²ᵐ − 1)       (Ridders 1982)

Drawn against h on logarithmic axes, the error of D(h) is a V-curve: truncation falls with h, then rounding grows with
1/h. Against a wrong value the error falls only to a plateau, the distance between the two values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from minires.gradcheck.line import RATIO, Estimate, Line, Step

BELIEVED = 10  # times the scatter of three steps: the distance of a value that they contradict


def fixed_step(steps: Sequence[Step]) -> Estimate | None:
    """The three-point difference at the smaller of two steps; the larger step estimates its truncation error."""
    if len(steps) < 2:
        return None
    large, small = steps
    return Estimate(small.central, _truncation(large, small) + small.rounding, "central difference, 3 points")


def central3(steps: Sequence[Step]) -> Estimate | None:
    """The three-point difference at the step where its estimated error is least."""
    noise = _noise(steps)
    candidates = [
        (small, _truncation(large, small) + noise / small.h + small.rounding) for large, small in pairwise(steps)
    ]
    if not candidates:
        return None

    def rank(candidate: tuple[Step, float]) -> tuple[bool, float]:
        step, error = candidate
        return contradicted(step.central, [each for each in steps if each.h < step.h]), error

    step, error = min(candidates, key=rank)
    return Estimate(step.central, error, "central difference, 3 points")


def _truncation(large: Step, small: Step) -> float:
    """The truncation error of D(h), from D(rh): D(h) − φ′ ≈ (D(rh) − D(h)) / (r² − 1)."""
    return abs(large.central - small.central) / (RATIO**2 - 1)


def central5(line: Line, u: np.ndarray, steps: Sequence[Step], fixed_branches: bool) -> Estimate | None:
    """The five-point difference at the step that agrees best with the extrapolated value."""
    best = richardson(steps)
    if best is None:
        return None
    step = min(steps, key=lambda each: abs(each.central - best.value) + each.rounding)
    (double,) = line.sweep(u, fixed_branches, [math.log(line.scale / (2 * step.h), RATIO)])
    value = (4 * step.central - double.central) / 3
    error = abs(value - step.central) / 15 + 2 * (_noise(steps) / step.h + step.rounding)
    return Estimate(value, error, "central difference, 5 points")


def richardson(steps: Sequence[Step]) -> Estimate | None:
    """The entry of Richardson's table with the least estimated error that no smaller steps contradict.

    The error of an entry is estimated by its distance from the two entries that it is made of, plus rounding.
    """
    noise = _noise(steps)
    best: tuple[bool, float, Estimate] | None = None  # (contradicted, error, estimate)
    above: list[float] = []
    for k, step in enumerate(steps):
        row = [step.central]
        if k and abs(steps[k - 1].h / step.h - RATIO) > 0.01:
            above = []  # a step in between is missing: the table starts anew
        for m, previous in enumerate(above[:4]):
            factor = RATIO ** (2 * (m + 1))
            row.append((factor * row[m] - previous) / (factor - 1))
            error = max(abs(row[m + 1] - row[m]), abs(row[m + 1] - previous)) + noise / step.h + step.rounding
            rank = contradicted(row[m + 1], steps[k + 1 :]), error
            if math.isfinite(error) and (best is None or rank < best[:2]):
                best = *rank, Estimate(row[m + 1], error, "differences, extrapolated")
        above = row
    return best[2] if best is not None else None


def contradicted(value: float, smaller: Sequence[Step]) -> bool:
    """Whether three successive smaller steps agree within their scatter on a derivative that is not `value`.

    Large steps can agree on a wrong derivative: for h far larger than x, a function of x² looks even, with slope zero;
    and what happens within 10⁻⁶ of x they do not see.
    """
    for k in range(len(smaller) - 2):
        three = [each.central for each in smaller[k : k + 3]]
        size = max(map(abs, three))
        scatter = max(three) - min(three) + smaller[k + 2].rounding
        if scatter <= 0.01 * max(size, abs(value)) and abs(three[-1] - value) > BELIEVED * scatter:
            return True
    return False


def _noise(steps: Sequence[Step]) -> float:
    """How much φ jumps between neighbouring points: the median of |φ(h) − 2φ(0) + φ(−h)| / 2 at the smallest steps."""
    small = [abs(each.right - each.left) * each.h / 2 for each in steps[-3:]]
    return sorted(small)[len(small) // 2] if small else math.inf


def without_staircase(steps: Sequence[Step]) -> list[Step]:
    """`steps` without the smallest ones if φ is a staircase, as of a function that rounds to float32 on the way.

    A staircase is flat over tiny steps, and has equal slopes on both sides of larger ones. A difference taken on one
    stair is zero or a whole jump. The jumps are the rounding error of the larger steps, which are kept.
    """
    flat = max((each.h for each in steps if each.right == each.left == 0), default=math.inf)
    sloping = [each for each in steps if each.h > flat and abs(each.right - each.left) < 0.2 * abs(each.right)]
    if not sloping:
        return list(steps)
    least = sloping[-1].h
    near = [each for each in steps if flat < each.h <= RATIO * least]
    stair = min(max(abs(each.right), abs(each.left)) * each.h for each in near)
    jump = max(stair, *(abs(each.right - each.left) * each.h for each in near))
    kept = [each for each in steps if each.h >= least]
    return [replace(each, rounding=max(each.rounding, jump / each.h)) for each in kept]


@dataclass(frozen=True)
class Kink:
    """One-sided slopes that stay apart however small the step; low and high as in `Step`."""

    left: float
    right: float
    low: float
    high: float
    error: float


def find_kink(steps: Sequence[Step]) -> Kink | None:
    """The two slopes at a kink in x itself, or None if φ is smooth there.

    For a smooth φ the difference of the slopes falls with h until rounding makes it grow again; at a kink it stays. So
    the three smallest steps whose rounding error is far below the difference must agree on both slopes.
    """
    clear = [each for each in steps if each.bend > 100 * each.rounding]
    if len(clear) < 3 or not _alike([each.bend for each in clear[-3:]]):
        return None
    # Larger steps with the same bend round less.
    kinks = [
        _kink(clear[k : k + 3]) for k in range(len(clear) - 2) if _alike([s.bend for s in (*clear[k:][:3], clear[-1])])
    ]
    return min(kinks, key=lambda each: each.error)


def _alike(sizes: Sequence[float]) -> bool:
    """Whether these sizes differ by no more than a tenth."""
    return min(sizes) >= 0.9 * max(sizes)


def _kink(steps: Sequence[Step]) -> Kink:
    """The slopes at the smallest of these steps, on which all agree within the error."""
    lows, highs = [each.low for each in steps], [each.high for each in steps]
    spread = max(max(lows) - min(lows), max(highs) - min(highs))
    end = steps[-1]
    return Kink(end.left, end.right, end.low, end.high, spread + end.rounding)


def is_infinite(steps: Sequence[Step]) -> bool:
    """Whether the slopes grow without bound as h vanishes, as those of √|x| at 0: by √8 from one step to the next.

    A jump in f, or rounding, makes them grow as 1/h instead: by 8.
    """
    sizes = [max(abs(each.right), abs(each.left)) for each in steps[-6:]]
    ratios = [small / large if large else math.inf for large, small in pairwise(sizes)]
    return len(ratios) == 5 and all(1.5 < ratio < 0.9 * RATIO for ratio in ratios)
