"""Reports that explain: which op is to blame, where it was applied, and what its mistake looks like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import nn
from minires.core import autograd
from minires.core.function import Function
from minires.gradcheck import Report, Verdict, gradcheck
from minires.ops import elementwise, extremes, norm, pool, reduction
from minires.ops.conv import Conv2d
from minires.ops.elementwise import Exp, Multiply, Tanh
from minires.ops.linear import MatMul
from minires.ops.norm import BatchNormTraining
from tests.gradcheck.breaking import MISTAKES, break_backward


def normal(*shape: int, seed: int = 0) -> mr.Tensor:
    return mr.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


def block(x: mr.Tensor, w: mr.Tensor) -> mr.Tensor:
    y = F.conv2d(x, w, padding=1)
    y = F.batch_norm(y, None, None, training=True)
    return F.relu(y + x).mean((2, 3)).tanh()


def guesses(report: Report) -> str:
    """All that the report guesses."""
    return " | ".join([array.guess for array in report.arrays] + [suspect.guess for suspect in report.suspects])


# -- suspects --------------------------------------------------------------------------------------------------------


SUSPECTS: dict[str, tuple[type[Function], str]] = {
    "Conv2d": (Conv2d, "y = F.conv2d(x, w, padding=1)"),
    "BatchNormTraining": (BatchNormTraining, "y = F.batch_norm(y, None, None, training=True)"),
    "ReLU": (elementwise.ReLU, "return F.relu(y + x).mean((2, 3)).tanh()"),
    "Sum": (reduction.Sum, "return F.relu(y + x).mean((2, 3)).tanh()"),
    "Tanh": (Tanh, "return F.relu(y + x).mean((2, 3)).tanh()"),
}


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        pytest.param(*each, marks=[pytest.mark.slow] * bool(k))  # 1 s each
        for k, each in enumerate(zip(SUSPECTS, [*MISTAKES, "factor"], strict=True))
    ],
    ids=list(SUSPECTS),
)
def test_the_wrong_op_is_named_with_its_line(name, mistake, monkeypatch):
    op, source = SUSPECTS[name]
    break_backward(monkeypatch, op, MISTAKES[mistake])
    report = gradcheck(block, [normal(3, 2, 3, 3), normal(2, 2, 3, 3, seed=1)])
    assert report.verdict is Verdict.WRONG
    (suspect,) = report.suspects
    assert suspect.op == name
    assert "test_single_op.py:" in suspect.line
    assert suspect.line.endswith(f": {source}")
    assert f"suspect: {name}" in str(report)


def test_the_module_that_applied_it_is_named(monkeypatch):
    net = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Sequential(nn.BatchNorm2d(2), nn.ReLU()))
    break_backward(monkeypatch, BatchNormTraining, MISTAKES["sign"])
    (suspect,) = gradcheck(net, normal(4, 2, 2, 2)).suspects
    assert suspect.module == "1.0"
    assert "in 1.0" in str(suspect)


def test_where_its_backward_is_written_is_named(monkeypatch):
    monkeypatch.setattr(Tanh, "backward", lambda self, g: -g)
    (suspect,) = gradcheck(F.tanh, normal(3)).suspects
    assert suspect.defined.split(":")[0].endswith("test_single_op.py")


def test_two_wrong_ops_are_both_named(monkeypatch):
    break_backward(monkeypatch, Conv2d, MISTAKES["sign"])
    break_backward(monkeypatch, Tanh, MISTAKES["factor"])
    report = gradcheck(block, [normal(3, 2, 3, 3), normal(2, 2, 3, 3, seed=1)])
    assert {suspect.op for suspect in report.suspects} == {"Conv2d", "Tanh"}


def test_a_users_op_is_named():
    class Squared(Function):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return x * x

        def backward(self, g: mr.Tensor) -> mr.Tensor:
            return g * self.inputs[0]

    (suspect,) = gradcheck(lambda x: Squared()(x.exp()).sum(), normal(3)).suspects
    assert suspect.op == "Squared"
    assert "½" in suspect.guess


@pytest.mark.parametrize(
    ("method", "said"),
    [("backward_fused", "the fused kernel (backward_fused) alone"), ("backward", "the formula (backward) alone")],
)
def test_only_one_of_the_two_backwards_is_wrong(method, said, monkeypatch):
    right = getattr(elementwise.ReLU, method)
    monkeypatch.setattr(elementwise.ReLU, method, lambda self, g: -right(self, g))
    report = gradcheck(lambda x: F.relu(x).exp(), normal(5))
    assert report.verdict is Verdict.WRONG
    assert said in str(report)


def test_explain_false_names_nobody(monkeypatch):
    monkeypatch.setattr(Tanh, "backward", lambda self, g: -g)
    report = gradcheck(F.tanh, normal(3), explain=False)
    assert report.verdict is Verdict.WRONG
    assert not report.suspects


# -- gradients that vanish in the whole ------------------------------------------------------------------------------


VANISHING: dict[str, tuple[Callable[..., Any], list[mr.Tensor]]] = {
    "the sum of a softmax": (lambda x: F.softmax(x, 0).sum(), [normal(5)]),
    "the sum of a batch norm": (lambda x: F.batch_norm(x, None, None, training=True).sum(), [normal(5, 2, 3)]),
    "a bias before batch norm": (
        lambda b, x: F.batch_norm(x + b.reshape((1, 2, 1)), None, None, training=True),
        [normal(2), normal(5, 2, 3).detach()],
    ),
    "a cross-entropy that is sure of itself": (
        lambda x: F.cross_entropy(x, mr.tensor(np.array([0, 1]))),
        [mr.tensor(np.array([[60.0, 0.0, 1.0], [0.0, 70.0, 2.0]]), requires_grad=True)],
    ),
    "batch norm twice": (
        lambda x, b: F.batch_norm(F.batch_norm(x, None, None, None, b, training=True), None, None, training=True),
        [normal(6, 2), normal(2, seed=1)],
    ),
}


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", VANISHING)
def test_zero_here_passes_where_each_op_passes_alone(name, seed):
    f, inputs = VANISHING[name]
    report = gradcheck(f, inputs, seed=seed)
    assert report.verdict is Verdict.PASS, report
    assert report, report
    assert "zero here" in str(report)


BLIND: dict[str, tuple[str, type[Function]]] = {
    "the sum of a softmax": ("LogSoftmax", mr.ops.loss.LogSoftmax),
    "the sum of a batch norm": ("BatchNormTraining", BatchNormTraining),
    "a bias before batch norm": ("BatchNormTraining", BatchNormTraining),
    "a cross-entropy that is sure of itself": ("CrossEntropy", mr.ops.loss.CrossEntropy),
}


@pytest.mark.parametrize(
    "mistake", ["zero", *(pytest.param(each, marks=pytest.mark.slow) for each in ("sign", "factor"))]
)
@pytest.mark.parametrize("name", BLIND)
def test_zero_here_does_not_hide_a_wrong_op(name, mistake, monkeypatch):
    """A backward of zeros agrees with a gradient of zero; the op alone does not."""
    f, inputs = VANISHING[name]
    op_name, op = BLIND[name]
    break_backward(monkeypatch, op, MISTAKES[mistake])
    report = gradcheck(f, inputs)
    assert report.verdict is Verdict.WRONG, report
    assert [suspect.op for suspect in report.suspects] == [op_name]


def test_vacuous_where_nothing_can_be_shown():
    report = gradcheck(lambda x: F.softmax(x, 1), normal(3, 1))
    assert report.verdict is Verdict.VACUOUS
    assert not report


# -- guesses ---------------------------------------------------------------------------------------------------------


class Averaged(Function):
    """y = mean of each row, whose backward forgot to divide."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        return x.mean(1)

    def backward(self, g: mr.Tensor) -> mr.Tensor:
        return g.reshape((-1, 1)).expand(self.inputs[0].shape)


def test_guess_a_missing_mean():
    report = gradcheck(lambda x: Averaged()(x), normal(4, 7))
    assert "a constant factor 7: a division by 7 is missing, as of a mean" in guesses(report)


def test_guess_sign(monkeypatch):
    break_backward(monkeypatch, Exp, MISTAKES["sign"])
    assert "the sign is flipped" in guesses(gradcheck(F.exp, normal(4)))


def test_guess_zeros(monkeypatch):
    break_backward(monkeypatch, Exp, MISTAKES["zero"])
    assert "backward returns zeros" in guesses(gradcheck(F.exp, normal(4)))


class Gram(Function):
    """y = x · a for a constant a, whose backward is transposed."""

    def __init__(self, a: np.ndarray) -> None:
        self.a = a

    def forward(self, x: np.ndarray) -> np.ndarray:
        return x @ self.a

    def backward(self, g: mr.Tensor) -> mr.Tensor:
        return (g @ mr.tensor(self.a.T)).T


def test_guess_transposed():
    a = np.random.default_rng(1).normal(size=(4, 5))
    assert "it is transposed" in guesses(gradcheck(lambda x: Gram(a)(x), normal(4, 4)))


def batch_norm_without(mean: bool, variance: bool) -> Callable[..., Any]:
    """A backward of batch norm that treats these as constants."""

    def backward(self: BatchNormTraining, gy: mr.Tensor) -> tuple[mr.Tensor | None, ...]:
        x, weight, *_ = self.inputs
        axes = (0, *range(2, x.ndim))
        centred = x - x.mean(axes, keepdim=True)
        inverse = ((centred * centred).mean(axes, keepdim=True) + self.eps) ** -0.5
        x_hat = centred * inverse
        g = gy
        if not mean:
            g = g - gy.mean(axes, keepdim=True)
        if not variance:
            g = g - x_hat * (gy * x_hat).mean(axes, keepdim=True)
        gx = weight.reshape((1, -1, *(1,) * (x.ndim - 2))) * inverse * g
        return (gx, (gy * x_hat).sum(axes), gy.sum(axes))

    return backward


@pytest.mark.parametrize(
    ("mean", "variance", "said"),
    [
        (True, False, "the gradient through the mean is missing"),
        (False, True, "the gradient through the variance is missing"),
        (True, True, "the gradient through mean and variance is missing"),
    ],
)
def test_guess_missing_batch_norm_terms(mean, variance, said, monkeypatch):
    monkeypatch.setattr(BatchNormTraining, "backward", batch_norm_without(mean, variance))
    monkeypatch.setattr(BatchNormTraining, "backward_fused", None)
    report = gradcheck(lambda x: F.batch_norm(x, None, None, training=True), normal(4, 2, 3, 3))
    assert said in guesses(report)


def test_the_backward_of_the_guess_above_is_right_with_both_terms(monkeypatch):
    monkeypatch.setattr(BatchNormTraining, "backward", batch_norm_without(False, False))
    monkeypatch.setattr(BatchNormTraining, "backward_fused", None)
    assert gradcheck(lambda x: F.batch_norm(x, None, None, training=True), normal(4, 2, 3, 3)).check()


def test_guess_a_broadcast_that_is_not_summed(monkeypatch):
    """The shape is right, as the engine insists, but only one of the copies was counted."""

    def first_of_each(g: mr.Tensor, to: tuple[int, ...]) -> mr.Tensor:
        while g.ndim > len(to):
            g = g[0]
        for axis, n in enumerate(to):
            if n == 1 and g.shape[axis] != 1:
                g = g[(slice(None),) * axis + (slice(0, 1),)]
        return g

    monkeypatch.setattr(elementwise, "sum_to", first_of_each)
    report = gradcheck(lambda x, b: x.exp() + b * 1.0, [normal(4, 3), normal(3, seed=2)])
    assert report.verdict is Verdict.WRONG
    assert "Add" in [suspect.op for suspect in report.suspects]
    assert guesses(report)


class Repeated(Function):
    """x, four times; the gradient of but one copy comes back, of equal ones."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        return np.repeat(x[None].sum(1, keepdims=True) * np.ones((4, 1)), 3, 1).sum(1)

    def backward(self, g: mr.Tensor) -> mr.Tensor:
        return g.sum().reshape((1,)).expand(self.inputs[0].shape)


def test_guess_copies_that_are_counted_once():
    report = gradcheck(lambda x: Repeated()(x), normal(5))
    assert "only one of" in guesses(report) or "1/3" in guesses(report) or "0.333" in guesses(report)


def test_a_path_counted_once_where_it_joins_twice(monkeypatch):
    """The walk overwrites instead of adding. Every op is right; the engine is not."""

    def send(self: Any, vertex: Any, gradient: mr.Tensor) -> None:
        self.pending[vertex] = gradient

    monkeypatch.setattr(autograd.BackwardPass, "send", send)
    report = gradcheck(lambda x: x.tanh() + x, normal(5))
    assert report.verdict is Verdict.WRONG
    assert not report.suspects
    assert "look at where paths join" in str(report)


def test_a_path_counted_once_is_half_where_both_are_alike(monkeypatch):
    monkeypatch.setattr(
        autograd.BackwardPass, "send", lambda self, vertex, gradient: self.pending.__setitem__(vertex, gradient)
    )
    report = gradcheck(lambda x: (x.exp() + 0.0) + (x.exp() + 0.0), normal(5))
    assert "a path counted once where it joins twice" in guesses(report)
    assert "look at where paths join" in str(report)


def test_guess_one_tie_for_all(monkeypatch):
    monkeypatch.setattr(
        extremes.Amax,
        "backward",
        lambda self, g: g * mr.tensor((self.inputs[0].data == self.inputs[0].data.max()) * 1.0),
    )
    report = gradcheck(lambda x: F.amax(x, 0), np.array([1.0, 3.0, 3.0]))
    assert "another subgradient than the documented one" in guesses(report)


def test_guess_clipped():
    class Clipped(Function):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return 3 * x

        def backward(self, g: mr.Tensor) -> mr.Tensor:
            return F.clip(3 * g, -1, 1)

    report = gradcheck(lambda x: Clipped()(x), normal(20))
    assert report.verdict is Verdict.WRONG
    assert "not linear in the gradient that arrives" in guesses(report)


def test_guess_shifted():
    class Rolled(Function):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return x * np.arange(1.0, 8.0)

        def backward(self, g: mr.Tensor) -> mr.Tensor:
            return mr.tensor(np.roll(g.data * np.arange(1.0, 8.0), 1))

    assert "shifted by 1 along axis 0" in guesses(gradcheck(lambda x: Rolled()(x), normal(7)))


def test_guess_dropped():
    def drop_row(self: MatMul, g: mr.Tensor) -> mr.Tensor:
        mask = np.ones(self.inputs[0].shape)
        mask[1] = 0
        return g * mr.tensor(mask * np.exp(self.inputs[0].data))

    op = type("Dropping", (Function,), {"forward": lambda self, x: np.exp(x), "backward": drop_row})
    assert "4 of 12 measured numbers are zero and should not be" in guesses(gradcheck(lambda x: op()(x), normal(3, 4)))


# -- what backward must be besides right -----------------------------------------------------------------------------


def test_a_backward_that_depends_on_who_else_asks(monkeypatch):
    right = Multiply.backward

    def backward(self: Multiply, g: mr.Tensor) -> Any:
        ga, gb = right(self, g)
        return (
            (ga, gb) if all(self.needs_input_grad) else (None if ga is None else 2 * ga, None if gb is None else 2 * gb)
        )

    monkeypatch.setattr(Multiply, "backward", backward)
    report = gradcheck(lambda a, b: Multiply()(a, b), [normal(3), normal(3, seed=1)])
    assert report.verdict is Verdict.WRONG
    assert "another value while" in str(report)


@pytest.mark.parametrize(
    ("op", "f", "x"),
    [
        (pool.MaxPool2d, lambda x: F.max_pool2d(x, 2), normal(2, 2, 4, 4)),
        (norm.BatchNormTraining, lambda x: F.batch_norm(x, None, None, training=True), normal(3, 2, 2, 2)),
        (extremes.Amax, lambda x: F.amax(x, 1), normal(3, 4)),
    ],
    ids=["MaxPool2d", "BatchNormTraining", "Amax"],
)
def test_a_backward_that_remembers_its_first_call(op, f, x, monkeypatch):
    """The first answer is right; every later one is that answer again."""
    right, remembered = op.backward, {}

    def backward(self: Any, g: mr.Tensor) -> Any:
        found = right(self, g)
        return remembered.setdefault("first", found) if g.shape == self.shape else found

    monkeypatch.setattr(op, "backward", backward)
    monkeypatch.setattr(op, "backward_fused", None)
    assert not gradcheck(f, x)
