"""zeros, full, arange, linspace, randint and their kind: the shapes, the dtypes and the numbers of torch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.errors import DeviceError, DtypeError, ShapeError

CALLS: list[Callable[..., Any]] = [
    lambda t: t.zeros(2, 3),
    lambda t: t.ones((2, 3)),
    lambda t: t.zeros(2, requires_grad=True, device="cpu"),
    lambda t: t.full((2, 3), 1.5),
    lambda t: t.full((2,), 3),
    lambda t: t.full((), True),
    lambda t: t.eye(3),
    lambda t: t.eye(2, 4),
    lambda t: t.arange(5),
    lambda t: t.arange(5.0),
    lambda t: t.arange(1, 2.5, 0.5),
    lambda t: t.arange(7, 1, -2),
    lambda t: t.arange(0, 1, 0.1),
    lambda t: t.arange(3, 3),
    lambda t: t.linspace(0, 1, 5),
    lambda t: t.linspace(1, -1, 4),
    lambda t: t.linspace(0, 1, 1),
    lambda t: t.zeros_like(t.arange(3)),
    lambda t: t.ones_like(t.full((2,), 1.5), requires_grad=True),
    lambda t: t.full_like(t.arange(3), 2),
    lambda t: t.full_like(t.eye(2), 0.25),
]


@pytest.mark.parametrize("call", CALLS)
def test_numbers_and_dtypes_are_torchs(torch, call):
    theirs, ours = call(torch), call(F)
    assert ours.dtype == theirs.detach().numpy().dtype
    assert ours.requires_grad == theirs.requires_grad
    np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=1e-6, strict=True)


def test_another_dtype_for_all():
    x = mr.ones(2, dtype=np.float16)
    for made in (
        F.zeros(2, dtype=np.float16),
        F.full((2,), 1, dtype=np.float16),
        F.eye(2, dtype=np.float16),
        F.arange(2, dtype=np.float16),
        F.linspace(0, 1, 2, dtype=np.float16),
        F.randint(3, (2,), dtype=np.float16),
        F.rand_like(x),
        F.randn_like(x),
        F.empty_like(x),
    ):
        assert made.dtype == np.float16


def test_random_integers():
    generator = np.random.default_rng(0)
    x = F.randint(-2, 3, (1000,), generator=generator)
    assert (x.dtype, set(x.tolist())) == (np.int64, {-2, -1, 0, 1, 2})
    assert set(F.randint(2, (100,)).tolist()) == {0, 1}
    assert F.randint(high=2, size=(3,)).shape == F.randint(0, high=2, size=(3,)).shape == (3,)
    assert F.randint(low=5, high=6, size=()).item() == 5
    assert sorted(F.randperm(20, generator=generator).tolist()) == list(range(20))
    mr.manual_seed(3)
    first = F.randperm(20).tolist(), F.randint(9, (4,)).tolist()
    mr.manual_seed(3)
    assert (F.randperm(20).tolist(), F.randint(9, (4,)).tolist()) == first


def test_from_numpy_shares_the_memory():
    array = np.zeros(3)
    x = F.from_numpy(array)
    array[0] = 1.0
    x[1] = 2.0
    assert x.tolist() == array.tolist() == [1.0, 2.0, 0.0]
    view = F.from_numpy(array[1:])  # a view is copied, as the docstring says
    array[1] = 5.0
    assert view.tolist() == [2.0, 0.0]


def test_as_tensor_copies_only_what_it_must():
    x, array = mr.ones(2), np.zeros(2)
    assert F.as_tensor(x) is x
    assert F.as_tensor(x, np.float32) is x
    assert F.as_tensor(x, dtype=np.float64).dtype == np.float64
    assert F.as_tensor(array).data is array
    assert F.as_tensor(array, np.float32).dtype == np.float32
    assert F.as_tensor([1.5, 2.0]).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: F.zeros(2.5), ShapeError, r"the sizes \(2.5,\) must be integers"),
        (lambda: F.ones(-1), ShapeError, "of 0 or more"),
        (lambda: F.zeros(2, dtype="wrong"), DtypeError, "'wrong' is not a dtype"),
        (lambda: F.zeros(2, device="gpu"), DeviceError, "unknown device"),
        (lambda: F.arange(0, 5, -1), ValueError, "does not lead from 0 to 5"),
        (lambda: F.arange(0, 5, 0), ValueError, "does not lead"),
        (lambda: F.linspace(0, 1, -1), ValueError, "steps = -1 must not be negative"),
        (lambda: F.randint(0, (2,)), ValueError, "no integer from 0 to below 0"),
        (lambda: F.randint(5), TypeError, r"randint\(high, size\)"),
        (lambda: F.zeros_like([1]), DtypeError, "zeros_like: needs a Tensor, got list"),
        (lambda: F.from_numpy([1]), DtypeError, "from_numpy: needs a NumPy array, got list"),
        (lambda: F.rand(2, dtype=int), DtypeError, "draws floating-point numbers"),
        (lambda: F.zeros(2, dtype=int, requires_grad=True), DtypeError, "cannot require gradients"),
    ],
)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
