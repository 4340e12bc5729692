"""Batch norm: whose variance, which statistics, which gradient; and its fusions against what they are made of."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F

RNG = np.random.default_rng(0)


def running(channels: int = 3) -> tuple[mr.Tensor, mr.Tensor]:
    return mr.tensor(np.zeros(channels)), mr.tensor(np.ones(channels))


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 2, 5)])
def test_the_normaliser_is_biased_the_running_variance_is_not(shape):
    x = RNG.normal(2, 3, shape)
    axes = tuple(k for k in range(len(shape)) if k != 1)
    mean, var = running()
    y = F.batch_norm(mr.tensor(x), mean, var, training=True, momentum=0.25, eps=0.5).numpy()
    across = (1, 3) + (1,) * (len(shape) - 2)
    expected = (x - x.mean(axes).reshape(across)) / np.sqrt(x.var(axes) + 0.5).reshape(across)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    np.testing.assert_allclose(mean.numpy(), 0.25 * x.mean(axes))
    np.testing.assert_allclose(var.numpy(), 0.75 + 0.25 * x.var(axes, ddof=1))


def test_running_statistics_over_many_batches_as_in_torch(torch):
    mean, var = running()
    theirs = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for _ in range(5):
        x = RNG.normal(1, 2, (4, 3, 2, 2))
        F.batch_norm(mr.tensor(x), mean, var, training=True)
        torch.nn.functional.batch_norm(torch.tensor(x), *theirs, training=True)
    np.testing.assert_allclose(mean.numpy(), theirs[0].numpy(), rtol=1e-13)
    np.testing.assert_allclose(var.numpy(), theirs[1].numpy(), rtol=1e-13)


def test_eval_uses_the_running_statistics_and_leaves_them():
    x, (mean, var) = (
        RNG.normal(size=(2, 3)),
        (mr.tensor([1.0, 2.0, 3.0], np.float64), mr.tensor([4.0, 9.0, 16.0], np.float64)),
    )
    y = F.batch_norm(mr.tensor(x), mean, var, eps=0.0)
    np.testing.assert_allclose(y.numpy(), (x - [1, 2, 3]) / [2, 3, 4], rtol=1e-14)
    assert (mean.tolist(), var.tolist()) == ([1, 2, 3], [4, 9, 16])


def test_eval_backward_is_another_formula():
    """In eval the statistics are constants: ∂L/∂x = w/√(σ² + ε)·g, where training subtracts two means."""
    x, g = mr.tensor(RNG.normal(size=(4, 3)), requires_grad=True), RNG.normal(size=(4, 3))
    mean, var = running()
    F.batch_norm(x, mean, var, eps=0.0).backward(g)
    np.testing.assert_allclose(x.grad.numpy(), g, rtol=1e-14)
    x.grad = None
    F.batch_norm(x, None, None, training=True).backward(g)
    np.testing.assert_allclose(x.grad.numpy().sum(0), 0, atol=1e-12)  # what training's two means take away
    assert np.abs(x.grad.numpy()).max() > 0.1


def test_a_graph_of_eval_survives_the_next_training_step():
    x, (mean, var) = mr.tensor(RNG.normal(size=(4, 3)), requires_grad=True), running()
    y = F.batch_norm(x, mean, var, eps=0.0)
    F.batch_norm(x.detach(), mean, var, training=True)
    mean.data[...] = 99.0
    y.backward(np.ones((4, 3)))
    np.testing.assert_allclose(x.grad.numpy(), 1, rtol=1e-14)


def test_running_statistics_move_under_no_grad_and_in_their_dtype():
    mean, var = mr.zeros(3), mr.ones(3)
    with mr.no_grad():
        F.batch_norm(mr.tensor(RNG.normal(5, 1, (4, 3)), np.float32), mean, var, training=True)
    assert mean.dtype == var.dtype == np.float32
    assert (mean.numpy() > 0.3).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_cancellation_where_the_mean_is_large(dtype):
    """E[x²] − E[x]² would lose everything at a mean of 10⁴ deviations."""
    x = RNG.normal(size=(64, 1))
    y = F.batch_norm(mr.tensor(x + 1e4, dtype), None, None, training=True).numpy()
    assert y.std() == pytest.approx(1, abs=1e-2 if dtype is np.float32 else 1e-4)


def test_constant_channels_are_zero_not_nan():
    x = mr.tensor(np.full((4, 2, 3, 3), 7.0), requires_grad=True)
    y = F.batch_norm(x, None, None, training=True)
    assert not y.numpy().any()
    y.backward(RNG.normal(size=y.shape))
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("add", [True, False])
@pytest.mark.parametrize("formulas", [True, False])
def test_fused_equals_composed(training, relu, add, formulas):
    """batch_norm(…, residual, relu) is relu(batch_norm(x) + residual): forward, gradients, running statistics."""
    arrays = [RNG.normal(size=(3, 2, 4, 4)), RNG.normal(size=2), RNG.normal(size=2), RNG.normal(size=(3, 2, 4, 4))]
    u, results = RNG.normal(size=(3, 2, 4, 4)), []
    for fused in (True, False):
        x, w, b, r = (mr.tensor(array, requires_grad=True) for array in arrays)
        mean, var = running(2)
        if fused:
            y = F.batch_norm(x, mean, var, w, b, training, residual=r if add else None, relu=relu)
        else:
            y = F.batch_norm(x, mean, var, w, b, training)
            y = y + r if add else y
            y = F.relu(y) if relu else y
        with mr.disable_fused_backward() if formulas else mr.enable_grad():
            y.backward(u)
        results.append([y, x.grad, w.grad, b.grad, mean, var, *([r.grad] if add else [])])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-12, atol=1e-13)


def test_without_running_statistics():
    x = mr.tensor(RNG.normal(size=(4, 3)))
    mean, var = running()
    np.testing.assert_array_equal(
        F.batch_norm(x, None, None, training=True).numpy(), F.batch_norm(x, mean, var, training=True).numpy()
    )


def test_only_what_is_asked_for_is_computed():
    """With a frozen image the weights still learn, and the other way about."""
    for leaves in ((0,), (1, 2), (2,)):
        arrays = (RNG.normal(size=(4, 3)), RNG.normal(size=3), RNG.normal(size=3))
        tensors = [mr.tensor(array, requires_grad=i in leaves) for i, array in enumerate(arrays)]
        for training in (True, False):
            y = F.batch_norm(tensors[0], *running(), *tensors[1:], training=training)
            y.backward(RNG.normal(size=(4, 3)))
        assert [i for i, tensor in enumerate(tensors) if tensor.grad is not None] == list(leaves)


def test_two_values_of_a_single_channel_are_enough():
    """x = (1, 3) has mean 2 and variance 1."""
    x = mr.tensor([[1.0], [3.0]], dtype="float64")
    y = F.batch_norm(x, None, None, training=True, eps=0.0)
    np.testing.assert_allclose(y.numpy(), [[-1.0], [1.0]])


@pytest.mark.parametrize("training", [True, False])
def test_the_parts_of_a_fused_batch_norm_are_named(training):
    x, w, b = mr.tensor(RNG.normal(size=(4, 3)), requires_grad=True), mr.tensor(np.ones(3)), mr.tensor(np.zeros(3))
    for residual, relu, parts in (
        (None, False, ["BatchNorm"]),
        (None, True, ["BatchNorm", "ReLU"]),
        (x, False, ["BatchNorm", "Add"]),
        (x, True, ["BatchNorm", "Add", "ReLU"]),
    ):
        y = F.batch_norm(x, *running(), w, b, training, residual=residual, relu=relu)
        assert list(y.node.parts) == parts
