"""What a review of the check refuted, one test each: honest gradients it accused, mistakes it let pass."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import nn
from minires.errors import DtypeError
from minires.gradcheck import Verdict, gradcheck, jacobian, jvp


def leaf(values):
    return mr.tensor(np.array(values, float), requires_grad=True)


# -- honest, and accused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("margin", [12, 18, 20, 25, 30, 36, 60])
@pytest.mark.parametrize("loss", ["cross_entropy", pytest.param("softmax", marks=pytest.mark.slow)])
@pytest.mark.parametrize("draws", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_classifier_that_is_sure_of_itself(margin, loss, draws):
    """1 − softmax cancels: the gradient is as good as its rounding, and that is measured."""
    rng = np.random.default_rng(margin)
    for _ in range(draws):
        x, labels = rng.normal(size=(4, 5)), rng.integers(0, 5, 4)
        x[np.arange(4), labels] += margin
        report = gradcheck(LOSSES[loss], [leaf(x), mr.tensor(labels)])
        assert report, str(report)


LOSSES = {"cross_entropy": F.cross_entropy, "softmax": lambda x, labels: F.softmax(x, 1)}


@pytest.mark.parametrize("s", [1e2, 1e4, 1e6])
def test_numbers_of_very_different_sizes_in_one_array(s):
    report = gradcheck(lambda x, w: F.tanh(x * w), [leaf([s, 1 / s, 1]), leaf([1 / s, s, 1])])
    assert report.verdict is Verdict.PASS, str(report)


@pytest.mark.parametrize("s", [1e-300, 1e-160, 1e160, 1e300])
def test_numbers_whose_squares_are_none(s):
    assert gradcheck(lambda x: F.tanh(x / s), leaf([s, 2 * s, 0.5 * s]))


def test_a_function_that_hangs_hooks_on_its_tensors():
    def f(x):
        y = F.tanh(x)
        y.register_hook(lambda g: g * 1.0)
        return y * 2.0

    assert gradcheck(f, leaf([1, 2]))


# -- mistakes that passed ----------------------------------------------------------------------------------------------


class TanhForgetsOne(mr.Function):
    def forward(self, x):
        return np.tanh(x)

    def backward(self, g):
        y = F.tanh(self.inputs[0].detach())
        return g * (1 - y * y) * mr.tensor(np.array([1.0, 0.0, 1.0]))


def test_a_zero_where_the_numbers_are_tiny_beside_the_others():
    factors = mr.tensor(np.array([1e-6, 1e6, 1.0]))
    report = gradcheck(lambda x: TanhForgetsOne()(x * factors), leaf([1e6, 1e-6, 1]))
    assert report.verdict is Verdict.WRONG


class RootOfSize(mr.Function):
    """√|x|, whose slope at 0 is 0/0."""

    def forward(self, x):
        return np.sqrt(np.abs(x))

    def backward(self, g):
        x = self.inputs[0].data
        with np.errstate(all="ignore"):
            return g * mr.tensor(0.5 * np.sign(x) / np.sqrt(np.abs(x)))


def test_nan_is_no_slope():
    report = gradcheck(lambda x: RootOfSize()(x), leaf([0, 1, 4]))
    assert report.verdict is Verdict.WRONG
    assert "nan" in str(report)


class Larger(mr.Function):
    """max(a, b), with nothing declared; where they are equal, all of the gradient to `both`, or to a alone."""

    def __init__(self, both):
        self.both = both

    def forward(self, a, b):
        return np.maximum(a, b)

    def backward(self, g):
        a, b = (each.data for each in self.inputs)
        b_wins = b >= a if self.both else b > a
        return g * mr.tensor((a >= b) * 1.0), g * mr.tensor(b_wins * 1.0)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_ties_among_hundreds_of_numbers(seed):
    rng = np.random.default_rng(seed)
    inputs = [leaf(np.round(rng.normal(size=300), 1)) for _ in range(2)]
    assert gradcheck(lambda a, b: Larger(both=True)(a, b), inputs, seed=seed).verdict is Verdict.WRONG
    assert gradcheck(lambda a, b: Larger(both=False)(a, b), inputs, seed=seed)


class RowMaximum(mr.Function):
    """The largest of each row; all ties receive the gradient."""

    def forward(self, x):
        return x.max(1)

    def backward(self, g):
        x = self.inputs[0].data
        return mr.tensor(g.data[:, None] * (x == x.max(1, keepdims=True)))


def test_ties_of_three_beside_a_kink_of_another_kind():
    def f(x, y):
        return RowMaximum()(x), F.abs(y)

    assert gradcheck(f, [leaf([[1, 1, 1, 0], [2, 0, 1, 2]]), leaf([0, 1, 2])]).verdict is Verdict.WRONG
    ties = leaf(np.random.default_rng(0).integers(0, 2, (60, 10)))
    assert gradcheck(lambda x: RowMaximum()(x), ties).verdict is Verdict.WRONG


class ProductOfThree(mr.Function):
    """a·b·c, wrong while b alone asks for no gradient."""

    def forward(self, a, b, c):
        return a * b * c

    def backward(self, g):
        a, b, c = self.inputs
        factor = 2.0 if tuple(self.needs_input_grad) == (True, False, True) else 1.0
        return factor * g * b * c, g * a * c, g * a * b


def test_every_set_of_inputs_that_may_ask():
    report = gradcheck(lambda a, b, c: ProductOfThree()(a, b, c), [leaf([1, 2]), leaf([2, 3]), leaf([4, 5])])
    assert report.verdict is Verdict.WRONG
    assert "while only a, c ask for a gradient" in str(report)


class CountsItsCalls(mr.Function):
    def forward(self, x):
        self.calls = 0
        return x * x

    def backward(self, g):
        self.calls += 1
        return g * self.inputs[0] * (2.0 * self.calls)


def test_a_second_pass_over_the_same_graph():
    report = gradcheck(lambda x: CountsItsCalls()(x), leaf([1, 2]))
    assert not report
    assert "two backward passes over one graph" in str(report)


class TimesComplex(mr.Function):
    def forward(self, x):
        return x * (1 + 2j)

    def backward(self, g):
        return g


def test_complex_numbers_of_real_ones_are_refused():
    with pytest.raises(DtypeError, match="returns complex numbers of real ones"):
        gradcheck(lambda x: TimesComplex()(x), leaf([1, 2]))


class DetachedSquare(mr.Function):
    def forward(self, x):
        return x * x

    def backward(self, g):
        return g * self.inputs[0].detach() * 2.0


def test_the_op_without_a_second_derivative_is_named():
    def f(x, w):
        return F.sigmoid(DetachedSquare()(x @ w))

    rng = np.random.default_rng(0)
    inputs = [leaf(rng.normal(size=(2, 3))), leaf(rng.normal(size=(3, 2)))]
    assert gradcheck(f, inputs)
    report = gradcheck(f, inputs, order=2)
    assert report.verdict is Verdict.WRONG
    assert [suspect.op for suspect in report.suspects] == ["DetachedSquare"]
    assert "right to first order only" in report.suspects[0].guess


def test_fast_mode_looks_at_what_vanishes(monkeypatch):
    """The bias of a convolution before batch norm counts for nothing in a direction of all arrays together."""
    from minires.ops.conv import Conv2d

    def net():
        parts = [part for _ in range(3) for part in (nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU())]
        return nn.Sequential(*parts).to(dtype=np.float64)

    mr.manual_seed(0)
    model, x = net(), mr.randn(4, 2, 5, 5).astype(np.float64)
    report = gradcheck(model, x, fast_mode=True)
    assert report, str(report)
    assert {"0.bias", "3.bias", "6.bias"} <= {array.name for array in report.arrays}
    right = Conv2d.backward

    def twice_the_bias(self, gy):
        gx, gw, *gb = right(self, gy)
        return (gx, gw, *[None if each is None else each * 2.0 for each in gb])

    monkeypatch.setattr(Conv2d, "backward", twice_the_bias)
    report = gradcheck(model, x, fast_mode=True)
    assert report.verdict is Verdict.WRONG
    assert [suspect.op for suspect in report.suspects] == ["Conv2d"]


def test_noise_in_backward_is_not_a_pass():
    class Noisy(mr.Function):
        def forward(self, x):
            return np.tanh(x)

        def backward(self, g):
            x = self.inputs[0]
            y = F.tanh(x)
            return g * (1 - y * y) * mr.tensor(1 + 3e-5 * np.sin(1e16 * x.data))

    report = gradcheck(lambda x: Noisy()(x), leaf(np.linspace(0.1, 0.9, 7)))
    assert report.verdict is not Verdict.PASS


def test_derivatives_of_what_depends_on_nothing():
    x = leaf([1, 2])
    constant = mr.tensor(np.array([3.0, 4.0, 5.0]))
    value, pushed = jvp(lambda x: constant * 2.0, x, leaf([1, 1]))
    assert value.tolist() == [6.0, 8.0, 10.0]
    assert pushed.tolist() == [0.0, 0.0, 0.0]
    assert jacobian(lambda x: x * 2.0, leaf(np.zeros((0, 2)))).shape == (0, 2, 0, 2)
