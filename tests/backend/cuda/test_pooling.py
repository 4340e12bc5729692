"""Pooling: ties, NaN and −∞ in the maximum, and gradients with the same bits as the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minires.backend.cuda import pooling
from minires.backend.reference.provider import REFERENCE as reference
from minires.backend.shapes import Window
from tests.backend.cpu import cases
from tests.backend.cuda.device import ORDERS


def test_argmax_is_a_byte_as_long_as_one_will_do(device):
    x = np.random.default_rng(0).normal(size=(1, 3, 20, 20)).astype(np.float32)
    y, argmax = device.run(pooling.max_pool2d, x, Window((16, 16)), False)
    assert (y.dtype, argmax.dtype, argmax.shape) == (np.float32, np.uint8, y.shape)
    assert argmax.max() > 127  # so that a signed byte would show
    up, window = device.upload, Window((16, 17))
    assert pooling.max_pool2d(up(x), window, False) is NotImplemented
    gy, wide = up(np.zeros((1, 3, 5, 4), np.float32)), up(np.zeros((1, 3, 5, 4), np.int32))
    assert pooling.max_pool2d_route(gy, wide, (20, 20), window) is NotImplemented
    assert pooling.max_pool2d_gather(up(x), wide, window) is NotImplemented


@pytest.mark.parametrize("channels", [9, 12])
def test_ties_go_to_the_first_and_nan_wins(device, channels):
    x = np.zeros((1, channels, 4, 4), np.float32)
    x[0, 1] = -np.inf
    x[0, 2, 1, 0] = np.nan
    x[0, 3, 0, 1] = x[0, 3, 1, 1] = 5
    x[0, 4, 0, 0], x[0, 4, 1, 1] = np.nan, np.inf
    y, argmax = device.run(pooling.max_pool2d, x, Window((2, 2), (2, 2)), False)
    assert argmax[0, :5, 0, 0].tolist() == [0, 0, 2, 1, 0]
    assert y[0, 1, 0, 0] == -np.inf
    assert np.isnan(y[0, [2, 4], 0, 0]).all()
    assert argmax.dtype == np.uint8
    np.testing.assert_array_equal(argmax, reference.max_pool2d(x, Window((2, 2), (2, 2)), False)[1])


def test_padding_never_wins(device):
    x = np.full((1, 8, 3, 3), -np.inf, np.float32)
    y, argmax = device.run(pooling.max_pool2d, x, Window((3, 3), (2, 2), (1, 1)), False)
    assert (y == -np.inf).all()
    assert argmax[0, 0].tolist() == [[4, 3], [1, 0]]  # the first position of each window that is not padding


def test_a_window_that_steps_over_the_image(device):
    """Dilation 3 around a lone pixel: both places of the only window are padding."""
    window = Window((2, 2), padding=(1, 1), dilation=(2, 2))
    x = np.full((1, 4, 1, 1), 7, np.float32)
    y, argmax = device.run(pooling.max_pool2d, x, window, False)
    assert (y == -np.inf).all()
    assert (argmax == 0).all()
    assert (device.run(pooling.max_pool2d_gather, x, argmax, window) == 0).all()
    assert (device.run(pooling.max_pool2d_route, x, argmax, (1, 1), window) == 0).all()


@settings(max_examples=25)
@given(data=st.data())
def test_the_way_back_adds_in_the_reference_s_order(device, data):
    """The sums have the reference's order, so in float32 too they agree to the last bit."""
    choices = cases.Drawn(data)
    arguments = cases.max_pool2d_route(choices).arguments
    gx = device.run(pooling.max_pool2d_route, *arguments, order=choices.of(ORDERS))
    np.testing.assert_array_equal(gx, reference.max_pool2d_route(*arguments))


@settings(max_examples=25)
@given(data=st.data())
def test_gather_is_the_adjoint_of_route(device, data):
    choices = cases.Drawn(data)
    gy, argmax, image, window = cases.max_pool2d_route(choices).arguments
    x = np.random.default_rng(0).integers(-8, 9, (*gy.shape[:2], *image)).astype(np.float32)
    gy = np.round(4 * gy)  # whole numbers: both sides are exact
    y = device.run(pooling.max_pool2d_gather, x, argmax, window, order=choices.of(ORDERS))
    np.testing.assert_array_equal(y, reference.max_pool2d_gather(x, argmax, window))
    gx = device.run(pooling.max_pool2d_route, gy, argmax, image, window)
    assert (y.astype(float) * gy).sum() == (x.astype(float) * gx).sum()


@settings(max_examples=25)
@given(data=st.data())
def test_split_is_the_adjoint_of_the_mean(device, data):
    choices = cases.Drawn(data)
    gy, image, window, inclusive = cases.avg_pool2d_split(choices).arguments
    gx = device.run(pooling.avg_pool2d_split, gy, image, window, inclusive, order=choices.of(ORDERS))
    x = np.random.default_rng(0).normal(size=gx.shape).astype(np.float32)
    ceil_mode = reference.avg_pool2d(x, window, False, inclusive).shape != gy.shape
    y = device.run(pooling.avg_pool2d, x, window, ceil_mode, inclusive)
    size = (abs(x).astype(float) * abs(gx)).sum() + (abs(y).astype(float) * abs(gy)).sum()
    assert abs((y.astype(float) * gy).sum() - (x.astype(float) * gx).sum()) <= 1e-5 * size


def test_a_long_window_is_no_long_chain(device):
    x = np.full((1, 4, 256, 256), 0.1, np.float32)
    y = device.run(pooling.avg_pool2d, x, Window((256, 256)), False, True)
    np.testing.assert_allclose(y, np.float32(0.1), rtol=5e-7 * 256 / 8)
    y = device.run(pooling.avg_pool2d, x[:, :, :7, :7], Window((7, 7)), False, True)
    np.testing.assert_allclose(y, np.float32(0.1), rtol=5e-7)


@pytest.mark.parametrize("kernel", ["max_pool2d", "avg_pool2d"])
def test_results_are_channels_last(device, kernel):
    x = device.upload(np.random.default_rng(0).normal(size=(2, 8, 7, 7)).astype(np.float32))
    window = Window((3, 3), (2, 2), (1, 1))
    if kernel == "max_pool2d":
        y, argmax = pooling.max_pool2d(x, window, False)
        gx = pooling.max_pool2d_route(y, argmax, (7, 7), window)
        images = (y, argmax, gx, pooling.max_pool2d_gather(x, argmax, window))
    else:
        y = pooling.avg_pool2d(x, window, False, True)
        images = (y, pooling.avg_pool2d_split(y, (7, 7), window, True))
    for image in images:
        assert image.transpose(0, 2, 3, 1).flags.c_contiguous
