"""`jacobian` and its siblings with respect to a Module's parameters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import minires as mr
from minires import nn
from minires.errors import DtypeError, ShapeError
from minires.gradcheck import hessian, hessian_vector_product, jacobian, jvp, vjp

X = mr.tensor(np.random.default_rng(0).normal(size=(5, 3)))
STEP = 1e-6


class Tanh(nn.Module):
    def forward(self, x: mr.Tensor) -> mr.Tensor:
        return x.tanh()


def network() -> nn.Module:
    mr.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), Tanh(), nn.Linear(4, 2)).to(dtype=np.float64)


def outputs(model: nn.Module) -> mr.Tensor:
    return model(X)


def loss(model: nn.Module) -> mr.Tensor:
    return (model(X) ** 2).sum()


def differences(f: Callable[[nn.Module], np.ndarray], model: nn.Module, name: str) -> np.ndarray:
    """∂f/∂parameter by central differences, (*output.shape, *parameter.shape)."""
    parameter = dict(model.named_parameters())[name]
    columns = []
    for index in np.ndindex(parameter.shape):
        sides = []
        for step in (STEP, -STEP):
            moved = parameter.numpy().copy()
            moved[index] += step
            before = parameter.data
            parameter.data = moved
            sides.append(f(model))
            parameter.data = before
        columns.append((sides[0] - sides[1]) / (2 * STEP))
    return np.stack(columns, -1).reshape(*columns[0].shape, *parameter.shape)


def test_jacobian_by_parameters_equals_differences():
    model = network()
    found = jacobian(outputs, model)
    assert list(found) == [name for name, _ in model.named_parameters()]
    for name, block in found.items():
        expected = differences(lambda model: outputs(model).numpy(), model, name)
        np.testing.assert_allclose(block.numpy(), expected, atol=1e-8)


def test_vjp_and_jvp_by_parameters():
    model = network()
    rng = np.random.default_rng(1)
    u = mr.tensor(rng.normal(size=(5, 2)))
    v = {name: mr.tensor(rng.normal(size=p.shape)) for name, p in model.named_parameters()}
    blocks = jacobian(outputs, model)
    value, pulled = vjp(outputs, model, u)
    np.testing.assert_allclose(value.numpy(), model(X).numpy())
    pushed = 0.0
    for name, block in blocks.items():
        expected = np.tensordot(u.numpy(), block.numpy(), 2)
        np.testing.assert_allclose(pulled[name].numpy(), expected, rtol=1e-10)
        pushed = pushed + np.tensordot(block.numpy(), v[name].numpy(), v[name].ndim)
    np.testing.assert_allclose(jvp(outputs, model, v)[1].numpy(), pushed, rtol=1e-10)


def test_second_derivatives_by_parameters():
    model = network()
    rng = np.random.default_rng(1)
    v = {name: mr.tensor(rng.normal(size=p.shape)) for name, p in model.named_parameters()}
    blocks = hessian(loss, model)
    _, products = hessian_vector_product(loss, model, v)
    for row, others in blocks.items():
        expected = sum(np.tensordot(b.numpy(), v[name].numpy(), v[name].ndim) for name, b in others.items())
        np.testing.assert_allclose(products[row].numpy(), expected, rtol=1e-9, atol=1e-9)
    by_differences = differences(lambda model: vjp(loss, model)[1]["2.weight"].numpy(), model, "0.bias")
    np.testing.assert_allclose(blocks["2.weight"]["0.bias"].numpy(), by_differences, atol=1e-7)


def test_a_module_beside_a_tensor():
    model = network()
    by_model, by_input = jacobian(lambda model, x: model(x), (model, X))
    np.testing.assert_array_equal(by_model["0.bias"].numpy(), jacobian(outputs, model)["0.bias"].numpy())
    np.testing.assert_array_equal(by_input.numpy(), jacobian(model, X).numpy())


def test_parameters_themselves_may_be_used_without_the_argument():
    """A copy would have a derivative of zero, silently."""
    model = network()
    found = jacobian(lambda *_: model(X), list(model.parameters()))
    for block, expected in zip(found, jacobian(outputs, model).values(), strict=True):
        np.testing.assert_array_equal(block.numpy(), expected.numpy())
    assert all(p.grad is None for p in model.parameters())


def test_frozen_parameters_are_left_out():
    model = network()
    next(iter(model.parameters())).requires_grad_(False)
    assert "0.weight" not in jacobian(outputs, model)


def test_what_cannot_be_a_vector_or_an_input_is_refused():
    model = network()
    with pytest.raises(ShapeError, match=r"must be a dictionary of Tensors with the keys 0\.weight"):
        jvp(outputs, model, {"0.weight": mr.ones(4, 3)})
    with pytest.raises(ShapeError, match="1 vectors for 2 inputs"):
        jvp(lambda model, x: model(x), (model, X), [X])
    with pytest.raises(DtypeError, match="an input is a ndarray"):
        jacobian(lambda x: x, [X.numpy()])
