"""Functions whose result has no gradient, or one that is 0 everywhere: comparisons, logic, rounding, remainders."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.errors import DtypeError, ShapeError

X = np.array([-2.5, -1.5, -0.7, -0.0, 0.5, 1.5, 2.5, 7.0])


@pytest.mark.parametrize(
    ("name", "scalar"),
    [("floor", math.floor), ("ceil", math.ceil), ("trunc", math.trunc), ("round", round)],
)
def test_rounding_is_pythons_and_its_gradient_is_0(name, scalar):
    x = mr.tensor(X, requires_grad=True)
    y = getattr(F, name)(x)
    assert y.tolist() == [scalar(v) for v in X.tolist()]
    y.backward(mr.tensor(np.full(8, 3.0)))
    assert x.grad.tolist() == [0.0] * 8
    assert getattr(mr.tensor(X), name)().tolist() == y.tolist()
    whole = mr.tensor([3, -4])
    assert getattr(F, name)(whole).tolist() == [3, -4]


def test_rounding_keeps_what_is_not_finite():
    assert F.floor(mr.tensor([math.inf, -math.inf])).tolist() == [math.inf, -math.inf]
    assert math.isnan(F.round(mr.tensor(math.nan)).item())


def test_round_to_decimals():
    assert F.round(mr.tensor(np.array([1.239, -0.051])), decimals=2).tolist() == [1.24, -0.05]
    assert F.round(mr.tensor(np.array([1250.0, 151.0])), decimals=-2).tolist() == [1200.0, 200.0]
    with pytest.raises(ValueError, match=r"decimals = 0\.5 must be an integer"):
        F.round(mr.tensor(1.0), decimals=0.5)


@pytest.mark.parametrize(("mode", "scalar"), [("floor", math.floor), ("trunc", math.trunc)])
def test_rounded_quotients_and_remainders_agree_with_fractions(mode, scalar):
    a = np.array([7.25, -7.25, 7.25, -7.25, 6.0])
    b = np.array([2.0, 2.0, -2.0, -2.0, 3.0])
    expected = [scalar(Fraction(x) / Fraction(y)) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert F.div(mr.tensor(a), mr.tensor(b), rounding_mode=mode).tolist() == expected
    remainder = {"floor": F.remainder, "trunc": F.fmod}[mode](mr.tensor(a), mr.tensor(b))
    assert remainder.tolist() == [x - q * y for x, y, q in zip(a.tolist(), b.tolist(), expected, strict=True)]


def test_integers_divide_as_integers():
    a, b = mr.tensor([7, -7, 7]), mr.tensor([2, 2, -2])
    assert F.floor_divide(a, b).tolist() == [3, -4, -4]
    assert F.div(a, b, rounding_mode="trunc").tolist() == [3, -3, -3]
    assert (F.remainder(a, b).tolist(), F.fmod(a, b).tolist()) == ([1, 1, -1], [1, -1, 1])
    assert F.floor_divide(a, b).dtype == np.int64
    for function in (F.floor_divide, F.remainder, F.fmod):
        with pytest.raises(ZeroDivisionError, match=f"{function.__name__}: an integer is divided by 0"):
            function(a, 0)
    with pytest.raises(ValueError, match="rounding_mode 'up' must be None, 'trunc' or 'floor'"):
        F.div(a, b, rounding_mode="up")


def test_the_quotients_gradient_is_0_and_the_remainders_is_not():
    a, b = mr.tensor(np.array([7.5, -7.5]), requires_grad=True), mr.tensor(np.array([2.0]), requires_grad=True)
    assert [g.tolist() for g in mr.grad(F.floor_divide(a, b).sum(), [a, b])] == [[0.0, 0.0], [0.0]]
    assert [g.tolist() for g in mr.grad(F.remainder(a, b).sum(), [a, b])] == [[1.0, 1.0], [-3.0 + 4.0]]


def test_sign_and_angle():
    x = mr.tensor(np.array([-2.0, 0.0, 3.0]), requires_grad=True)
    assert F.sign(x).tolist() == [-1.0, 0.0, 1.0]
    assert F.angle(x).tolist() == [math.pi, 0.0, 0.0]
    assert mr.grad(F.angle(x).sum(), x)[0].tolist() == [0.0] * 3
    assert math.isnan(F.angle(mr.tensor(math.nan)).item())


COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_are_pythons(name):
    a, b = [1.0, 2.0, 2.0], [2.0, 2.0, 1.0]
    expected = [eval(f"x {COMPARISONS[name]} y") for x, y in zip(a, b, strict=True)]
    assert getattr(F, name)(mr.tensor(a), mr.tensor(b)).tolist() == expected
    assert getattr(mr.tensor(a), name)(mr.tensor(b)).tolist() == expected
    with pytest.raises(DtypeError, match="operand"):
        getattr(F, name)(mr.tensor(a), "2")


def test_logic():
    a, b = mr.tensor([0.0, 0.0, 3.0, -1.0]), mr.tensor([0, 2, 0, 5])
    assert F.logical_and(a, b).tolist() == [False, False, False, True]
    assert F.logical_or(a, b).tolist() == [False, True, True, True]
    assert F.logical_xor(a, b).tolist() == [False, True, True, False]
    assert F.logical_not(a).tolist() == [True, True, False, False]
    with pytest.raises(ShapeError, match="logical_and: shapes"):
        F.logical_and(a, mr.tensor([1, 2]))


def test_what_is_finite():
    x = mr.tensor([1.0, math.inf, -math.inf, math.nan])
    assert F.isnan(x).tolist() == [False, False, False, True]
    assert F.isinf(x).tolist() == [False, True, True, False]
    assert F.isfinite(x).tolist() == [True, False, False, False]
    for whole in (mr.tensor([1, 2]), mr.tensor([True, False])):
        assert F.isfinite(whole).tolist() == [True, True]
        assert F.isinf(whole).tolist() == F.isnan(whole).tolist() == [False, False]
    assert F.isfinite(mr.tensor([1 + 1j, complex(0, math.inf)])).tolist() == [True, False]


def test_where_of_a_condition_alone_gives_indices():
    rows, columns = F.where(mr.tensor([[0, 1], [2, 0]]))
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 0])
    assert F.where(mr.tensor([True, False]), 1.0, 2.0).tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match="both input and other"):
        F.where(mr.tensor([True]), 1.0)
