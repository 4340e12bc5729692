"""The rules of `numeric.py` and the sweep of `line.py`, on differences made by hand: each number is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires.gradcheck.judge import Tolerances
from minires.gradcheck.line import Line, Step
from minires.gradcheck.numeric import (
    Kink,
    central3,
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


def step(h: float, central: float = 0.0, **more: Any) -> Step:
    """A step of a smooth function, unless slopes are given."""
    values = {"right": central, "left": central, "rounding": 0.0, "bend": 0.0} | more
    low, high = sorted((values["left"], values["right"]))
    return Step(h, central, values["right"], values["left"], values["rounding"], values["bend"], low, high)


def steps_of(d: Callable[[float], float], count: int = 5, **more: Any) -> list[Step]:
    """D(h) for h = 1/8, 1/64, …"""
    return [step(8.0**-k, d(8.0**-k), **more) for k in range(1, count + 1)]


# -- three points -----------------------------------------------------------------------------------------------------


def test_the_truncation_of_three_points_is_the_h_squared_term():
    """For φ(h) = 2h + 3h³ the central difference is 2 + 3h²."""
    large, small = steps_of(lambda h: 2 + 3 * h * h, 2)
    found = fixed_step([large, step(small.h, small.central, rounding=1e-3)])
    assert found is not None
    assert (found.value, found.error) == (small.central, pytest.approx(3 / 64**2 + 1e-3))
    found = central3([large, small])
    assert found is not None
    assert (found.value, found.error) == (small.central, pytest.approx(3 / 64**2))


def test_one_step_is_no_estimate():
    assert fixed_step([step(0.1)]) is None
    assert fixed_step([]) is None
    assert central3([step(0.1)]) is None
    assert central3([]) is None
    assert richardson([]) is None


def test_three_points_weigh_truncation_against_noise():
    """Of |right − left|·h / 2 at the three smallest steps the median, 1e-4, is the noise; over h it is an error."""
    jumps = [9.0, 9.0, 1e-4, 1e-2, 1e-6]  # the first two are curvature, and no noise
    steps = [
        step(each.h, each.central, right=each.central + jump / each.h, left=each.central - jump / each.h, rounding=0.03)
        for each, jump in zip(steps_of(lambda h: 2 + h * h), jumps, strict=True)
    ]
    found = central3(steps)
    errors = [8.0 ** (-2 * k) + 1e-4 * 8.0**k + 0.03 for k in range(2, 6)]
    assert found is not None
    assert found.error == pytest.approx(min(errors))
    assert found.value == steps[1].central


def test_fewer_than_three_steps_have_noise_too():
    steps = [step(0.5, 2.0, right=2.2, left=1.8), step(0.0625, 2.0, right=2.4, left=1.6)]
    found = central3(steps)
    assert found is not None
    assert found.error == pytest.approx(0.1 / 0.0625)  # the larger of 0.4·0.5/2 = 0.1 and 0.8·0.0625/2 = 0.025


# -- Richardson -------------------------------------------------------------------------------------------------------


def test_each_column_of_the_table_removes_one_power():
    """D(h) = 5 + 3h² + 7h⁴ + 11h⁶: the fourth entry of the fourth row is 5."""
    steps = steps_of(lambda h: 5 + 3 * h**2 + 7 * h**4 + 11 * h**6, 4)
    found = richardson(steps)
    assert found is not None
    assert found.value == pytest.approx(5, abs=1e-14)
    for count, order in ((2, 4), (3, 6)):
        found = richardson(steps[:count])
        assert found is not None
        assert abs(found.value - 5) < 100 * 8.0 ** (-order * (count - 1))
    assert richardson(steps[:1]) is None


def test_the_error_of_an_entry_is_its_distance_from_the_two_that_made_it():
    a, b = steps_of(lambda h: 5 + 3 * h**2, 2)
    found = richardson([a, step(b.h, b.central, rounding=1e-3)])
    assert found is not None
    assert found.value == pytest.approx(5)
    assert found.error == pytest.approx(3 / 64 + 1e-3)
    noisy = [step(each.h, each.central, right=each.central + 0.01, left=each.central - 0.01) for each in (a, b)]
    found = richardson(noisy)
    assert found is not None
    assert found.error == pytest.approx(3 / 64 + 0.01 * a.h / b.h)  # the median of two is the larger


def test_at_most_four_columns_are_removed():
    """Of D(h) = 1 + h¹⁰ each column would leave h¹⁰ alone until the fifth."""
    steps = steps_of(lambda h: 1 + (8 * h) ** 2 + (8 * h) ** 10, 7)
    found = richardson(steps)
    assert found is not None
    assert found.value == pytest.approx(1, abs=1e-9)


def test_a_step_that_is_missing_starts_the_table_anew():
    whole = steps_of(lambda h: 5 + 3 * h**2, 4)
    assert richardson([whole[0], whole[2]]) is None
    found = richardson([whole[0], whole[2], whole[3]])
    assert found is not None
    assert found.value == pytest.approx(5, abs=1e-12)
    assert found.error == pytest.approx(3 * 8.0**-6)


def test_infinite_differences_are_no_estimate():
    assert richardson([step(0.125, math.inf), step(0.015625, 1.0)]) is None


# -- which steps contradict --------------------------------------------------------------------------------------------


def test_three_steps_that_agree_contradict_another_value():
    three = [step(h, 1.0 + d) for h, d in ((1e-3, 1e-6), (1e-4, -1e-6), (1e-5, 0.0))]
    assert contradicted(2.0, three)
    assert contradicted(1.0 + 3e-5, three)
    assert not contradicted(1.0 + 1e-5, three)  # within ten times their scatter
    assert not contradicted(2.0, three[:2])
    assert not contradicted(2.0, [step(each.h, each.central, rounding=0.15) for each in three])
    assert contradicted(-1.0, three)
    assert contradicted(2.0, [step(1.0, 7.0), *three])
    assert contradicted(2.0, [*three, step(1e-6, 7.0)])


def test_the_scatter_may_be_a_hundredth_of_the_larger_value():
    wide = [step(h, 1.0 + d) for h, d in ((1e-3, 5e-3), (1e-4, -5e-3), (1e-5, 0.0))]
    assert not contradicted(0.5, [step(each.h, each.central + (each.h == 1e-3) * 1e-4) for each in wide])
    assert contradicted(3.0, wide)
    assert contradicted(0.5, [step(each.h, -each.central, rounding=-1e-3) for each in wide])


# -- staircases -------------------------------------------------------------------------------------------------------


def stair(h: float, right: float, left: float) -> Step:
    return step(h, (right + left) / 2, right=right, left=left)


def test_steps_on_one_stair_are_left_out_and_the_jump_is_rounding():
    steps = [stair(1.0, 2.0, 2.1), stair(0.125, 2.0, 2.2), stair(0.015625, 8.0, 0.0), stair(0.001, 0.0, 0.0)]
    kept = without_staircase(steps)
    assert [each.h for each in kept] == [1.0, 0.125]
    # Near the least sloping step a stair is 8·0.015625 = 0.125 high, and the slopes differ by as much.
    assert [each.rounding for each in kept] == [pytest.approx(0.125), pytest.approx(1.0)]
    assert kept[0].central == steps[0].central


def test_rounding_that_is_known_to_be_larger_stays():
    steps = [stair(1.0, 2.0, 2.1), stair(0.125, 8.0, 0.0), stair(0.001, 0.0, 0.0)]
    rough = [step(each.h, each.central, right=each.right, left=each.left, rounding=5.0) for each in steps]
    assert [each.rounding for each in without_staircase(rough)] == [5.0]


def test_what_is_no_staircase_is_left_alone():
    smooth = [stair(1.0, 2.0, 2.1), stair(0.125, 2.0, 2.02), stair(0.015625, 2.0, 2.001)]
    assert without_staircase(smooth) == smooth
    kink = [stair(1.0, 2.0, 1.0), stair(0.125, 2.0, 1.0), stair(0.015625, 0.0, 0.0)]
    assert without_staircase(kink) == kink  # slopes apart by more than a fifth are no slope of a staircase
    one_sided = [stair(1.0, 1.0, 1.1), stair(0.125, 1.0, 0.0), stair(0.015625, 0.0, 1.0)]
    assert without_staircase(one_sided) == one_sided  # flat on one side only
    assert without_staircase([]) == []


# -- kinks ------------------------------------------------------------------------------------------------------------


def bent(h: float, left: float, right: float, rounding: float = 1e-9) -> Step:
    return step(h, (left + right) / 2, left=left, right=right, bend=abs(right - left), rounding=rounding)


def test_a_kink_has_the_slopes_of_its_smallest_step_and_their_spread_as_error():
    found = find_kink([bent(1e-1, -1.02, 1.01), bent(1e-2, -1.01, 1.0), bent(1e-3, -1.0, 1.03, rounding=1e-3)])
    assert found == Kink(-1.0, 1.03, -1.0, 1.03, pytest.approx(0.03 + 1e-3))


def test_of_several_triples_the_one_with_the_least_error_is_taken():
    steps = [bent(1e-1, -1.0, 1.0), bent(1e-2, -1.0, 1.0), bent(1e-3, -1.0, 1.0), bent(1e-4, -1.05, 1.05, 1e-3)]
    found = find_kink(steps)
    assert found is not None
    assert (found.left, found.right, found.error) == (-1.0, 1.0, pytest.approx(1e-9))


def test_three_clear_steps_that_agree_are_needed():
    kink = [bent(10.0**-k, -1.0, 1.0) for k in range(1, 5)]
    assert find_kink(kink) is not None
    assert find_kink(kink[:2]) is None
    drowned = [bent(each.h, -1.0, 1.0, rounding=0.021) for each in kink]
    assert find_kink(drowned) is None  # 2 is less than 100 times 0.021
    assert find_kink([bent(each.h, -1.0, 1.0, rounding=0.019) for each in kink]) is not None
    smooth = [bent(h, 1 - h, 1 + h) for h in (1e-1, 1e-2, 1e-3)]
    assert find_kink(smooth) is None
    assert find_kink([bent(1e-1, 0, 1.0), bent(1e-2, 0, 0.95), bent(1e-3, 0, 0.91)]) is not None
    assert find_kink([bent(1e-1, 0, 1.0), bent(1e-2, 0, 0.95), bent(1e-3, 0, 0.88)]) is None


def test_larger_steps_with_another_bend_do_not_count():
    """Their kink is another one, further away."""
    far = [bent(10.0**-k, -5.0, 5.0) for k in range(1, 4)]
    near = [bent(10.0**-k, -1.0, 1.0, rounding=1e-4) for k in range(4, 7)]
    found = find_kink([*far, *near])
    assert found is not None
    assert (found.left, found.right) == (-1.0, 1.0)


# -- slopes without bound ---------------------------------------------------------------------------------------------


def growing(ratio: float, count: int = 6) -> list[Step]:
    return [step(8.0**-k, right=ratio**k, left=-0.5 * ratio**k) for k in range(count)]


@pytest.mark.parametrize(
    ("ratio", "infinite"), [(1.0, False), (1.45, False), (1.55, True), (8**0.5, True), (7.1, True), (7.3, False)]
)
def test_slopes_that_grow_faster_than_rounding_and_slower_than_a_jump(ratio, infinite):
    assert is_infinite(growing(ratio)) is infinite
    assert is_infinite([step(each.h, right=each.left, left=each.right) for each in growing(ratio)]) is infinite


def test_six_steps_must_grow_and_the_last_six_count():
    assert not is_infinite(growing(8**0.5, 5))
    assert is_infinite([step(100.0, right=50.0), *growing(8**0.5)])
    assert not is_infinite([*growing(8**0.5), step(1e-9, right=0.0, left=0.0)])
    assert not is_infinite([step(8.0**-k) for k in range(6)])  # slopes of zero


# -- the sweep along a line -------------------------------------------------------------------------------------------


def line(f: Callable[..., Any], x: Sequence[float], d: Sequence[float], scale: float, least: float = math.inf) -> Line:
    problem = Problem(f, [mr.tensor(list(x), dtype="float64")])
    origin = GradientUnderTest(problem, AUTO, np.random.default_rng(0)).origin
    return Line(origin, [np.array(d, dtype=np.float64)], scale, least)


def test_steps_are_an_eighth_of_the_one_before_from_an_eighth_of_the_scale():
    through = line(lambda x: x.exp(), [0.0], [1.0], 1.3)  # rounded to a power of two: 1
    steps = through.sweep(np.ones(1))
    assert [each.h for each in steps] == [8.0**-k for k in range(1, 15)]
    assert through.few_powers == [range(2, 6)]


@pytest.mark.parametrize(
    ("scale", "rounded"),
    [(1.0, 1.0), (3.0, 4.0), (0.3, 0.25), (0.0, 1.0), (-2.0, 1.0), (math.inf, 1.0), (math.nan, 1.0)],
)
def test_the_scale_is_a_power_of_two(scale, rounded):
    assert line(lambda x: x.exp(), [0.0], [1.0], scale).scale == rounded


def test_numbers_far_smaller_than_the_scale_have_smaller_steps():
    assert line(lambda x: x, [1.0], [1.0], 1.0, least=1.0).all_powers == range(1, 15)
    assert line(lambda x: x, [1.0], [1.0], 1.0, least=0.0).all_powers == range(1, 15)
    near = line(lambda x: x, [1.0], [1.0], 1.0, least=0.2)
    assert (near.all_powers, near.few_powers) == (range(1, 16), [range(2, 6)])
    far = line(lambda x: x, [1.0], [1.0], 1.0, least=1e-3)  # 8⁴ > 1000 > 8³
    assert (far.all_powers, far.few_powers) == (range(1, 19), [range(2, 6), range(6, 10)])


def test_a_step_holds_the_differences_of_every_output():
    """F(x) = (|x|, −|x|, x²) at 0 with u = (1, 3, 2): right slopes (1, −1, h), left slopes (−1, 1, −h)."""
    through = line(lambda x: mr.functional.cat([abs(x), -abs(x), x * x]), [0.0], [1.0], 1.0)
    first = through.sweep(np.array([1.0, 3.0, 2.0]))[0]
    h = 0.125
    assert first.h == h
    assert first.central == 0
    assert first.right == pytest.approx(1 - 3 + 2 * h)
    assert first.left == pytest.approx(-1 + 3 - 2 * h)
    assert first.bend == pytest.approx(1 * 2 + 3 * 2 + 2 * 2 * h)
    assert first.low == pytest.approx(-1 - 3 - 2 * h)
    assert first.high == pytest.approx(1 + 3 + 2 * h)
    assert first.crossings


def test_rounding_is_that_of_outputs_that_move():
    """Of (1000 + x, 1000) the second never moves, so it has no rounding error."""
    through = line(lambda x: mr.functional.cat([x + 1000.0, x * 0.0 + 1000.0]), [1.0], [1.0], 1.0)
    one, both = (through.sweep(np.array(u))[0].rounding for u in ([2.0, 0.0], [2.0, 5.0]))
    eps = 2.0**-52
    assert both == one
    assert 0.9 <= one / (2 * 1001 * eps / 0.125) <= 3


def test_the_complex_step_names_a_small_error_and_takes_a_share_of_the_step():
    through = line(lambda x: x.exp() * x, [0.7], [2.0], 1.0)
    slope = 2 * math.exp(0.7) * 1.7
    for share in (1.0, 0.01):
        found = through.complex_step(np.array([3.0]), share)
        assert found is not None
        assert found.value == pytest.approx(3 * slope, rel=1e-14)
        assert 3 * slope * 2.0**-52 < found.error < 1e-12 * slope
    assert line(lambda x: mr.tensor(x.numpy().real), [0.7], [1.0], 1.0).complex_step(np.ones(1)) is None


def test_output_slopes_are_those_of_each_output():
    through = line(lambda x: mr.functional.cat([x * 3.0, -2.0 * x.exp(), x * 0.0 + 1.0]), [0.5], [1.0], 1.0)
    assert through.output_slopes() == pytest.approx([3.0, 2 * math.exp(0.5), 0.0], rel=1e-4)


def test_powers_around_a_step_are_itself_and_the_one_before():
    through = line(lambda x: x, [1.0], [1.0], 4.0)
    assert through.powers_around(4.0 / 64) == [pytest.approx(1.0), pytest.approx(2.0)]
