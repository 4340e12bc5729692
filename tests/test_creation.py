"""Making leaf tensors: what keeps its dtype, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires.errors import DtypeError


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        ([1, 2], "int64"),
        ([[1.0], [2.0]], "float32"),
        (True, "bool"),
        (1j, "complex128"),
        (np.ones(2), "float64"),
        (np.float64(2), "float64"),
        (np.float16(2), "float16"),
        (np.ones(2, np.uint8), "uint8"),
        (mr.tensor([1.0]), "float32"),
    ],
)
def test_python_floats_become_float32_and_arrays_keep_their_dtype(data, dtype):
    assert mr.tensor(data).dtype == dtype
    assert mr.tensor(data, dtype=np.complex64).dtype == np.complex64


def test_a_tensor_is_a_copy():
    array = np.zeros(3)
    x = mr.tensor(array)
    array[0] = 1
    assert x.tolist() == [0, 0, 0]
    y = mr.tensor(x)
    y.assign_(5.0)
    assert x.tolist() == [0, 0, 0]


def test_tensors_of_torch_are_taken(torch):
    theirs = torch.arange(3, dtype=torch.float64)
    ours = mr.tensor(theirs, requires_grad=True)
    theirs += 1
    assert ours.dtype == np.float64
    assert ours.tolist() == [0, 1, 2]


@pytest.mark.parametrize("data", ["text", ["a", "b"], [[1, 2], [3]], {"x": 1}, None, np.array(["a"])])
def test_what_holds_no_numbers_is_refused(data):
    with pytest.raises(DtypeError, match=r"^tensor: "):
        mr.tensor(data)


def test_integers_cannot_require_gradients():
    with pytest.raises(DtypeError, match="dtype int64 cannot require gradients"):
        mr.tensor([1, 2], requires_grad=True)
    assert mr.tensor([1, 2], dtype=np.float32, requires_grad=True).requires_grad


def test_ready_made_tensors():
    assert mr.zeros(2, 3).tolist() == [[0] * 3] * 2
    assert mr.ones((2,), dtype=np.int64).tolist() == [1, 1]
    assert mr.zeros().shape == ()
    for draw in (mr.randn, mr.rand):
        mr.manual_seed(3)
        first = draw(2, 5, requires_grad=True)
        assert (first.shape, first.dtype, first.requires_grad) == ((2, 5), np.float32, True)
        mr.manual_seed(3)
        assert draw((2, 5)).tolist() == first.tolist()
        own = draw(4, generator=np.random.default_rng(1), dtype=np.float64)
        assert own.tolist() == draw(4, generator=np.random.default_rng(1), dtype=np.float64).tolist()
