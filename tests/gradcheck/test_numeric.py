"""Estimates of derivatives: as sharp as they say, and the error they name covers the error they have."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires.gradcheck.judge import Tolerances
from minires.gradcheck.line import ALL, Line, Step
from minires.gradcheck.numeric import (
    central3,
    central5,
    contradicted,
    find_kink,
    fixed_step,
    is_infinite,
    richardson,
    without_staircase,
)
from minires.gradcheck.problem import Problem
from minires.gradcheck.under_test import GradientUnderTest

AUTO = Tolerances(0.0, 1e-7, None, "auto")

SMOOTH: dict[str, tuple[Callable[[mr.Tensor], mr.Tensor], float, float]] = {  # f, x, f′(x)
    "exp": (lambda x: x.exp(), 0.7, math.exp(0.7)),
    "a large cube": (lambda x: x**3, 1e6, 3e12),
    "a tiny square": (lambda x: x * x, 1e-7, 2e-7),
    "log": (lambda x: x.log(), 3.0, 1 / 3),
    "tanh far out": (lambda x: x.tanh(), 6.0, 1 / math.cosh(6.0) ** 2),
    "reciprocal": (lambda x: x**-1, -0.01, -1e4),
    "linear": (lambda x: 5.0 * x, 2.0, 5.0),
    "constant but for x": (lambda x: x * 1e-9 + 1.0, 1.0, 1e-9),
}
EACH = pytest.mark.parametrize("name", SMOOTH)


def line(f: Callable[..., Any], x: float) -> tuple[Line, np.ndarray]:
    problem = Problem(f, [mr.tensor([x], dtype="float64")])
    return GradientUnderTest(problem, AUTO, np.random.default_rng(0)).line_along_element(0, (0,)), np.ones(1)


@EACH
def test_the_complex_step_subtracts_nothing(name):
    f, x, slope = SMOOTH[name]
    through, u = line(f, x)
    estimate = through.complex_step(u)
    assert estimate is not None
    assert estimate.value == pytest.approx(slope, rel=1e-13)


@EACH
@pytest.mark.parametrize("method", ["3", "5", "richardson"])
def test_the_error_named_covers_the_error_made(name, method):
    f, x, slope = SMOOTH[name]
    through, u = line(f, x)
    steps = through.sweep(u)
    estimate = {"3": lambda: central3(steps), "5": lambda: central5(through, u, steps, False)}.get(
        method, lambda: richardson(steps)
    )()
    assert estimate is not None
    assert abs(estimate.value - slope) <= 20 * estimate.error
    assert estimate.error <= 2e-5 * abs(slope)  # and is worth something


@pytest.mark.parametrize("name", ["exp", "a large cube", "log", "tanh far out", "reciprocal"])
def test_extrapolation_is_sharper_than_three_points(name):
    """Where there is curvature of the third order to be taken out."""
    f, x, slope = SMOOTH[name]
    through, u = line(f, x)
    steps = through.sweep(u)
    sharp, plain = richardson(steps), central3(steps)
    assert sharp is not None
    assert plain is not None
    assert sharp.error <= plain.error
    assert sharp.value == pytest.approx(slope, rel=1e-7)


def test_the_sweep_is_a_v_curve():
    """Truncation falls with h², rounding grows with 1/h: the least error lies inside."""
    f, x, slope = SMOOTH["exp"]
    through, u = line(f, x)
    errors = [abs(step.central - slope) for step in through.sweep(u)]
    assert len(errors) == len(ALL)
    assert 2 < int(np.argmin(errors)) < len(errors) - 2
    assert errors[0] / errors[1] == pytest.approx(64, rel=0.05)
    assert errors[-1] > 100 * min(errors)


def test_a_given_step_is_taken_exactly():
    f, x, slope = SMOOTH["exp"]
    through, u = line(f, x)
    steps = through.sweep(u, powers=through.powers_around(1e-4))
    at = fixed_step(steps)
    assert at is not None
    assert steps[-1].h == pytest.approx(1e-4, rel=1e-12)
    assert at.value == steps[-1].central
    assert abs(at.value - slope * u[0]) == pytest.approx(at.error, rel=0.2)  # the larger step says how far off it is


def test_steps_outside_the_domain_are_left_out():
    through, u = line(lambda x: x.log(), 0.02)
    through.scale = 1.0
    steps = through.sweep(u)
    assert 0 < len(steps) < len(ALL)
    assert max(step.h for step in steps) < 0.02
    best = richardson(steps)
    assert best is not None
    assert best.value == pytest.approx(50, rel=1e-8)


def test_a_kink_is_told_from_curvature():
    through, u = line(lambda x: (x * x).sqrt() + x, 0.0)  # |x| + x
    through.scale = 1.0
    kink = find_kink(through.sweep(u))
    assert kink is not None
    assert (kink.left, kink.right) == (pytest.approx(0, abs=1e-12), pytest.approx(2))
    through, u = line(lambda x: 1e4 * x * x + x, 0.0)
    through.scale = 1.0
    assert find_kink(through.sweep(u)) is None


def test_infinite_slopes_are_told_from_kinks_and_jumps():
    def slopes(f: Callable[[float], float]) -> list[Step]:
        found = []
        for h in (8.0**-k for k in ALL):
            right, left = (f(h) - f(0)) / h, (f(0) - f(-h)) / h
            central = (f(h) - f(-h)) / (2 * h)
            low, high = min(left, right), max(left, right)
            found.append(Step(h, central, right, left, 1e-16 / h, abs(right - left), low, high))
        return found

    assert is_infinite(slopes(lambda x: math.sqrt(abs(x))))
    assert is_infinite(slopes(lambda x: math.copysign(abs(x) ** (1 / 3), x)))
    assert not is_infinite(slopes(abs))
    assert not is_infinite(slopes(lambda x: float(x > 0)))
    assert not is_infinite(slopes(lambda x: x * x + x))


def test_a_staircase_is_measured_above_its_stairs():
    """f rounds to float32 on the way: flat over tiny steps."""

    def f(x: float) -> float:
        return float(np.float32(math.sin(x)))

    steps = []
    for h in (0.7 * 8.0**-k for k in ALL):
        right, left = (f(0.7 + h) - f(0.7)) / h, (f(0.7) - f(0.7 - h)) / h
        central = (f(0.7 + h) - f(0.7 - h)) / (2 * h)
        steps.append(Step(h, central, right, left, 1e-16 / h, abs(right - left), min(left, right), max(left, right)))
    kept = without_staircase(steps)
    assert len(kept) < len(steps)
    best = richardson(kept)
    assert best is not None
    assert abs(best.value - math.cos(0.7)) <= 20 * best.error
    assert best.value == pytest.approx(math.cos(0.7), rel=1e-4)


def test_large_steps_that_agree_on_another_slope_are_contradicted_by_small_ones():
    """Steps far larger than x see log(x² + 1/1000) as even in x: a slope of zero."""
    through, u = line(lambda x: (x * x + 1e-3).log(), 0.3)
    through.scale = 2.0**20
    steps = through.sweep(u)
    assert contradicted(0.0, steps[3:])
    for estimate in (richardson(steps), central3(steps)):
        assert estimate is not None
        assert estimate.value == pytest.approx(2 * 0.3 / (0.09 + 1e-3), rel=1e-3)


def test_what_is_too_small_to_be_added_has_rounding():
    """log(1 + x²) of a tiny x is a staircase whose stairs no move of x's last bits shows."""
    through, u = line(lambda x: (x * x + 1.0).log(), 1e-6)
    best = richardson(through.sweep(u))
    assert best is not None
    assert abs(best.value - 2e-6) <= 20 * best.error
