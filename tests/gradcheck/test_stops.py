"""Stop-gradients and straight-through ops: accused by default, named, and checked for what remains once declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.gradcheck import Verdict, gradcheck

CODES = np.random.default_rng(5).normal(size=(4, 2))


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


class Wrong(mr.Function):
    """x, with a gradient that is a hundredth too large."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        return 1.0 * x

    def backward(self, g: mr.Tensor) -> mr.Tensor:
        return 1.01 * g


def quantised(x: mr.Tensor) -> tuple[mr.Tensor, mr.Tensor]:
    """VQ-VAE's nearest code, straight through, and its commitment loss (van den Oord 2017)."""
    distances = ((x.detach().numpy()[:, None] - CODES) ** 2).sum(-1)
    code = mr.tensor(CODES[distances.argmin(1)])
    return x + (code - x).detach(), 0.25 * ((x - code) ** 2).mean()


def under_no_grad(x: mr.Tensor) -> mr.Tensor:
    with mr.no_grad():
        largest = x.abs().max()
    return x / largest


STOPS: dict[str, tuple[Callable[..., Any], str]] = {
    "detach": (lambda x: x * x.detach(), "input 1 of Multiply (operation 0)"),
    "first factor": (lambda x: x.detach() * x, "input 0 of Multiply (operation 0)"),
    "numpy": (lambda x: x * mr.tensor(np.exp(x.numpy())), "input 1 of Multiply"),
    "item": (lambda x: x * float(x.sum().item().real), "input 1 of Multiply"),
    "no_grad": (under_no_grad, "input 1 of Divide"),
    "an output": (lambda x: (x * x, 2.0 * x.detach()), "output 1 of f"),
    "quantised": (quantised, "input 1 of Add"),
}


@pytest.mark.parametrize("name", STOPS)
def test_a_gradient_that_stops_is_wrong_and_named(name):
    f, where = STOPS[name]
    report = gradcheck(f, normal(3, 2))
    assert report.verdict is Verdict.WRONG
    assert where in str(report)
    assert "the rest is right" in str(report)
    assert "pass stop_gradients=True" in str(report)
    assert "each consumer's gradient must be added" not in str(report)
    assert report.arrays[0].guess.startswith("the gradient stops at")


@pytest.mark.parametrize("name", STOPS)
@pytest.mark.parametrize("order", [1, pytest.param(2, marks=pytest.mark.slow)])  # 4 s in all
def test_declared_what_remains_is_checked(name, order):
    f, where = STOPS[name]
    report = gradcheck(f, normal(3, 2), stop_gradients=True, order=order).check()
    assert where in str(report)
    report = gradcheck(lambda x: f(Wrong()(x)), normal(3, 2), stop_gradients=True)
    assert report.verdict is Verdict.WRONG
    assert [suspect.op for suspect in report.suspects] == ["Wrong"]


def test_what_is_wrong_besides_a_stop_is_said():
    report = gradcheck(lambda x: Wrong()(x) * x.detach(), normal(3))
    assert "the rest is wrong, too" in str(report)
    assert [suspect.op for suspect in report.suspects] == ["Wrong"]


def test_a_stop_that_takes_nothing_away_passes():
    """The shift of a log-sum-exp cancels; an argmax is an integer."""

    def shifted(x: mr.Tensor) -> mr.Tensor:
        shift = x.detach().max()
        return F.exp(x - shift).sum().log() + shift

    assert gradcheck(shifted, normal(5)).verdict is Verdict.PASS
    assert gradcheck(lambda x: x[int(x.detach().numpy().real.argmax())] * x, normal(5)).verdict is Verdict.PASS


def test_an_option_that_changes_nothing_says_so():
    assert "stops nowhere here" in str(gradcheck(F.tanh, normal(3), stop_gradients=True).check())


class Round(mr.Function):
    """Rounds, and passes the gradient straight through."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        return np.round(x)

    def backward(self, g: mr.Tensor) -> mr.Tensor:
        return g


class RoundDeclared(Round):
    def surrogate(self, x: np.ndarray) -> np.ndarray:
        return x


class Sign(mr.Function):
    """sign x with the gradient of tanh x, times `factor`."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def forward(self, x: np.ndarray) -> np.ndarray:
        return np.sign(x.real)

    def backward(self, g: mr.Tensor) -> mr.Tensor:
        y = F.tanh(self.inputs[0])
        return self.factor * g * (1 - y * y)

    def surrogate(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(x)


def test_a_straight_through_op_needs_its_surrogate():
    report = gradcheck(lambda x: F.tanh(Round()(3.0 * x)), normal(4))
    assert report.verdict is Verdict.WRONG
    assert "declare its `surrogate`" in report.suspects[0].guess


@pytest.mark.parametrize("order", [1, pytest.param(2, marks=pytest.mark.slow)])  # 2 s in all
@pytest.mark.parametrize("f", [lambda x: RoundDeclared()(4.0 * x), lambda x: Sign(1.0)(x)])
def test_a_declared_surrogate_is_what_backward_is_checked_against(f, order):
    """Alone and inside: what follows sees the value of the op, and the slope of its surrogate."""
    assert gradcheck(f, normal(4), order=order).check().verdict is Verdict.PASS
    assert gradcheck(lambda x: F.exp(f(F.tanh(x))) * x, normal(4), order=order).check().verdict is Verdict.PASS


def test_a_straight_through_op_that_is_wrong_is_found():
    report = gradcheck(lambda x: F.exp(Sign(0.5)(F.tanh(x))), normal(4))
    assert report.verdict is Verdict.WRONG
    assert [suspect.op for suspect in report.suspects] == ["Sign"]
