"""Conversions between the memory layouts of an image, also if tiles are incomplete."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minires.backend.cuda import layout
from minires.backend.cuda.launch import blocks, launch
from tests.backend.cuda.device import ORDERS

SIZES = st.sampled_from([1, 2, 3, 7, 31, 32, 33, 64, 70])


def tiles(n, c, pixels):
    return blocks(pixels, 32), blocks(c, 32), n


@settings(max_examples=25)
@given(n=st.integers(1, 3), c=SIZES, pixels=SIZES, order=st.sampled_from(ORDERS))
def test_there_and_back(device, n, c, pixels, order):
    host = np.random.default_rng(0).normal(size=(n, c, pixels)).astype(np.float32)
    x, there, back = device.upload(host), layout.empty(n, pixels, c), layout.empty(n, c, pixels)
    with device.order(order):
        launch("layout", "to_channels_last", tiles(n, c, pixels), 256, x, there, c, pixels)
        launch("layout", "from_channels_last", tiles(n, c, pixels), 256, there, back, c, pixels)
    np.testing.assert_array_equal(there.get(), host.transpose(0, 2, 1))
    np.testing.assert_array_equal(back.get(), host)


@settings(max_examples=25)
@given(rows=st.integers(1, 600), c=st.integers(1, 13), extra=st.sampled_from([0, 4]), order=st.sampled_from(ORDERS))
def test_padded_channels(device, rows, c, extra, order):
    padded = -(-c // 4) * 4 + extra
    host = np.random.default_rng(0).normal(size=(rows, c)).astype(np.float32)
    y = layout.empty(rows, padded)
    with device.order(order):
        launch("layout", "pad_channels", (blocks(y.size, 256),), 256, device.upload(host), y, rows, c, padded)
    np.testing.assert_array_equal(y.get(), np.pad(host, ((0, 0), (0, padded - c))))


@pytest.mark.parametrize("shape", [(2, 3, 9, 11), (1, 40, 6, 6), (5, 1, 3, 3), (2, 8, 1, 1)])
def test_an_image_becomes_channels_last(device, shape):
    host = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for given_ in (host, host.transpose(0, 1, 3, 2), np.repeat(host, 2, axis=3)[..., ::2], host[:, ::-1]):
        y = layout.channels_last(device.upload(given_))
        np.testing.assert_array_equal(y.get(), given_)
        assert layout.is_channels_last(y)
        assert layout.channels_last(y) is y


def test_more_channels_than_a_grid_is_high(device):
    host = np.arange(2 * (32 * 65535 + 1), dtype=np.float32).reshape(1, -1, 1, 2)
    y = layout.channels_last(device.upload(host))
    np.testing.assert_array_equal(y.get(), host)
    assert layout.is_channels_last(y)
