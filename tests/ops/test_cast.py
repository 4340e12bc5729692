"""Changing dtype: gradients travel back in the dtype the numbers came in."""

from __future__ import annotations

import numpy as np

import minires as mr


def test_the_gradient_is_cast_back():
    x = mr.tensor(np.float32([1.5, 2.5]), requires_grad=True)
    y = x.astype(np.float64) * np.pi
    assert y.dtype == np.float64
    y.sum().backward()
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad.numpy(), np.float32([np.pi, np.pi]))


def test_second_derivative_through_a_cast():
    x = mr.tensor(np.float32([2.0]), requires_grad=True)
    (first,) = mr.grad(x.astype(np.float64) ** 3, x, create_graph=True)
    (second,) = mr.grad(first, x)
    assert (first.item(), second.item(), second.dtype) == (12.0, 12.0, np.float32)


def test_where_nothing_changes_nothing_happens():
    x = mr.tensor([1.0], requires_grad=True)
    assert x.astype(np.float32) is x
    assert x.to("cpu") is x
    assert x.to(np.float32) is x
    assert x.to() is x


def test_to_integers_the_graph_ends():
    x = mr.tensor([1.6, -1.6], requires_grad=True)
    y = x.astype(np.int64)
    assert (y.tolist(), y.requires_grad) == ([1, -1], False)
    assert (x > 0).astype(np.float32).tolist() == [1.0, 0.0]


def test_complex_to_real_is_asked_for_by_name():
    assert mr.tensor(np.array([1 + 2j])).real.tolist() == [1.0]
    assert mr.tensor([1.0]).astype(np.complex64).dtype == np.complex64
