"""The verdict on one number, from measurements made by hand: each border of each rule lies where it is documented."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires.gradcheck import Verdict
from minires.gradcheck.judge import (
    CONFIRMED,
    SAFETY,
    Measurement,
    Tolerances,
    _agree,
    _confirmed,
    _more_precise,
    judge,
    measure,
)
from minires.gradcheck.line import EPS, Estimate, Line, Step
from minires.gradcheck.numeric import Kink
from minires.gradcheck.problem import Problem
from minires.gradcheck.under_test import GradientUnderTest

TOLERANCES = Tolerances(atol=1e-3, rtol=1e-2, eps=None, method="auto")


def step(h: float, right: float, left: float, rounding: float = 0.0) -> Step:
    return Step(h, (right + left) / 2, right, left, rounding, abs(right - left), min(left, right), max(left, right))


def measured(value: float, error: float = 0.0, **more: Any) -> Measurement:
    return Measurement(Estimate(value, error, "by hand"), more.pop("steps", ()), **more)


def verdict(
    analytic: float, measurement: Measurement, noise: float = 0.0, scale: float = 1.0, tolerances: Any = TOLERANCES
) -> Any:
    return judge((0,), analytic, noise, measurement, scale, tolerances).verdict


# -- without a kink ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
def test_the_tolerance_is_absolute_and_relative_to_the_larger_of_both(sign):
    """|a − n| ≤ 0.001 + 0.01·max(|a|, |n|)."""
    for analytic, expected in ((10.1019, Verdict.PASS), (10.1022, Verdict.WRONG), (9.8991, Verdict.PASS)):
        assert verdict(sign * analytic, measured(sign * 10.0)) is expected
    assert verdict(9.898 * sign, measured(10.0 * sign)) is Verdict.WRONG
    assert verdict(0.00099 * sign, measured(0.0)) is Verdict.PASS
    assert verdict(0.0011 * sign, measured(0.0)) is Verdict.WRONG


def test_twenty_times_the_measured_error_and_once_the_noise_are_allowed():
    assert verdict(10.3, measured(10.0, 0.01)) is not Verdict.WRONG  # 0.104 + 0.2
    assert verdict(10.31, measured(10.0, 0.01)) is Verdict.WRONG
    assert verdict(10.3, measured(10.0), noise=0.2) is not Verdict.WRONG
    assert verdict(10.31, measured(10.0), noise=0.2) is Verdict.WRONG
    assert SAFETY == 20


def test_agreement_that_is_measured_to_a_thousandth_only_is_rounding():
    assert verdict(10.0, measured(10.0, 0.0004)) is Verdict.PASS  # 20·0.0004 is below a thousandth of 10
    assert verdict(10.0, measured(10.0, 0.0006)) is Verdict.ROUNDING
    assert verdict(10.0, measured(10.0), noise=0.009) is Verdict.PASS
    assert verdict(10.0, measured(10.0), noise=0.011) is Verdict.ROUNDING
    assert verdict(-10.0, measured(-10.0), noise=0.011) is Verdict.ROUNDING


def test_agreement_by_noise_alone_is_rounding():
    strict = Tolerances(atol=0.0, rtol=1e-6, eps=None, method="auto")
    assert verdict(1000.01, measured(1000.0), noise=0.02, tolerances=strict) is Verdict.ROUNDING
    assert verdict(1000.01, measured(1000.0, 0.001), tolerances=strict) is Verdict.PASS


def test_a_number_that_is_negligible_in_its_array_need_not_be_measured_well():
    unclear = measured(10.0, 0.0006)  # 0.012 in all
    assert verdict(10.0, unclear, scale=1.1e4) is Verdict.ROUNDING  # a millionth of it is 0.011
    assert verdict(10.0, unclear, scale=1.3e4) is Verdict.PASS


def test_what_is_not_finite_is_wrong_unless_the_slope_is_infinite():
    steep = tuple(step(8.0**-k, 8 ** (k / 2), -(8 ** (k / 2))) for k in range(6))
    for infinite in (math.inf, -math.inf):
        assert verdict(infinite, measured(1.0)) is Verdict.WRONG
        assert verdict(infinite, measured(1.0, steps=steep)) is Verdict.KINK
        assert verdict(infinite, Measurement(None, ())) is Verdict.KINK
    assert verdict(math.nan, measured(1.0, steps=steep)) is Verdict.WRONG
    assert verdict(math.nan, Measurement(None, ())) is Verdict.WRONG
    assert verdict(1.0, Measurement(None, ())) is Verdict.VACUOUS
    assert verdict(7.0, measured(1.0, steps=steep)) is Verdict.KINK
    assert verdict(1.0, measured(1.0, steps=steep)) is Verdict.PASS


def test_at_a_declared_kink_the_documented_value_alone_is_right():
    tie = measured(1.0, crossing="relu")
    assert verdict(1.0, tie) is Verdict.KINK
    found = judge((0,), 0.5, 0.0, tie, 1.0, TOLERANCES)
    assert found.verdict is Verdict.WRONG
    assert found.reason.startswith("(convention) at a tie of relu")


def test_an_element_holds_the_measurement():
    steps = (step(0.1, 5.0, 4.0), step(0.01, 2.0, 1.0))
    found = judge((3,), 10.0, 0.5, measured(10.0, 0.25, steps=steps), 1.0, TOLERANCES)
    assert (found.index, found.analytic, found.numeric, found.method) == ((3,), 10.0, 10.0, "by hand")
    assert found.error == pytest.approx(20 * 0.25 + 0.5)
    assert (found.left, found.right, found.between_slopes) == (1.0, 2.0, False)
    nothing = judge(None, 10.0, 0.0, Measurement(None, ()), 1.0, TOLERANCES)
    assert (nothing.left, nothing.right, nothing.index) == (None, None, None)
    assert math.isnan(nothing.numeric)


def test_a_difference_of_exactly_what_is_allowed_is_allowed():
    """With numbers that binary fractions hold exactly: 0.5 is allowed."""
    half = Tolerances(atol=0.5, rtol=0.0, eps=None, method="auto")
    assert verdict(2.5, measured(2.0), tolerances=half) is Verdict.PASS
    assert verdict(2.5, measured(2.0, crossing="relu"), tolerances=half) is Verdict.KINK
    kink = Kink(0.0, 5.0, 0.0, 5.0, 0.0)
    for analytic, expected in (
        (5.5, Verdict.KINK),
        (-0.5, Verdict.KINK),
        (5.75, Verdict.WRONG),
        (-0.75, Verdict.WRONG),
    ):
        assert verdict(analytic, measured(1.0, kink=kink), tolerances=half) is expected
    wider = Tolerances(atol=0.625, rtol=0.0, eps=None, method="auto")
    assert verdict(5.5, measured(1.0, kink=kink), tolerances=wider) is Verdict.ROUNDING
    assert verdict(5.0, measured(1.0, kink=kink), tolerances=wider) is Verdict.KINK
    assert verdict(0.0, measured(1.0, kink=kink), tolerances=wider) is Verdict.KINK


# -- at an undeclared kink --------------------------------------------------------------------------------------------

CLEAR = Kink(left=-1.0, right=2.0, low=-1.0, high=2.0, error=0.0)


def at_kink(analytic: float, kink: Kink = CLEAR, noise: float = 0.0) -> Any:
    return judge((0,), analytic, noise, measured(0.5, kink=kink), 1.0, TOLERANCES)


def test_any_value_between_the_slopes_is_right():
    """The slack is 0.001 + 0.01·2."""
    for analytic in (-1.0, 0.0, 2.0, -1.0209, 2.0209):
        assert at_kink(analytic).verdict is Verdict.KINK
    for analytic in (-1.0212, 2.0212):
        assert at_kink(analytic).verdict is Verdict.WRONG
    found = at_kink(0.0)
    assert (found.left, found.right, found.between_slopes) == (-1.0, 2.0, True)


def test_the_slack_is_relative_to_the_larger_slope_and_holds_error_and_noise():
    other = Kink(-2.0, 1.0, -2.0, 1.0, 0.0)
    assert at_kink(1.0209, other).verdict is Verdict.KINK
    assert at_kink(1.0212, other).verdict is Verdict.WRONG
    rough = Kink(-1.0, 2.0, -1.0, 2.0, 0.01)  # 0.2 more
    assert at_kink(2.22, rough).verdict is not Verdict.WRONG
    assert at_kink(2.222, rough).verdict is Verdict.WRONG
    assert at_kink(2.22, noise=0.2).verdict is not Verdict.WRONG
    assert at_kink(2.222, noise=0.2).verdict is Verdict.WRONG


def test_a_kink_that_is_small_beside_its_error_is_rounding():
    assert at_kink(2.1, noise=0.27).verdict is Verdict.KINK  # a tenth of the bend of 3 is 0.3; 0.021 + 0.27
    assert at_kink(2.1, noise=0.29).verdict is Verdict.ROUNDING
    assert at_kink(-1.1, noise=0.29).verdict is Verdict.ROUNDING
    assert at_kink(0.0, noise=0.29).verdict is Verdict.KINK  # between the slopes in any case


# -- the complex step and the differences -----------------------------------------------------------------------------

FLAT = [step(8.0**-k, 1.0, 1.0) for k in range(2, 6)]  # slope 1, without error


def exact(value: float, error: float = 0.0) -> Estimate:
    return Estimate(value, error, "complex step")


def test_four_smooth_differences_confirm_a_complex_step_that_is_as_close_as_it_is_judged():
    strict = Tolerances(0.0, 1e-7, None, "auto")
    assert _agree(exact(1 + 0.9e-8), FLAT, strict)
    assert not _agree(exact(1 + 1.2e-8), FLAT, strict)
    assert _agree(exact(1 + 0.9e-6), FLAT, TOLERANCES)  # a millionth at most
    assert not _agree(exact(1 + 1.2e-6), FLAT, TOLERANCES)
    assert _agree(exact(1.25, 0.25), FLAT, TOLERANCES)
    assert not _agree(exact(1.0), FLAT[:3], TOLERANCES)
    bent = [step(8.0**-k, 2.0, 0.0) for k in range(2, 6)]  # a kink, whose central difference is 1
    assert not _agree(exact(1.0), bent, TOLERANCES)
    assert not _agree(exact(-1.0), FLAT, TOLERANCES)


def test_differences_confirm_on_fixed_branches_within_their_error():
    rough = [step(8.0**-k, 1.0, 1.0, rounding=1e-5) for k in range(2, 6)]
    strict = Tolerances(0.0, 1e-9, None, "auto")
    assert _confirmed(exact(1 + 1.9e-4), rough, strict)  # 20 times 1e-5
    assert not _confirmed(exact(1 + 2.1e-4), rough, strict)
    assert not _confirmed(exact(1 - 2.1e-4), rough, strict)
    rougher = [step(8.0**-k, 1.0, 1.0, rounding=6e-5) for k in range(2, 6)]
    assert not _confirmed(exact(1 + 1e-4), rougher, strict)  # more than a thousandth of it
    assert not _confirmed(exact(1.0), [], strict)
    assert not _confirmed(exact(1.0), [step(8.0**-k, 2.0, 0.0) for k in range(2, 6)], TOLERANCES)


def test_the_complex_step_counts_unless_differences_contradict_it():
    strict = Tolerances(0.0, 1e-7, None, "auto")
    assert _more_precise(exact(3.0), None, FLAT, strict).method == "complex step"
    near = _more_precise(exact(1.0001), Estimate(1.0, 6e-6, "differences"), FLAT, strict)
    assert (near.value, near.method) == (1.0001, CONFIRMED)
    assert _more_precise(exact(1.0001, 6e-6), Estimate(1.0, 0.0, "d"), FLAT, strict).method == CONFIRMED
    assert _more_precise(exact(1 + 0.9e-8), Estimate(1.0, 0.0, "d"), FLAT, strict).method == CONFIRMED
    for value in (1.0002, 0.9998):
        found = _more_precise(exact(value), Estimate(1.0, 6e-6, "differences"), FLAT, strict)
        assert (found.value, found.method) == (1.0, "differences (not analytic)")
    assert _more_precise(exact(1 + 1.2e-8), Estimate(1.0, 0.0, "d"), FLAT, strict).value == 1.0
    assert _more_precise(exact(1 + 1.2e-7), Estimate(1.0, 0.0, "d"), FLAT, TOLERANCES).value == 1.0


def test_flat_differences_do_not_contradict_a_slope_too_small_to_be_added():
    flat = [step(0.5, 0.0, 0.0), step(0.25, 0.0, 0.0)]
    tiny = 15 * EPS  # times 0.5 is 7.5 last bits of 1
    for sign in (1, -1):
        assert _more_precise(exact(sign * tiny), Estimate(0.0, 0.0, "d"), flat, TOLERANCES).value == sign * tiny
        assert _more_precise(exact(sign * 16 * EPS), Estimate(0.0, 0.0, "d"), flat, TOLERANCES).value != 0
        assert _more_precise(exact(sign * 17 * EPS), Estimate(0.0, 0.0, "d"), flat, TOLERANCES).value == 0
    assert _more_precise(exact(tiny), Estimate(0.0, 0.0, "d"), FLAT, TOLERANCES).value == 0
    assert _more_precise(exact(tiny), Estimate(0.0, 0.0, "d"), [step(0.5, 0.0, 1e-30)], TOLERANCES).value == 0


# -- how a derivative is measured -------------------------------------------------------------------------------------


def line(f: Any, x: float) -> Line:
    problem = Problem(f, [mr.tensor([x], dtype="float64")])
    return GradientUnderTest(problem, TOLERANCES, np.random.default_rng(0)).line_along_element(0, (0,))


def cube(x: mr.Tensor) -> mr.Tensor:
    return x * x * x


ONE = np.ones(1)


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("auto", CONFIRMED),
        ("adjoint", CONFIRMED),
        ("complex", "complex step"),
        ("central3", "central difference, 3 points"),
        ("central5", "central difference, 5 points"),
        ("richardson", "differences, extrapolated"),
    ],
)
def test_each_method_measures_by_its_name(method, name):
    found = measure(line(cube, 0.7), ONE, Tolerances(0.0, 1e-7, None, method))
    assert found.best is not None
    assert found.best.method == name
    assert found.best.value == pytest.approx(3 * 0.49, rel=1e-6)
    assert (len(found.steps) == 0) is (method == "complex")
    assert (found.kink, found.crossing) == (None, "")


@pytest.mark.parametrize(("method", "fixed"), [("auto", True), ("central3", True), ("central5", False)])
def test_a_given_step_is_for_the_methods_of_three_points(method, fixed):
    found = measure(line(cube, 0.7), ONE, Tolerances(0.0, 1e-7, 1e-3, method))
    assert (len(found.steps) == 2) is fixed
    if fixed:
        assert found.steps[-1].h == pytest.approx(1e-3)


def test_a_crossing_at_the_given_step_is_named():
    near = line(lambda x: mr.functional.relu(x), 1e-2)
    far, close = (measure(near, ONE, Tolerances(0.0, 1e-7, eps, "auto")) for eps in (5e-2, 5e-3))
    assert "relu" in far.crossing.lower()
    assert close.crossing == ""


def test_a_declared_kink_is_measured_on_its_own_branch():
    found = measure(line(lambda x: mr.functional.leaky_relu(x, 0.1) * 3.0, 0.0), ONE, TOLERANCES)
    assert found.best is not None
    assert found.best.value == pytest.approx(0.3)
    assert "leaky" in found.crossing.lower()
    assert found.kink is None


def test_an_undeclared_kink_is_found_by_its_slopes():
    found = measure(line(lambda x: (x * x).sqrt() + x * 2.0, 0.0), ONE, TOLERANCES)
    assert found.kink is not None
    assert (found.kink.left, found.kink.right) == (pytest.approx(1), pytest.approx(3))
    assert found.crossing == ""
