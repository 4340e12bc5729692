"""Kernels that work block by block give each element of any memory layout what they give it alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minires.backend.reference import elementwise, special
from minires.backend.reference.cache_blocks import BLOCK

LAYOUTS = {
    "contiguous": lambda x: x,
    "channels last": lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "transposed": lambda x: x.T,
    "sliced": lambda x: x[:, 1:, ::2, 1:-1],
    "reversed": lambda x: x[::-1, :, ::-1],
    "broadcast": lambda x: np.broadcast_to(x[:, :1, :, :1], x.shape),
    "one row": lambda x: x.reshape(-1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kernel", [special.erf, elementwise.sigmoid])
def test_every_element_of_every_layout(kernel, layout):
    x = LAYOUTS[layout](np.random.default_rng(0).normal(size=(4, 6, 60, 70)) * 2)
    assert x.size > BLOCK
    y = kernel(x)
    small = np.concatenate([kernel(part) for part in np.array_split(np.ascontiguousarray(x).reshape(-1), 50)])
    np.testing.assert_array_equal(y, small.reshape(x.shape))
    if layout in ("contiguous", "channels last"):
        assert y.strides == x.strides


def test_the_error_function_is_exact_to_rounding():
    x = np.concatenate([np.linspace(-7, 7, 20001), 10.0 ** -np.arange(300), [0.0]])
    expected = np.array([math.erf(each) for each in x.tolist()])
    np.testing.assert_allclose(special.erf(x), expected, rtol=4e-16)
    single = x.astype(np.float32)
    expected = np.array([math.erf(each) for each in single.tolist()])
    np.testing.assert_allclose(special.erf(single), expected, rtol=3e-7, atol=1e-37)
    np.testing.assert_array_equal(special.erf(np.array([np.inf, -np.inf, np.nan])), [1.0, -1.0, np.nan])


def test_the_error_function_of_complex_numbers_is_exact_to_first_order():
    x = np.linspace(-3, 3, 13)
    z = special.erf(x + 1e-30j)
    np.testing.assert_array_equal(z.real, special.erf(x))
    np.testing.assert_allclose(z.imag / 1e-30, 2 / math.sqrt(math.pi) * np.exp(-x * x), rtol=1e-14)
