"""What is said of a sweep of step sizes: a V-curve, one half of it, a plateau, or why there is none."""

from __future__ import annotations

import math
from typing import Any

import pytest

from minires.gradcheck.interceptors import Crossing
from minires.gradcheck.line import Step
from minires.gradcheck.markup import location, power, shape_of, short, text
from minires.gradcheck.result import ArrayResult, Curve, Element, Suspect, Verdict, worst
from minires.gradcheck.sweep_summary import describe, summarize, verdict_of

RELU = (Crossing(3, "relu", ()),)


def curve(errors: list[float], analytic: float = 2.0, numeric: float = 2.0, **more: Any) -> Curve:
    """A sweep whose differences are off from `numeric` by so much, at h = 0.1, 0.01, …"""
    rounding, crossings = more.get("rounding", 0.0), more.get("crossings", {})
    steps = tuple(
        Step(10.0**-k, numeric + error, 0, 0, rounding, 0, 0, 0, crossings.get(k, ()))
        for k, error in enumerate(errors, 1)
    )
    return Curve((0,), analytic, numeric, steps)


def test_the_best_step_is_the_nearest_to_the_numeric_value_rounding_included():
    found = summarize(curve([1e-2, -1e-4, 1e-3], analytic=2.5, rounding=1e-5))
    assert found is not None
    assert found.best.h == 0.01
    assert found.accuracy == pytest.approx(1.1e-4)
    assert found.apart == pytest.approx(0.5001)
    assert len(found.clean) == 3


def test_steps_that_cross_a_kink_or_are_not_finite_do_not_count():
    found = summarize(curve([1e-2, 1e-9, math.nan, 1e-3], crossings={2: RELU}))
    assert found is not None
    assert [step.h for step in found.clean] == [pytest.approx(0.1), pytest.approx(1e-4)]
    assert summarize(curve([1e-2], crossings={1: RELU})) is None
    assert summarize(curve([1e-2], numeric=math.nan)) is None
    assert summarize(curve([1e-2], analytic=math.inf)) is None
    assert summarize(curve([])) is None


def test_ten_times_the_accuracy_is_a_plateau():
    exactly = summarize(curve([0.0, 0.0], analytic=2.5, rounding=0.05))
    assert exactly is not None
    assert not exactly.is_plateau
    beyond = summarize(curve([0.0, 0.0], analytic=2.6, rounding=0.05))
    assert beyond is not None
    assert beyond.is_plateau


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        ([1e-2, 1e-6, 1e-3], "A V-curve: the error falls with h to 10⁻⁶ at h = 0.01, and below that"),
        ([1e-2, 1e-4, 1e-6], "The falling half of a V-curve: the error falls with h to 10⁻⁶ at h = 10⁻³."),
        ([1e-6, 1e-4, 1e-2], "The rising half of a V-curve"),
        ([1e-6, 2e-6, 9e-6], "Flat: the error is no more than 9.0·10⁻⁶ at any step."),
        ([1.1e-5, 1e-6, 0.9e-5], "The falling half"),
        ([0.9e-5, 1e-6, 1.1e-5], "The rising half"),
        ([0.0, 0.0, 0.0], "No error at all"),
        ([1e-6, 0.0, 1e-6], "A V-curve"),
    ],
)
def test_the_shape_of_the_curve(errors, words):
    assert describe(curve(errors), Verdict.PASS).startswith(words)


def test_rounding_hides_both_sides_of_a_v():
    assert describe(curve([1e-2, 1e-6, 1e-2], rounding=2e-3), Verdict.PASS).startswith("Flat")
    assert describe(curve([1e-2, 1e-6, 1e-2], rounding=5e-4), Verdict.PASS).startswith("A V-curve")


def test_a_plateau_is_a_mistake_a_kink_or_rounding():
    far = curve([1e-2, 1e-6], analytic=2.5)
    wrong = describe(far, Verdict.WRONG)
    assert wrong.startswith("A plateau: at h = 0.01 the difference comes within 10⁻⁶ of the numeric value")
    assert "stays 0.5 away from the analytic one, 0.2 of the number." in wrong
    assert wrong.endswith("the analytic value is wrong.")
    assert "as expected at a kink" in describe(far, Verdict.KINK)
    assert describe(far, Verdict.ROUNDING).endswith("the rounding of the analytic value.")
    larger = curve([1e-2, 1e-6], analytic=-4.0)
    assert "stays 6 away from the analytic one, 1.5 of the number" in describe(larger, Verdict.WRONG)


def test_steps_on_kinks():
    assert "Hollow steps cross a kink of relu" in describe(curve([1e-2, 1e-6, 1e-3], crossings={1: RELU}), Verdict.PASS)
    assert "Hollow" not in describe(curve([1e-2, 1e-6, 1e-3]), Verdict.PASS)
    every = describe(curve([1e-2, 1e-6], crossings={1: RELU, 2: RELU}), Verdict.PASS)
    assert every.startswith("Every step crosses a kink: relu")
    assert describe(curve([]), Verdict.PASS).startswith("No step gave a finite difference")
    assert "there is no error to draw" in describe(curve([1e-2], analytic=math.nan), Verdict.WRONG)


def test_the_verdict_is_that_of_the_element_whose_curve_is_shown():
    elements = (
        Element((0,), 2.0, 2.0, 0.0, Verdict.PASS, "by hand"),
        Element((1,), 2.0, 2.5, 0.0, Verdict.WRONG, "by hand"),
        Element((1,), 3.0, 2.5, 0.0, Verdict.KINK, "by hand"),
    )
    for index, analytic, expected in (((0,), 2.0, "PASS"), ((1,), 3.0, "KINK"), ((2,), 2.0, "ROUNDING")):
        array = ArrayResult("w", (2,), elements, Verdict.ROUNDING, curve=Curve(index, analytic, 2.0, ()))
        assert verdict_of(array) == expected
    assert verdict_of(ArrayResult("w", (2,), elements, Verdict.VACUOUS)) is Verdict.VACUOUS


# -- results and how they are written ---------------------------------------------------------------------------------


def test_verdicts_have_an_order_and_the_worst_of_none_is_vacuous():
    assert [each.rank for each in Verdict] == [0, 1, 2, 3, 4]
    assert worst([Verdict.KINK, Verdict.ROUNDING, Verdict.PASS]) is Verdict.ROUNDING
    assert worst([]) is Verdict.VACUOUS
    assert len({each.meaning for each in Verdict}) == 5
    assert str(Verdict.PASS) == "PASS"


def test_the_worst_element_has_the_worst_verdict_then_the_largest_difference():
    def element(analytic: float, verdict: Verdict, index: int) -> Element:
        return Element((index,), analytic, 1.0, 0.5, verdict, "by hand")

    elements = [element(9.0, Verdict.KINK, 0), element(1.5, Verdict.WRONG, 1), element(-1.0, Verdict.WRONG, 2)]
    found = ArrayResult("w", (4,), tuple(elements), Verdict.WRONG)
    assert found.worst_element is elements[2]
    assert found.worst_element.difference == -2
    infinite = element(math.nan, Verdict.WRONG, 3)
    assert ArrayResult("w", (4,), (*elements, infinite), Verdict.WRONG).worst_element is infinite
    assert ArrayResult("w", (4,), (), Verdict.WRONG).worst_element is None
    assert (found.count(Verdict.WRONG), found.count(Verdict.PASS)) == (2, 0)
    matrix = found.matrix("analytic")
    assert matrix[:3].tolist() == [9.0, 1.5, -1.0]
    assert math.isnan(matrix[3])


@pytest.mark.parametrize(
    ("numeric", "verdict", "vanishes"),
    [(0.5, Verdict.PASS, True), (-0.5, Verdict.PASS, True), (0.51, Verdict.PASS, False), (0.0, Verdict.KINK, False)],
)
def test_a_number_vanishes_within_its_error(numeric, verdict, vanishes):
    assert Element((0,), 1.0, numeric, 0.5, verdict, "by hand").vanishes is vanishes


def test_a_suspect_says_where_it_is_and_what_it_looks_like():
    element = Element((0,), 1.0, 2.0, 0.5, Verdict.WRONG, "by hand")
    assert str(Suspect("Cube", 3, "a.py:1: y = x", "b.py:2", "", element, "")) == (
        "Cube, applied at a.py:1: y = x\n      its backward: b.py:2"
    )
    assert str(Suspect("Cube", 3, "a.py:1: y = x", "b.py:2", "layer1.0", element, "a factor 2")) == (
        "Cube in layer1.0, applied at a.py:1: y = x\n      its backward: b.py:2\n      looks like: a factor 2"
    )


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (99.94, 3, "99.9"),
        (100.4, 2, "100"),
        (9999.0, 2, "9999"),
        (10000.0, 2, "10⁴"),
        (12345.0, 2, "1.2·10⁴"),
        (0.01, 2, "0.01"),
        (0.00999, 2, "10⁻²"),
        (0.0123456, 3, "0.0123"),
        (-100.4, 2, "-100"),
        (-10000.0, 2, "-1.0·10⁴"),
        (math.inf, 2, "inf"),
        (1e-7, 3, "10⁻⁷"),
    ],
)
def test_numbers_in_a_few_digits(value, digits, expected):
    assert short(value, digits) == expected


def test_small_pieces():
    assert power(-12) == "10⁻¹²"
    assert shape_of((3, 4)) == "3×4"
    assert shape_of(()) == "one number"
    assert location((1, 2)) == "[1, 2]"
    assert location(None) == "along a random direction"
    assert text("<a & b>\x00\ud800") == "&lt;a &amp; b&gt;��"
