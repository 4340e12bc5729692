"""Second order: the gradient of the gradient, where first order is right and says nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import nn
from minires.core.function import Function
from minires.gradcheck import Report, Verdict, gradcheck
from minires.ops.norm import BatchNormTraining
from minires.ops.reduction import mean, sum


def normal(*shape: int, seed: int = 0) -> mr.Tensor:
    return mr.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


def verdicts(report: Report) -> dict[str, Verdict]:
    return {array.name: array.verdict for array in report.arrays}


RIGHT: dict[str, tuple[Callable[..., Any], list[mr.Tensor]]] = {
    "exp": (F.exp, [normal(3)]),
    "a scalar": (lambda x: (x**3).sum(), [normal(3)]),
    "several outputs": (lambda x: (x.exp(), x * x), [normal(3)]),
    "linear": (lambda x: 3.0 * x, [normal(3)]),
    "bilinear": (lambda x, w: x @ w, [normal(2, 3), normal(3, 2, seed=1)]),
    "with a kink": (lambda x: F.relu(x) ** 2, [mr.tensor(np.array([-1.0, 0.0, 0.5]), requires_grad=True)]),
    "pooled": (lambda x: F.max_pool2d(x, 2) ** 2, [normal(1, 2, 4, 4)]),
    "batch norm": (lambda x: F.batch_norm(x, None, None, training=True, eps=0.1), [normal(4, 2, 2)]),
    "dropout": (lambda x: F.dropout(x**3, 0.5), [normal(8)]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes(name):
    f, inputs = RIGHT[name]
    report = gradcheck(f, inputs, order=2).check()
    assert [n for n in verdicts(report) if n.endswith(", order 2")]


def test_the_names_of_the_second_order():
    report = gradcheck(F.multiply, [normal(3), normal(3, seed=1)], order=2, names=["a", "b"]).check()
    assert list(verdicts(report)) == ["a", "b", "a, order 2", "b, order 2", "cotangent, order 2"]


def test_what_the_gradient_does_not_depend_on_is_no_gap():
    report = gradcheck(lambda x: 3.0 * x, normal(3), order=2).check()
    assert report.arrays[1].note == "none: the gradient does not depend on it"


def of_kept_array(self: Function, g: mr.Tensor) -> mr.Tensor:
    """Right at first order; but the kept array is a constant to the second."""
    return g * mr.Tensor(np.exp(self.inputs[0].data))


def of_detached_statistics(self: BatchNormTraining, gy: mr.Tensor) -> tuple[mr.Tensor | None, ...]:
    x, weight, *_ = self.inputs
    axes = (0, *range(2, x.ndim))
    centred = x - mean(x, axes, keepdim=True)
    inverse = ((mean(centred * centred, axes, keepdim=True) + self.eps) ** -0.5).detach()
    x_hat = centred * inverse
    gw, gb = sum(gy * x_hat, axes), sum(gy, axes)

    def channel(v: mr.Tensor) -> mr.Tensor:
        return v.reshape((1, -1, *(1,) * (x.ndim - 2)))

    m = float(x.numel() // x.shape[1])
    return channel(weight) * inverse * (gy - channel(gb) / m - x_hat * channel(gw) / m), gw, gb


def test_a_kept_array_in_a_formula_is_found_at_second_order_only():
    op = type("KeptExp", (Function,), {"forward": lambda self, x: np.exp(x), "backward": of_kept_array})

    def f(x: mr.Tensor) -> mr.Tensor:
        return op()(x)

    assert gradcheck(f, normal(4)).check()
    report = gradcheck(f, normal(4), order=2)
    assert not report
    assert verdicts(report)["x"] is Verdict.PASS


def test_a_constant_inverse_deviation_is_found_at_second_order_only(monkeypatch):
    monkeypatch.setattr(BatchNormTraining, "backward", of_detached_statistics)

    def f(x: mr.Tensor) -> mr.Tensor:
        return F.batch_norm(x, None, None, training=True, eps=0.1)

    assert gradcheck(f, normal(4, 2, 2)).check()
    report = gradcheck(f, normal(4, 2, 2), order=2)
    assert verdicts(report)["x"] is Verdict.PASS
    assert verdicts(report)["x, order 2"] is Verdict.WRONG


def test_a_gradient_made_of_arrays_has_no_second_order():
    op = type(
        "Raw",
        (Function,),
        {"forward": lambda self, x: x**3, "backward": lambda self, g: mr.Tensor(3 * g.data * self.inputs[0].data ** 2)},
    )
    assert gradcheck(lambda x: op()(x), normal(4)).check()
    report = gradcheck(lambda x: op()(x), normal(4), order=2)
    assert report.verdict in (Verdict.WRONG, Verdict.VACUOUS)


def test_an_op_that_the_gradient_is_made_of_is_named(monkeypatch):
    """Sqrt's first derivative uses no Log; Power's gradient by the exponent does."""
    monkeypatch.setattr(mr.ops.elementwise.Log, "backward", lambda self, g: -g / self.inputs[0])
    base, exponents = np.array([1.5, 2.0, 0.5]), normal(3)

    def of_a_constant(b: mr.Tensor) -> mr.Tensor:
        return mr.tensor(base) ** b

    assert gradcheck(of_a_constant, exponents).check()
    assert gradcheck(of_a_constant, exponents, order=2).check()  # ln a of a constant: nothing flows through it
    report = gradcheck(lambda a, b: a**b, [mr.tensor(base, requires_grad=True), exponents], order=2)
    assert report.verdict is Verdict.WRONG
    assert "Log" in [suspect.op for suspect in report.suspects]


@pytest.mark.slow  # 2 s
def test_a_module_at_second_order():
    mr.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    report = gradcheck(lambda net, x: net(x) ** 2, [net, normal(3, 2)], order=2).check()
    assert "0.weight, order 2" in verdicts(report)


def test_float32_outputs_at_second_order():
    report = gradcheck(lambda x: (x * x).astype("float32"), normal(3), order=2)
    assert report.verdict is not Verdict.WRONG, report
