"""The demo's gradient check agrees with right gradients, and with nothing else."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.demo import check
from minires.demo.check import ArrayCheck, BlockCheck, check_blocks, compare, differences


def test_blocks_pass_and_the_mistake_is_caught():
    identity, projection = check_blocks(seed=3)
    assert identity.passed
    assert projection.passed
    assert identity.forgetful is not None
    assert not identity.forgetful.passed
    assert [row.name for row in identity.arrays][:3] == ["x", "conv1.weight", "bn1.weight"]
    assert len(identity.arrays) == 7
    assert len(projection.arrays) == 10
    assert all(0 < row.error < 1e-7 for row in (*identity.arrays, *projection.arrays))


@pytest.mark.parametrize("method", ["residual", pytest.param("shortcut", marks=pytest.mark.slow)])  # 3 s each
def test_a_wrong_backward_fails(monkeypatch, method):
    """Forward unchanged, but nothing flows back through one of the branches."""
    right = getattr(check.BasicBlock, method)

    def wrong(self, x):
        y = right(self, x)
        return y.detach() + 0.5 * (y - y.detach())

    monkeypatch.setattr(check.BasicBlock, method, wrong)
    identity, projection = check_blocks()
    assert not identity.arrays[0].passed
    assert not identity.passed
    assert not projection.passed


class WrongSquare(mr.Function):
    def forward(self, x):
        return x * x

    def backward(self, gradient):
        return gradient * self.inputs[0] * 2.001


def test_a_thousandth_is_noticed():
    x = mr.tensor(np.array([1.0, -2.0, 3.0]), requires_grad=True)
    numeric, kink = differences(lambda: WrongSquare()(x).sum(), x)
    np.testing.assert_allclose(numeric, [2.0, -4.0, 6.0], rtol=1e-8)
    (wrong,) = mr.grad(WrongSquare()(x).sum(), x)
    row = compare("x", wrong.numpy(), numeric, kink)
    assert row == ArrayCheck("x", (3,), pytest.approx(5e-4, rel=1e-3), 0)
    assert not row.passed


def test_differences_restore_what_they_move():
    x = mr.tensor(np.array([[0.5, -1.5]]), requires_grad=True)
    differences(lambda: (x * x * x).sum(), x)
    np.testing.assert_array_equal(x.numpy(), [[0.5, -1.5]])


def test_a_kink_is_named_and_is_no_error():
    """ReLU at 3e-7 and at 0: within ±1e-6 it switches, and the difference is neither 0 nor 1."""
    x = mr.tensor(np.array([3e-7, 0.0, -0.4, 1.0]), requires_grad=True)
    numeric, kink = differences(lambda: F.relu(x).sum(), x)
    (gradient,) = mr.grad(F.relu(x).sum(), x)
    row = compare("x", gradient.numpy(), numeric, kink)
    assert abs(numeric[0] - 1) > 0.1
    assert (row.kinks, row.passed) == (2, True)


def test_a_wrong_gradient_does_not_hide_behind_a_kink():
    x = mr.tensor(np.array([3e-7, 1.0]), requires_grad=True)
    numeric, kink = differences(lambda: F.relu(x).sum(), x)
    assert not compare("x", np.array([7.0, 1.0]), numeric, kink).passed
    assert not compare("x", np.array([1.0, 1.1]), numeric, kink).passed


def test_nan_does_not_pass():
    one = np.ones(2)
    assert not compare("x", np.array([1.0, np.nan]), one, 0 * one).passed


def test_a_check_that_lets_the_mistake_through_does_not_pass():
    good = ArrayCheck("x", (1,), 1e-9, 0)
    assert BlockCheck("title", (good,)).passed
    assert not BlockCheck("title", (good,), forgetful=good).passed
