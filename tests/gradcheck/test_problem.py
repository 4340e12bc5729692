"""A problem is evaluated and differentiated anywhere, and everything is afterwards as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import nn
from minires.core.random import get_state
from minires.errors import DtypeError, GraphError
from minires.gradcheck.problem import Problem, SharedOutputError

X, Y = np.array([1.0, -2.0, 4.0]), np.array([3.0, 0.5, -1.0])


def problem(f: Any, *arrays: Any, **options: Any) -> Problem:
    return Problem(f, [mr.tensor(each, dtype=options.get("dtype") or "float64") for each in arrays], **options)


def test_points_beside_the_point():
    found = problem(lambda x, y: x * y, X, Y)
    d = np.array([1.0, 0.0, 2.0])
    x, y = found.at(0.5, [d, None])
    assert x.tolist() == [1.5, -2, 5]
    assert y is found.point[1]
    x, y = found.at(2j, [None, d])
    assert (x.dtype, x.tolist()) == (np.complex128, X.tolist())
    np.testing.assert_array_equal(y, Y + 2j * d)
    assert found.at(3j, [None, d])[0] is x  # made once


def test_outputs_are_flat_and_in_order():
    found = problem(lambda x, y: (x.reshape(3, 1) * y, mr.tensor(np.array([1])), y.sum()), X, Y)
    assert found.outputs([X, Y]).tolist() == [*np.outer(X, Y).ravel().tolist(), Y.sum()]
    with pytest.raises(GraphError, match="f returned no Tensor of a floating-point dtype"):
        problem(lambda x: mr.tensor(np.array([1])), X).outputs([X])


def test_float32_numbers_are_evaluated_in_float64():
    found = problem(lambda x: x, [0.1], dtype=np.float32)
    assert found.dtype == np.float32
    assert found.point[0].dtype == np.float64
    assert found.point[0][0] == np.float64(np.float32(0.1)) != 0.1


def test_a_constant_of_the_functions_own_in_float32_is_named():
    own = np.ones(3, np.float32)
    found = problem(lambda x: F.linear(x, mr.tensor(own).reshape(1, 3)), X, dtype=np.float32)
    with pytest.raises(DtypeError, match="gradcheck evaluates f in float64, too: make what f makes itself"):
        found.outputs(found.point)
    with pytest.raises(DtypeError) as caught:
        problem(lambda x: F.linear(x, mr.tensor(own).reshape(1, 3)), X).outputs([X])
    assert "evaluates f in" not in str(caught.value)


def test_gradients_of_all_or_some_variables():
    found = problem(lambda x, y: x * x * y, X, Y)
    u = np.array([1.0, 10.0, 100.0])
    for options in ({}, {"fused": False}, {"repeat": True}, {"interleaved": True}):
        gx, gy = found.gradient(u, **options)
        np.testing.assert_allclose(gx, 2 * X * Y * u)
        np.testing.assert_allclose(gy, X * X * u)
    gx, gy = found.gradient(u, subset={1})
    assert gx.tolist() == [0, 0, 0]
    np.testing.assert_allclose(gy, X * X * u)
    gx, _ = found.gradient(u, [X + 1, Y])
    np.testing.assert_allclose(gx, 2 * (X + 1) * Y * u)
    gx, _ = found.gradient(u, [X + 0j, Y + 0j])
    assert gx.dtype == np.complex128
    assert found.gradient(u)[0].dtype == np.float64


def test_an_unused_variable_and_a_constant_output_have_zeros():
    assert [g.tolist() for g in problem(lambda x, y: x * 2.0, X, Y).gradient(np.ones(3))] == [[2] * 3, [0] * 3]
    constant = problem(lambda x: (mr.tensor(np.ones(2)), x * 3.0), X)
    assert constant.gradient(np.array([5.0, 5.0, 1.0, 2.0, 3.0]))[0].tolist() == [3, 6, 9]
    assert problem(lambda x: mr.tensor(np.ones(2)), X).gradient(np.ones(2))[0].tolist() == [0, 0, 0]


def test_the_formula_and_the_kernel_are_told_apart():
    class Two(mr.Function):
        def forward(self, x: Any) -> Any:
            return x * 1.0

        def backward(self, g: Any) -> Any:
            return g * 2.0

        def backward_fused(self, g: Any) -> Any:
            return g * 3.0

    found = problem(lambda x: Two()(x), X)
    assert found.gradient(np.ones(3))[0].tolist() == [3, 3, 3]
    assert found.gradient(np.ones(3), fused=False)[0].tolist() == [2, 2, 2]


def test_f_is_applied_to_other_numbers_in_between():
    seen: list[Any] = []

    def f(x: mr.Tensor, y: mr.Tensor) -> mr.Tensor:
        seen.append([x.detach().numpy().copy(), y.detach().numpy().copy()])
        return x * y

    problem(f, X, Y).gradient(np.ones(3), interleaved=True)
    assert len(seen) == 2
    np.testing.assert_allclose(seen[1][0], 0.75 * np.roll(X, 1))
    np.testing.assert_allclose(seen[1][1], 0.75 * np.roll(Y, 1))
    buffer = np.zeros(3)

    class Shared(mr.Function):
        def forward(self, x: Any) -> Any:
            buffer[...] = x
            return buffer

        def backward(self, g: Any) -> Any:
            return g

    with pytest.raises(SharedOutputError):
        problem(lambda x: Shared()(x), X).gradient(np.ones(3), interleaved=True)


def test_everything_is_afterwards_as_it_was():
    module = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    module.train()
    counter = mr.tensor(np.zeros(1))

    def f(x: mr.Tensor) -> mr.Tensor:
        counter.assign_(counter.numpy() + 1)
        return F.dropout(module(x), 0.5)

    x = mr.tensor(np.ones((4, 3)) * np.arange(1, 5).reshape(4, 1), requires_grad=True, dtype="float32")
    found = Problem(f, [x], modules=[module])
    before = {name: (t.numpy().copy(), t.dtype, t.requires_grad) for name, t in module.state_dict().items()}
    flags = [p.requires_grad for p in module.parameters()]
    state = get_state()
    one, two = found.outputs(found.point), found.outputs(found.point)
    np.testing.assert_array_equal(one, two)  # the same mask each time
    found.gradient(np.ones(one.size))
    assert counter.numpy().tolist() == [0]
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name][0])
        assert tensor.dtype == before[name][1]
    assert [p.requires_grad for p in module.parameters()] == flags
    assert all(p.grad is None for p in module.parameters())
    assert state == get_state()


def test_dtypes_of_outputs():
    found = problem(lambda x: (x.astype(np.float32), x.sum()), X)
    assert found.output_dtypes() == [((3,), np.dtype(np.float32)), ((), np.dtype(np.float64))]


def test_stops_are_found_where_numbers_change_without_a_gradient():
    assert problem(lambda x: x * x, X).find_stops() == []
    assert len(problem(lambda x: x * x.detach(), X).find_stops()) == 1
    assert problem(lambda x: x * mr.tensor(Y, dtype="float64"), X).find_stops() == []


def test_held_stops_keep_their_values():
    found = problem(lambda x: x * x.detach(), X)
    assert found.outputs([X + 1]).tolist() == ((X + 1) ** 2).tolist()
    found.hold(stops=True)
    assert found.outputs([X + 1]).tolist() == ((X + 1) * X).tolist()
