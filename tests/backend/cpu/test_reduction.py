"""Sums over any axes of any layout are those of float64; and the C kernels serve those that they name."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest

from minires import backend
from minires.backend import cpu, use_backend
from minires.backend.cpu import reduction

pytestmark = pytest.mark.skipif(cpu.library is None, reason="the C kernels were not built")


def numbers(*shape: int, channels_last: bool = False) -> np.ndarray:
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if channels_last else x


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(
    "x",
    [numbers(4, 3), numbers(5), numbers(2, 3, 4), numbers(2, 3, 4, 5), numbers(2, 3, 4, 5, channels_last=True)],
    ids=["matrix", "vector", "three axes", "images", "channels-last"],
)
def test_sums_over_any_axes(x, keepdims):
    for axes in chain.from_iterable(combinations(range(x.ndim), k) for k in range(1, x.ndim + 1)):
        with use_backend("cpu"):
            found = backend.sum(x, axes, keepdims)
        expected = x.astype(np.float64).sum(axis=axes, keepdims=keepdims)
        assert found.shape == expected.shape
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("x", "axes", "served"),
    [
        (numbers(4, 3), (0,), True),
        (numbers(4, 3), (1,), False),
        (numbers(2, 3, 4, 5, channels_last=True), (2, 3), True),
        (numbers(2, 3, 4, 5, channels_last=True), (0, 2, 3), True),
        (numbers(2, 3, 4, 5, channels_last=True), (1,), False),
        (numbers(2, 3, 4, 5), (2, 3), False),
        (numbers(4, 3).astype(np.float64), (0,), False),
    ],
)
def test_which_sums_the_kernels_serve(x, axes, served):
    assert (reduction.sum(x, axes, False) is NotImplemented) is not served
