"""Batch norm: inputs for which naive statistics fail, sums of many rows, NaN after a ReLU, any layout.

BOUND is the allowed error of float32 against float64, relative to the sum of the absolute values of the terms.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minires.backend.cuda import normalization, row_blocks
from minires.backend.reference.provider import REFERENCE as reference
from tests.backend.cpu.layouts import channels_last
from tests.backend.cuda.device import ORDERS

BOUND = 5e-7
EPS = float(np.finfo(np.float32).eps)
CHANNELS = (1, 3, 4, 20, 33, 132, 144)  # one and four channels a thread; one and several blocks along the channels


def stats(device, x, order=0):
    return device.run(normalization.batch_norm_stats, x.astype(np.float32), order=order)


def _check_stats(device, x, order=0):
    x = x.astype(np.float32)
    mean, var = stats(device, x, order)
    wide = x.astype(np.float64)
    expected_mean, expected_var = reference.batch_norm_stats(wide)
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    assert (abs(mean - expected_mean) <= BOUND * abs(wide).mean(axis=axes)).all()
    # Rounding x to float32 has already moved a variance by (EPS·mean)².
    assert (abs(var - expected_var) <= BOUND * expected_var + (EPS * expected_mean) ** 2).all()


@settings(max_examples=25)
@given(
    rows=st.integers(1, 700),
    channels=st.sampled_from(CHANNELS),
    kind=st.sampled_from(["normal", "far from zero", "outlier first", "outliers", "rising"]),
    order=st.sampled_from(ORDERS),
    seed=st.integers(0, 99),
)
def test_statistics(device, rows, channels, kind, order, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, channels))
    if kind == "far from zero":
        x += 10.0 ** rng.integers(1, 7, channels)
    elif kind == "outlier first":
        x[0] = 10.0 ** rng.integers(1, 13, channels)
    elif kind == "outliers":
        x = np.where(rng.random(x.shape) < 0.01, 1e5 * x, x)
    elif kind == "rising":
        x += 1e3 * np.arange(rows)[:, None]
    _check_stats(device, x, order)


@pytest.mark.parametrize("enough", [1, 8])
@pytest.mark.parametrize("channels", [33, 132])
def test_many_rows(device, channels, enough, monkeypatch):
    """Several chunks, and several batches for each thread, as with millions of rows."""
    monkeypatch.setattr(row_blocks, "TARGET_BLOCKS", enough)
    block = row_blocks.row_block(channels)
    rows = block.rows * (row_blocks.MAX_ROWS_PER_THREAD + 20)
    chunks = row_blocks.split_rows(block, rows)
    assert chunks.number == (2 if enough == 1 else 8 // block.channel_blocks)
    assert chunks.rows > block.rows * row_blocks.MIN_ROWS_PER_THREAD
    x = np.random.default_rng(0).normal(100, 1, (rows, channels)).astype(np.float32)
    _check_stats(device, x)
    gy = np.full((rows, channels), 0.1, np.float32)  # in one chain of float32 their sum would be off by far more
    _, _, gb = device.run(normalization.batch_norm_grad, gy, x, *(np.ones(channels, "f"),) * 3, 1e-5, None)
    np.testing.assert_allclose(gb, rows * float(np.float32(0.1)), rtol=BOUND)


@pytest.mark.parametrize("value", [0.0, 0.1, -3.3e7, 1e18])
def test_a_constant_channel_has_no_variance(device, value):
    mean, var = stats(device, channels_last(np.full((7, 5, 13, 11), value)))
    np.testing.assert_allclose(mean, np.float32(value), rtol=EPS)
    assert (var >= 0).all()
    assert (var <= (EPS * abs(value)) ** 2).all()


def test_one_row_has_no_variance(device):
    mean, var = stats(device, np.array([[1e9, -1e-9, 3]]))
    np.testing.assert_array_equal(mean, np.float32([1e9, -1e-9, 3]))
    np.testing.assert_array_equal(var, 0)


@pytest.mark.parametrize("strange", [1e18, np.nan, np.inf])
def test_what_one_channel_holds_leaves_the_others_alone(device, strange):
    x = np.random.default_rng(0).normal(size=(9, 8, 8, 8)).astype(np.float32)
    clean = stats(device, x)
    x[0, 2, 0, 0] = strange
    mean, var = stats(device, x)
    others = [0, 1, 3, 4, 5, 6, 7]
    np.testing.assert_array_equal(mean[others], clean[0][others])
    np.testing.assert_array_equal(var[others], clean[1][others])
    if np.isfinite(strange):
        np.testing.assert_allclose(mean[2], strange / 576, rtol=BOUND)
    else:
        assert not np.isfinite(mean[2])
        assert not np.isfinite(var[2])


def test_the_mean_is_subtracted_first(device):
    """The kernel subtracts the mean before it scales: x·scale − mean·scale would cancel."""
    x = np.float32(1e6) + np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    mean, var = stats(device, x)
    y = device.run(normalization.batch_norm, x, mean, var, None, None, 1e-5, None, False)
    expected = (x - mean.astype(float)) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("channels", [4, 13])
@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf])
def test_nan_survives_the_relu(device, channels, strange):
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    for lane in range(channels):
        x, residual = np.full((2, 3, channels, 5, 5), -1, np.float32)
        x[1, lane, 2, 2] = residual[2, lane, 1, 1] = strange
        y = device.run(normalization.batch_norm, x, zeros, ones, None, None, 1e-5, residual, True)
        expected = np.maximum(strange, np.float32(0))
        np.testing.assert_array_equal(y[1, lane, 2, 2], expected)
        np.testing.assert_array_equal(y[2, lane, 1, 1], expected)
        assert np.count_nonzero(y) == (2 if expected != 0 else 0)  # NaN counts too


@settings(max_examples=25)
@given(
    rows=st.integers(2, 300),
    channels=st.sampled_from(CHANNELS),
    with_y=st.booleans(),
    with_weight=st.booleans(),
    order=st.sampled_from(ORDERS),
    seed=st.integers(0, 99),
)
def test_gradient(device, rows, channels, with_y, with_weight, order, seed):
    rng = np.random.default_rng(seed)
    x, gy, y = rng.normal(size=(3, rows, channels)).astype(np.float32)
    mean, var = reference.batch_norm_stats(x)
    weight = rng.normal(size=channels).astype(np.float32) if with_weight else None
    arguments = (gy, x, mean, var, weight, 1e-5, np.maximum(y, 0) if with_y else None)
    actual = device.run(normalization.batch_norm_grad, *arguments, order=order)
    wide = [each.astype(float) if isinstance(each, np.ndarray) else each for each in arguments]
    expected = reference.batch_norm_grad(*wide)
    g = np.where(y > 0, gy, 0) if with_y else gy
    x_hat = (x - mean) / np.sqrt(var + 1e-5)
    sum_g, sum_gx = abs(g).sum(axis=0), abs(g * x_hat).sum(axis=0)
    scale = (1 if weight is None else abs(weight)) / np.sqrt(var + 1e-5)
    sizes = (scale * (abs(g) + sum_g / rows + abs(x_hat) * sum_gx / rows), sum_gx, sum_g)
    for a, e, size in zip(actual, expected, sizes, strict=True):
        assert (abs(a - e) <= BOUND * size.max()).all()


def test_results_are_channels_last_whatever_the_arguments_are(device):
    rng = np.random.default_rng(0)
    x, gy, y, residual = rng.normal(size=(4, 3, 8, 5, 6)).astype(np.float32)
    vectors = rng.uniform(1, 2, size=(4, 8)).astype(np.float32)
    results = []
    for layout in (np.ascontiguousarray, channels_last):
        up = [device.upload(layout(each)) for each in (x, gy, y, residual)]
        v = device.upload(vectors)
        applied = normalization.batch_norm(up[0], v[0], v[1], v[2], v[3], 1e-5, up[3], True)
        gx, gw, gb = normalization.batch_norm_grad(up[1], up[0], v[0], v[1], v[2], 1e-5, up[2])
        for image in (applied, gx):
            assert image.transpose(0, 2, 3, 1).flags.c_contiguous
        results.append(device.download((*normalization.batch_norm_stats(up[0]), applied, gx, gw, gb)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("channels", [1, 33, 1000])
def test_running_statistics_are_updated_where_they_lie(device, channels):
    rng = np.random.default_rng(0)
    running_mean, mean = rng.normal(size=(2, channels)).astype(np.float32)
    running_var, var = rng.uniform(0.5, 2, (2, channels)).astype(np.float32)
    there = [device.upload(each.copy()) for each in (running_mean, running_var)]
    assert normalization.batch_norm_update_stats(*there, *device.upload([mean, var]), 9, 0.1) is None
    wide = [each.astype(float) for each in (running_mean, running_var, mean, var)]
    reference.batch_norm_update_stats(*wide, 9, 0.1)
    for found, expected in zip(device.download(there), wide, strict=False):
        np.testing.assert_allclose(found, expected, rtol=4 * EPS, atol=4 * EPS)


def test_running_statistics_that_the_kernel_cannot_write_are_left_to_the_reference(device):
    whole, ones = np.ones(12, np.float32), device.upload(np.ones(5, np.float32))
    for bad in (whole[1:6], whole[:10:2], np.ones(5)):
        assert normalization.batch_norm_update_stats(device.upload(bad), ones, ones, ones, 9, 0.1) is NotImplemented
        assert normalization.batch_norm_update_stats(ones, device.upload(bad), ones, ones, 9, 0.1) is NotImplemented
