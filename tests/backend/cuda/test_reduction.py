"""Sums over the pixels of images and over the rows of matrices, also of many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minires.backend.cuda import reduction, row_blocks
from tests.backend.cpu.layouts import channels_last
from tests.backend.cuda.device import ORDERS

BOUND = 5e-7


@settings(max_examples=25)
@given(
    shape=st.tuples(
        st.integers(1, 5), st.sampled_from([1, 3, 4, 36, 132, 140]), st.integers(1, 30), st.integers(1, 30)
    ),
    axes=st.sampled_from([(2, 3), (0, 2, 3)]),
    keepdims=st.booleans(),
    order=st.sampled_from(ORDERS),
)
def test_sums_of_images(device, shape, axes, keepdims, order):
    x = channels_last(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    y = device.run(reduction.sum, x, axes, keepdims, order=order)
    wide = x.astype(float)
    expected, size = wide.sum(axes, keepdims=keepdims), abs(wide).sum(axes, keepdims=keepdims)
    assert y.shape == expected.shape
    assert (abs(y - expected) <= BOUND * size).all()


@pytest.mark.parametrize("channels", [3, 8])
def test_a_sum_over_many_pixels_is_not_one_chain(device, channels):
    """One chain of float32 additions would have an error of 1e-3."""
    x = channels_last(np.full((2, channels, 300, 301), 0.1, np.float32))
    assert row_blocks.split_rows(row_blocks.row_block(channels), 300 * 301, 2).number > 1
    for axes in ((2, 3), (0, 2, 3)):
        y = device.run(reduction.sum, x, axes, False)
        np.testing.assert_allclose(y, x.astype(float).sum(axes), rtol=BOUND)


@pytest.mark.parametrize("shape", [(1, 1), (700, 10), (5000, 4), (3, 1000)])
def test_sums_of_rows(device, shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    y = device.run(reduction.sum, x, (0,), True)
    wide = x.astype(float)
    assert (abs(y - wide.sum(0, keepdims=True)) <= BOUND * abs(wide).sum(0)).all()


def test_nothing_depends_on_the_order_of_threads(device):
    x = channels_last(np.random.default_rng(0).normal(size=(3, 12, 40, 41)).astype(np.float32))
    results = [device.run(reduction.sum, x, (0, 2, 3), False, order=order) for order in (*ORDERS, 9, 0)]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_a_sum_that_the_kernels_do_not_know_is_declined(device):
    x = device.upload(channels_last(np.ones((2, 3, 4, 5), np.float32)))
    for axes in ((0,), (1,), (2,), (0, 1, 2, 3), ()):
        assert reduction.sum(x, axes, False) is NotImplemented
    assert (
        reduction.sum(device.upload(np.ones((2, 3, 4, 5), np.float32)), (2, 3), False) is NotImplemented
    )  # as NumPy's
