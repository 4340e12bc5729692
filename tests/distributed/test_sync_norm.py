"""Shares of a batch on several ranks: outputs, statistics and derivatives are those of the whole batch."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minires import Tensor, disable_fused_backward, errors, grad, models, nn
from minires import functional as F
from minires.core.autograd import topological_order
from minires.models.resnet import BasicBlock, Bottleneck
from minires.ops.sync_norm import sync_batch_norm
from tests.distributed.threads import on_ranks

CHANNELS = 3


def whole_and_shares(counts, dtype, relu, residual, fused, seed=0):
    """Everything that batch norm computes: of the whole batch, and of its shares on `len(counts)` ranks, joined."""
    rng = np.random.default_rng(seed)
    n = sum(counts)
    x, gy, extra, v = (rng.standard_normal((n, CHANNELS, 2, 3)).astype(dtype) for _ in range(4))
    w, b = rng.standard_normal((2, CHANNELS)).astype(dtype)
    ends = np.cumsum([0, *counts])

    def computed(part, norm):
        tensors = [Tensor(array.copy(), requires_grad=True) for array in (x[part], w, b)]
        shortcut = Tensor(extra[part].copy(), requires_grad=True) if residual else None
        inputs = tensors + ([shortcut] if residual else [])
        running = Tensor(np.zeros(CHANNELS, dtype)), Tensor(np.ones(CHANNELS, dtype))
        mode = contextlib.nullcontext() if fused else disable_fused_backward()
        with mode:
            y = norm(*tensors, *running, shortcut, relu)
            gradients = grad(y, inputs, Tensor(gy[part]), retain_graph=True)
        first = grad(norm(*tensors, *running, shortcut, relu), inputs[0], Tensor(gy[part]), create_graph=True)[0]
        second = grad((first * Tensor(v[part])).sum(), inputs[0])[0]
        return [each.numpy() for each in (y, *gradients, second, *running)]

    def alone(x, w, b, mean, var, shortcut, relu):
        return F.batch_norm(x, mean, var, w, b, True, residual=shortcut, relu=relu)

    def rank(comm):
        def together(x, w, b, mean, var, shortcut, relu):
            return sync_batch_norm(x, mean, var, w, b, 0.1, 1e-5, comm, shortcut, relu)

        return computed(slice(ends[comm.rank], ends[comm.rank + 1]), together)

    parts = on_ranks(len(counts), rank)
    expected = computed(slice(0, n), alone)
    y, gx, gw, gb, *rest = zip(*parts, strict=True)
    joined = [np.concatenate(y), np.concatenate(gx), np.sum(gw, axis=0), np.sum(gb, axis=0)]
    joined += [np.concatenate(rest.pop(0))] if residual else []
    joined += [np.concatenate(rest[0]), rest[1][0], rest[2][-1]]
    return expected, joined


@given(
    counts=st.lists(st.integers(0, 4), min_size=2, max_size=4).filter(lambda each: sum(each) > 1),
    relu=st.booleans(),
    residual=st.booleans(),
    fused=st.booleans(),
    seed=st.integers(0, 100),
)
def test_shares_of_any_size_compute_what_the_whole_does(counts, relu, residual, fused, seed):
    expected, joined = whole_and_shares(counts, np.float64, relu, residual, fused, seed)
    for one, other in zip(expected, joined, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("fused", [True, False])
def test_float32_agrees_within_rounding(fused):
    expected, joined = whole_and_shares([5, 0, 3], np.float32, True, True, fused)
    for one, other in zip(expected, joined, strict=True):
        np.testing.assert_allclose(other, one, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("block", "inputs"), [(BasicBlock, 16), (Bottleneck, 32)])
def test_a_block_in_one_pass_computes_on_two_ranks_what_one_does_op_by_op(block, inputs):
    """In float32 the last batch norm adds the shortcut on every rank; a hook on the ReLU keeps one process from it."""
    rng = np.random.default_rng(0)
    x, gy = (rng.normal(size=(4, inputs, 6, 6)).astype(np.float32) for _ in range(2))
    state = block(inputs, inputs // block.expansion).state_dict()

    def computed(part, comm=None):
        made = block(inputs, inputs // block.expansion)
        made.load_state_dict(state)
        if comm is None:
            made.relu.register_forward_hook(lambda *_: None)
        else:
            nn.SyncBatchNorm.convert(made, comm)
        given = Tensor(x[part].copy(), requires_grad=True)
        y = made(given)
        assert ("Add" in {type(node).__name__ for node in topological_order([y.node])}) is (comm is None)
        y.backward(Tensor(gy[part]))
        parameters = [parameter.grad.numpy() for parameter in made.parameters()]
        return y.numpy(), given.grad.numpy(), parameters, [buffer.numpy() for buffer in made.buffers()]

    y, gx, parameters, buffers = computed(slice(0, 4))
    (y0, gx0, parameters0, buffers0), (y1, gx1, parameters1, _) = on_ranks(
        2, lambda comm: computed(slice(2 * comm.rank, 2 * comm.rank + 2), comm)
    )
    np.testing.assert_allclose(np.concatenate([y0, y1]), y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([gx0, gx1]), gx, rtol=1e-4, atol=1e-5)
    for whole, one, other in zip(parameters, parameters0, parameters1, strict=True):
        np.testing.assert_allclose(one + other, whole, rtol=1e-3, atol=1e-4)
    for whole, one in zip(buffers, buffers0, strict=True):
        np.testing.assert_allclose(one, whole, rtol=1e-4, atol=1e-5)


def test_one_value_in_all_is_refused():
    def rank(comm):
        x = Tensor(np.ones((1 - comm.rank, 2, 1, 1)))
        one = Tensor(np.ones(2))
        sync_batch_norm(x, None, None, one, one, 0.1, 1e-5, comm)

    with pytest.raises(errors.ShapeError, match=r"all ranks have 1 value\(s\) per channel"):
        on_ranks(2, rank)


def test_a_single_value_on_each_rank_is_enough():
    values = [-1.0, 3.0]
    one, zero = Tensor(np.ones(1)), Tensor(np.zeros(1))
    found = on_ranks(
        2,
        lambda comm: sync_batch_norm(
            Tensor(np.full((1, 1), values[comm.rank])), None, None, one, zero, 0.1, 0.0, comm
        ).item(),
    )
    assert found == [-1.0, 1.0]


def test_convert_keeps_the_tensors_and_the_names():
    model = models.resnet20(num_classes=10)
    before = dict(model.named_parameters())
    names = list(model.state_dict())
    assert nn.SyncBatchNorm.convert(model) is model
    assert all(parameter is before[name] for name, parameter in model.named_parameters())
    assert list(model.state_dict()) == names
    assert not any(type(module) is nn.BatchNorm2d for module in model.modules())
    assert sum(isinstance(module, nn.SyncBatchNorm) for module in model.modules()) == 19


def test_convert_keeps_a_shared_layer_shared_and_replaces_the_root():
    norm = nn.BatchNorm1d(3)
    model = nn.Sequential(norm, nn.ReLU(), norm)
    nn.SyncBatchNorm.convert(model)
    assert isinstance(model[0], nn.SyncBatchNorm)
    assert model[0] is model[2]
    assert nn.SyncBatchNorm.convert(norm).weight is norm.weight


def test_alone_it_is_batch_norm_to_the_bit():
    x = np.random.default_rng(0).standard_normal((4, 3, 5, 5)).astype(np.float32)
    one, other = nn.BatchNorm2d(3), nn.SyncBatchNorm.convert(nn.BatchNorm2d(3))
    assert (one(Tensor(x)).numpy() == other(Tensor(x)).numpy()).all()
    assert (one.running_var.numpy() == other.running_var.numpy()).all()
    one.eval(), other.eval()
    assert (one(Tensor(x)).numpy() == other(Tensor(x)).numpy()).all()
