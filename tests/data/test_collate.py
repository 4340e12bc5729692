"""How samples become a batch: dtypes and forms are kept, and what differs is named."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

import minires as mr
from minires import data, nn
from minires.errors import DataError


class Pair(NamedTuple):
    x: object
    y: object


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([0.7, 1.7], np.array([0.7, 1.7], np.float32)),
        ([3, -4], np.array([3, -4], np.int64)),
        ([True, False], np.array([True, False])),
        ([np.float64(0.7), np.float64(1.7)], np.array([0.7, 1.7])),
        ([np.int16(7), np.int16(8)], np.array([7, 8], np.int16)),
        ([np.arange(3, dtype=np.int32)] * 2, np.array([[0, 1, 2]] * 2, np.int32)),
        ([np.float16(1), np.float16(2)], np.array([1, 2], np.float16)),
        ([mr.tensor([1.5, 2.5])] * 2, np.array([[1.5, 2.5]] * 2, np.float32)),
        ([nn.Buffer(np.ones(2))] * 2, np.ones((2, 2))),
        ([np.complex64(1j)] * 2, np.array([1j, 1j], np.complex64)),
    ],
)
def test_dtypes_and_shapes_are_those_of_the_samples(samples, expected):
    batch = data.default_collate(samples)
    assert (batch.dtype, batch.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(batch, expected)


def test_forms_are_kept():
    pairs = data.default_collate(
        [({"a": np.ones(2), "b": (1, "x")}, [0.5, 1.5]), ({"b": (2, "y"), "a": np.zeros(2)}, [2, 3.5])]
    )
    inputs, targets = pairs
    assert list(inputs) == ["a", "b"]
    np.testing.assert_array_equal(inputs["a"], [[1, 1], [0, 0]])
    np.testing.assert_array_equal(inputs["b"][0], [1, 2])
    assert inputs["b"][1] == ["x", "y"]
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(targets, [[0.5, 1.5], [2, 3.5]])
    named = data.default_collate([Pair(1, 2.5), Pair(3, 4.5)])
    assert isinstance(named, Pair)
    np.testing.assert_array_equal(named.y, np.array([2.5, 4.5]))
    first, second = data.default_collate([["a", 1], ["b", 2]])
    assert first == ["a", "b"]
    np.testing.assert_array_equal(second, [1, 2])


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([np.zeros(2), np.zeros(3)], r"sample 1 of the batch has shape \(3,\) and the first .* sample 0 .* has \(2,\)"),
        ([np.zeros(2), np.zeros(2, np.float32)], "sample 1 .* has dtype float32 .* has float64: give them one dtype"),
        ([1, 0.5], "has dtype float32 .* has int64"),
        ([(1, 2), (1, 2, 3)], "has the length 3 .* has 2"),
        ([(1, 2), 3], "has the length None"),
        ([{"a": 1}, {"b": 1}], r"has the keys \['b'\] .* has \['a'\]"),
        (
            [None, None],
            r"sample 0 .* a NoneType is no array, number, tuple, dict or str: give Loader\(collate=\.\.\.\)",
        ),
        ([object(), object()], "a object is no array"),
        ([np.array(["a"]), np.array(["b"])], "dtype <U1 does not hold numbers"),
        ([np.array([None]), np.array([1], object)], "dtype object does not hold numbers"),
        ([np.ma.masked_array([1.0, 2.0], [True, False])] * 2, "would lose its mask"),
        ([nn.Parameter(np.ones(1))] * 2, r"requires a gradient .*detach\(\)"),
    ],
)
def test_what_cannot_be_joined_names_the_samples(samples, message):
    with pytest.raises(DataError, match=message):
        data.default_collate(samples)


def test_a_scalar_array_keeps_its_dtype():
    assert data.default_collate([np.zeros((), np.uint8)] * 3).shape == (3,)
