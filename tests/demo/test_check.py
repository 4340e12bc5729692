"""The demo's gradient check agrees with right gradients, and with nothing else."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.demo import check
from minires.demo.check import ArrayCheck, BlockCheck, array_check, check_blocks
from minires.gradcheck import gradcheck
from minires.ops.elementwise import ReLU


def test_blocks_pass_and_the_mistake_is_caught():
    identity, projection = check_blocks(seed=3)
    assert identity.passed
    assert projection.passed
    assert identity.negative_control is not None
    assert not identity.negative_control.passed
    assert [row.name for row in identity.arrays][:3] == ["x", "conv1.weight", "bn1.weight"]
    assert len(identity.arrays) == 7
    assert len(projection.arrays) == 10
    assert all(row.error < 1e-7 for row in (*identity.arrays, *projection.arrays))
    assert any(row.error > 0 for row in identity.arrays)
    assert [row.directions for row in (*identity.arrays, *projection.arrays)] == [0] * 7 + [1] * 10


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


def check_of(f, *numbers):
    x = mr.tensor(np.array(numbers), requires_grad=True)
    return array_check(gradcheck(f, x, explain=False).arrays[0])


def test_a_thousandth_is_noticed():
    row = check_of(lambda x: WrongSquare()(x), 1.0, -2.0, 3.0)
    assert row == ArrayCheck("x", (3,), pytest.approx(5e-4, rel=1e-3), 0, passed=False)


def test_the_check_restores_what_it_moves():
    x = mr.tensor(np.array([[0.5, -1.5]]), requires_grad=True)
    assert array_check(gradcheck(lambda x: x * x * x, x).arrays[0]).passed
    np.testing.assert_array_equal(x.numpy(), [[0.5, -1.5]])


def test_a_kink_is_named_and_is_no_error():
    """ReLU at 0 has no derivative; at 3e-7, near the kink, it has one."""
    row = check_of(F.relu, 3e-7, 0.0, -0.4, 1.0)
    assert (row.kinks, row.passed) == (1, True)
    assert row.error < 1e-7


class WrongReLU(ReLU):
    """Its slope is 7 in (0, 1), and at a kink if there is one among its inputs."""

    def backward(self, g):
        x = self.inputs[0].detach()
        return F.where((x >= 0.0) * (x < 1.0), 7.0 * g, super().backward(g))

    backward_fused = saved_inputs = None


@pytest.mark.parametrize("numbers", [(3e-7, 1.0), (0.0, 1.0), (0.5, 0.0)])
def test_a_wrong_gradient_does_not_hide_behind_a_kink(numbers):
    assert not check_of(lambda x: WrongReLU()(x), *numbers).passed


class NaNGradient(mr.Function):
    def forward(self, x):
        return x * 1

    def backward(self, g):
        return g * np.nan


def test_nan_does_not_pass():
    assert not check_of(lambda x: NaNGradient()(x), 1.0, 2.0).passed


def test_a_check_that_lets_the_mistake_through_does_not_pass():
    good = ArrayCheck("x", (1,), 1e-9, 0, passed=True)
    assert BlockCheck("title", (good,)).passed
    assert not BlockCheck("title", (good,), negative_control=good).passed
