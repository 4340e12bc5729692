"""Guesses at a mistake: which gradients show which pattern, and how far from it a number may be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from minires.gradcheck.patterns import guess
from minires.gradcheck.result import ArrayResult, Element, Verdict

RNG = np.random.default_rng(0)


def array(analytic: Any, numeric: Any, reason: str = "", only: Any = None, wrong: Any = None) -> ArrayResult:
    """The result of a check of every number (or of those where `only` is true), WRONG where the two differ."""
    a, n = np.asarray(analytic, float), np.asarray(numeric, float)
    apart = ~np.isclose(a, n, rtol=1e-7, atol=0) if wrong is None else wrong
    elements = tuple(
        Element(i, float(a[i]), float(n[i]), 0.0, Verdict.WRONG if apart[i] else Verdict.PASS, "by hand", reason)
        for i in np.ndindex(a.shape)
        if only is None or only[i]
    )
    return ArrayResult("x", a.shape, elements, Verdict.WRONG)


def said(analytic: Any, numeric: Any, *shapes: tuple[int, ...], values: Any = None, **more: Any) -> str:
    return guess(array(analytic, numeric, **more), shapes, values)


N = np.array([1.0, -2.0, 0.5, 3.0])


# -- what the reasons of the elements say -----------------------------------------------------------------------------


def test_what_is_not_finite():
    assert said([math.nan, math.inf], [1.0, 2.0]) == "it is not finite"
    assert said([1.0, 2.0], [math.nan, math.nan]) == "it is not finite"
    assert guess(ArrayResult("x", (2,), (), Verdict.WRONG), ()) == ""
    assert said([math.nan, -1.0, -2.0], [1.0, 1.0, 2.0]) == "the sign is flipped"  # of those that are finite


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("not linear in what arrives", "backward is not linear"),
        ("something is kept outside of the op itself", "a class-level cache"),
        ("(convention) at a tie", "another subgradient than the documented one"),
        ("3 ties, move together", "all ties receive the gradient"),
    ],
)
def test_reasons_of_the_elements_come_first(reason, words):
    assert words in said(-N, N, reason=reason)


@pytest.mark.parametrize("reason", ["(convention) at a tie", "3 ties, move together"])
def test_every_wrong_number_must_have_the_reason(reason):
    told, untold = array(-N[:2], N[:2], reason=reason), array(-N, N)
    mixed = ArrayResult("x", (4,), (*told.elements, *untold.elements[2:]), Verdict.WRONG)
    assert guess(mixed, ()) == "the sign is flipped"
    right = array(N, N, reason=reason)
    assert guess(right, ()) == ""


# -- factors ----------------------------------------------------------------------------------------------------------


def test_zeros():
    assert said(N, 0 * N).startswith("it should be zero")
    assert said(0 * N, N) == "backward returns zeros"
    assert said(2.9e-5 * N / 3, N) == "backward returns zeros"  # up to 1e-5 of the largest number
    assert said(1.1e-5 * N, N).startswith("a constant factor 1.1e-05")


@pytest.mark.parametrize(
    ("factor", "shapes", "words"),
    [
        (-1.0, [(4,)], "the sign is flipped"),
        (4.0, [(4,)], "a constant factor 4: a division by 4 is missing"),
        (12.0, [(3, 4)], "a constant factor 12: a division by 12 is missing"),
        (10.0, [(2, 3, 5)], "a constant factor 10: a division by 10 is missing"),  # the axes of batch norm
        (0.25, [(4,)], "a constant factor 1/4: a mean where a sum belongs"),
        (0.5, [(2, 3)], "a factor ½"),
        (0.5, [(4,)], "a factor ½"),
        (2.0, [(4,)], "a factor 2: a path counted twice"),
        (2.0, [(2,)], "a constant factor 2: a division by 2 is missing"),
        (3 / 4, [(4,)], "a constant factor (4 − 1)/4: the biased and the unbiased variance"),
        (4 / 3, [(4,)], "a constant factor 4/(4 − 1): the biased and the unbiased variance"),
        (4.0, [(5,)], "a constant factor 4"),
        (0.3, [(4,)], "a constant factor 0.3"),
        (-0.5, [(4,)], "a constant factor -0.5"),
        (10.0, [(2, 5)], "a constant factor 10: a division"),
        (10.0, [(2, 3), (5,)], "a constant factor 10"),  # no stretch of axes is that long
        (15.0, [(3, 2, 5)], "a constant factor 15: a division by 15"),
        (30.0, [(3, 2, 5, 1)], "a constant factor 30: a division by 30"),
    ],
)
@pytest.mark.parametrize("size", [1.0, 1e200, 1e-200])
def test_a_constant_factor(factor, shapes, words, size):
    found = said(factor * N * size, N * size, *shapes)
    assert found.startswith(words)
    assert (":" in found) == (":" in words or "½" in words)


def test_how_far_from_a_factor_the_numbers_may_be():
    off = np.array([0.0, 0.0, 0.0, 1.0])
    assert said(3 * N + 5e-5 * off, N) == "a constant factor 3.00001"
    assert said(3 * N + 5e-4 * off, N) == ""
    assert said(3 * N * (1 + 0.9e-5), N, (3,)).startswith("a constant factor 3: a division")
    assert said(3 * N * (1 + 1.2e-5), N, (3,)) == "a constant factor 3.00004"
    assert said(N / 3 * (1 + 1.2e-5), N, (3,)) == "a constant factor 0.333337"
    assert said(-N * (1 + 0.9e-5), N) == "the sign is flipped"
    assert said(-N * (1 + 1.2e-5), N) == "a constant factor -1.00001"
    assert said(0.75 * N * (1 + 2e-6), N, (4,)).startswith("a constant factor (4")
    assert said(0.75 * N * (1 + 3e-6), N, (4,)) == "a constant factor 0.750002"
    assert said(2 * N * (1 + 1.2e-5), N) == "a constant factor 2.00002"
    assert said(0.5 * N * (1 + 1.2e-5), N) == "a constant factor 0.500006"
    assert said(0.5 * N * (1 + 0.9e-5), N).startswith("a factor ½")
    assert said(2 * N * (1 + 0.9e-5), N).startswith("a factor 2")


def test_one_number_has_a_sign_and_no_other_factor():
    assert said([-3.0], [3.0]) == "the sign is flipped"
    assert said([6.0], [3.0], (2,)) == ""


def test_a_factor_of_one_is_none():
    """Differences below 1e-5 that the check resolves."""
    assert said(N * (1 + 0.5e-5), N) == ""
    assert said(N * (1 + 1.4e-5), N) == "a constant factor 1.00001"


# -- places -----------------------------------------------------------------------------------------------------------

TABLE = RNG.normal(size=(3, 4))
SQUARE = RNG.normal(size=(3, 3))
IMAGES = RNG.normal(size=(2, 2, 3, 3))


def test_transposed_and_mirrored():
    assert said(SQUARE.T, SQUARE) == "it is transposed"
    assert said(np.swapaxes(IMAGES, 2, 3), IMAGES) == "it is transposed"
    for axes in ((-1,), (-2,), (-2, -1)):
        assert said(np.flip(TABLE, axes), TABLE).startswith("it is mirrored")
        assert said(np.flip(IMAGES, axes), IMAGES).startswith("it is mirrored")
    assert said(np.flip(N), N).startswith("it is mirrored")
    assert said(np.flip(IMAGES, 0), IMAGES) == ""


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("by", [-2, -1, 1, 2])
def test_shifted(axis, by):
    """The analytic number at i + by is the one that belongs at i."""
    right = RNG.normal(size=(5, 5))
    assert said(np.roll(right, by, axis), right).startswith(f"it is shifted by {by} along axis {axis}: padding")
    assert said(np.roll(right, 3, axis), right).startswith(f"it is shifted by -2 along axis {axis}")  # as a roll of 5
    assert said(np.roll(RNG.normal(size=(9, 9)), 3, axis), RNG.normal(size=(9, 9))) == ""


def test_two_numbers_must_remain_to_be_called_shifted():
    assert said([9.0, 1.0, 5.0, 2.0], [1.0, 5.0, 2.0, 7.0]).startswith("it is shifted by 1 along axis 0")
    assert said([9.0, 1.0, 5.0], [1.0, 5.0, 7.0]).startswith("it is shifted by 1 along axis 0")
    assert "shifted" not in said([9.0, 1.0], [1.0, 7.0])
    assert "shifted" not in said([1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0])  # what remains is zero


def test_places_are_right_to_a_hundred_thousandth_of_the_largest():
    off = np.zeros((3, 3))
    off[0, 1] = abs(SQUARE).max()
    assert said(SQUARE.T + 0.9e-5 * off, SQUARE) == "it is transposed"
    assert said(SQUARE.T + 1.2e-5 * off, SQUARE) != "it is transposed"
    rolled = np.roll(SQUARE, 1, 0)
    off = np.roll(off, 1, 0)
    assert said(rolled + 0.9e-5 * off, SQUARE).startswith("it is shifted")
    assert not said(rolled + 1.2e-5 * off, SQUARE).startswith("it is shifted")


def test_a_large_array_is_recognised_from_six_measured_numbers():
    right = RNG.normal(size=(20, 20))
    for count, recognised in ((6, True), (5, False)):
        only = np.zeros((20, 20), bool)
        only.ravel()[RNG.permutation(400)[:count]] = True
        for change in (lambda x: x.T, lambda x: np.flip(x, 1)):
            found = guess(array(change(right), right, only=only), (), None, change(right))
            assert (found.startswith("it is")) is recognised
        assert not guess(array(right.T, right, only=only), ()).startswith("it is")  # without all of the gradient
    only = np.zeros((20, 20), bool)
    only[4:6, 5:9] = True
    found = guess(array(np.roll(right, 1, 0), right, only=only), (), None, np.roll(right, 1, 0))
    assert found.startswith("it is shifted by 1 along axis 0")


# -- what is missing --------------------------------------------------------------------------------------------------

X = RNG.normal(size=(4, 2, 3)) * 2 + 1
RIGHT = RNG.normal(size=(4, 2, 3))
CENTRED = X - X.mean((0, 2), keepdims=True)
CONSTANT = np.array([0.5, -2.0]).reshape(1, 2, 1)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (CONSTANT, "each channel is off by a constant: the gradient through the mean"),
        (CONSTANT * CENTRED, "each channel is off by a multiple of x − mean"),
        (CONSTANT * CENTRED + np.array([1.0, 3.0]).reshape(1, 2, 1), "the gradient through mean and variance"),
    ],
)
def test_terms_of_a_batch_norm(missing, words):
    missing = np.broadcast_to(missing, RIGHT.shape)
    for sign in (1, -1):
        assert said(RIGHT + sign * missing, RIGHT, values=X).startswith(words)
    off = np.zeros(RIGHT.shape)
    off[1, 0, 2] = abs(missing).max()
    assert said(RIGHT + missing + 0.8e-5 * off, RIGHT, values=X).startswith(words)
    assert not said(RIGHT + missing + 3e-5 * off, RIGHT, values=X).startswith(words)
    assert said(RIGHT + missing, RIGHT) == ""  # the values are not known


def test_four_numbers_of_each_channel_are_needed():
    for rows, known in ((4, True), (3, False)):
        right, x = RNG.normal(size=(rows, 2)), RNG.normal(size=(rows, 2))
        found = said(right + np.array([0.5, -2.0]), right, values=x)
        assert found.startswith("each channel") is known
    right = RNG.normal(size=(2, 2, 2))
    assert said(right + CONSTANT, right, values=RNG.normal(size=(2, 2, 2))).startswith("each channel")
    assert said(N + 1.0, N, values=N) == ""  # no channels


# -- how many are wrong -----------------------------------------------------------------------------------------------


def test_zeros_where_none_should_be():
    n = np.array([1.0, -2.0, 5.0, 3.0, 7.0])
    found = said([1.0, 0.0, 5.0, 0.0, 7.0], n)
    assert found.startswith("2 of 5 measured numbers are zero and should not be")
    assert said([1.0, 0.0, 5.0, 0.0, 7.5], n) == "3 of 5 measured numbers are wrong, the first at (1,)"
    assert said([1.0, 0.0, 5.0, 0.0, 7.0 + 6e-5], n).startswith("2 of 5")  # one is not far off


def test_the_first_wrong_number_is_named():
    n = np.array([[1.0, -2.0, 5.0], [3.0, 7.0, 4.0]])
    a = n + np.array([[0.0, 0.0, 0.0], [0.0, 0.3, 0.2]])
    assert said(a, n) == "2 of 6 measured numbers are wrong, the first at (1, 1)"
    assert said(n + np.array([[0.3, 0.1, 0.2], [0.3, 0.7, -0.2]]), n) == ""
    projections = tuple(
        Element(None, a, 1.0, 0.0, v, "by hand") for a, v in ((1.5, Verdict.WRONG), (1.0, Verdict.PASS))
    )
    assert guess(ArrayResult("x", (5,), projections, Verdict.WRONG), ()) == ""
