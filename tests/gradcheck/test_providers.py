"""provider="cpu": the float32 gradient of the C kernels, held against the float64 reference at the same point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import nn
from minires.backend import available_providers
from minires.core.function import Function
from minires.gradcheck import Verdict, gradcheck
from minires.ops.elementwise import ReLU
from minires.ops.loss import CrossEntropy
from minires.ops.norm import BatchNormTraining

PROVIDERS = pytest.mark.parametrize(
    "provider", [each for each in ("reference", "cpu") if each in available_providers()]
)
LABELS = mr.tensor(np.array([0, 2, 1]))


def normal(*shape: int, seed: int = 0) -> mr.Tensor:
    return mr.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


OPS: dict[str, tuple[Callable[..., Any], list[mr.Tensor]]] = {
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, padding=1), [normal(2, 2, 4, 5), normal(3, 2, 3, 3), normal(3)]),
    "strided": (lambda x, w: F.conv2d(x, w, stride=2), [normal(2, 2, 5, 4), normal(3, 2, 3, 3)]),
    "batch norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), [normal(4, 3, 1, 2), normal(3), normal(3)]),
    "relu": (F.relu, [normal(4, 5)]),
    "max pool": (lambda x: F.max_pool2d(x, 3, 2, 1), [normal(1, 2, 5, 4)]),
    "average pool": (lambda x: F.avg_pool2d(x, 2), [normal(1, 3, 4, 4)]),
    "linear": (F.linear, [normal(4, 3), normal(2, 3), normal(2)]),
    "cross-entropy": (lambda x: F.cross_entropy(x, LABELS), [normal(3, 4)]),
    "softmax": (lambda x: F.softmax(x, 1), [normal(3, 4)]),
}


@PROVIDERS
@pytest.mark.parametrize("name", OPS)
def test_ops(name, provider):
    f, inputs = OPS[name]
    report = gradcheck(f, inputs, provider=provider, dtype=np.float32).check()
    assert report.settings["provider"] == provider
    assert report.settings["dtype"] == "float32"


@PROVIDERS
@pytest.mark.slow  # 3 s each
@pytest.mark.parametrize("seed", [0, 1])
def test_a_network_with_gradients_that_vanish(provider, seed):
    mr.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.3))
    report = gradcheck(net, normal(3, 2, 4, 3), provider=provider, dtype=np.float32).check()
    assert [array.note[:9] for array in report.arrays if array.name == "0.bias"] == ["zero here"]


BROKEN: dict[str, tuple[type[Function], str]] = {
    "relu": (ReLU, "relu"),
    "batch norm": (BatchNormTraining, "batch norm"),
    "cross-entropy": (CrossEntropy, "cross-entropy"),
}


@PROVIDERS
@pytest.mark.parametrize(
    "factor", [1.01, pytest.param(-1.0, marks=pytest.mark.slow), pytest.param(0.0, marks=pytest.mark.slow)]
)  # 2 s each
@pytest.mark.parametrize("name", BROKEN)
def test_a_wrong_kernel_is_found_and_named(name, factor, provider, monkeypatch):
    op, case = BROKEN[name]
    right = op.backward_fused

    def wrong(self: Any, g: Any) -> Any:
        found = right(self, g)
        several = isinstance(found, tuple)
        changed = [each * np.float32(factor) for each in (found if several else (found,))]
        return tuple(changed) if several else changed[0]

    monkeypatch.setattr(op, "backward_fused", wrong)
    f, inputs = OPS[case]
    report = gradcheck(lambda *x: f(*x) * 2.0, inputs, provider=provider, dtype=np.float32)
    assert report.verdict is Verdict.WRONG
    assert [suspect.op for suspect in report.suspects] == [op.__name__]
    assert "the fused kernel (backward_fused) alone" in str(report)


@pytest.mark.slow  # 2 s each
@PROVIDERS
def test_a_wrong_op_behind_dropout_and_running_statistics_is_named(provider, monkeypatch):
    """What ops keep (a mask, statistics) is float32 too, or none of them could be checked alone."""
    mr.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3).eval(), nn.Dropout(0.3), nn.ReLU())
    monkeypatch.setattr(mr.ops.dropout.Dropout, "backward", lambda self, g: g)
    report = gradcheck(net, normal(2, 2, 4, 4), provider=provider, dtype=np.float32)
    assert [suspect.op for suspect in report.suspects] == ["Dropout"]


@pytest.mark.skipif("cpu" not in available_providers(), reason="the C kernels are not built")
def test_the_kernels_are_really_the_ones_under_test(monkeypatch):
    from minires.backend.cpu.provider import CPU

    calls, right = [], CPU.relu_mask
    monkeypatch.setattr(CPU, "relu_mask", lambda *arrays: calls.append(1) or right(*arrays))
    gradcheck(F.relu, normal(4, 5), provider="cpu")
    assert calls
