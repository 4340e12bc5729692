"""Infinities and NaN: where the reference's output is not finite, that of the C kernels is not either.

A direct or a depthwise convolution has them in the same elements. Winograd's sums mix the pixels of a tile, so there
they may spread within the tile, but not to other images of the batch.
"""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minires import backend
from minires.backend import cpu
from minires.backend.cpu import algorithms
from minires.backend.cpu.algorithms import DEPTHWISE, DIRECT, WINOGRAD2, WINOGRAD4
from minires.backend.cpu.provider import CPU
from minires.backend.reference.provider import REFERENCE as reference
from tests.backend.cpu import cases
from tests.backend.cpu.layouts import channels_last

if cpu.library is None:
    pytest.skip("the C kernels are not built here", allow_module_level=True)


def planted(choices: cases.Choices, array: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """A copy with one infinity or NaN in it, and its index."""
    at = tuple(choices.integer(0, n - 1) for n in array.shape)
    array = channels_last(array)
    array[at] = choices.of([np.nan, np.inf, -np.inf])
    return array, at


def forward(c: cases.Convolution, bias: np.ndarray, residual: np.ndarray, relu: bool, algorithm: int) -> np.ndarray:
    return cpu.library.conv2d(c.x, c.w, bias, residual, relu, *c.window[1:], c.groups, algorithm)


def exact_forward(c: cases.Convolution, bias: np.ndarray, residual: np.ndarray, relu: bool) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        y = reference.conv2d(c.x.astype(float), c.w.astype(float), bias.astype(float), c.window, c.groups) + residual
        return np.maximum(y, 0) if relu else y


def assert_not_more_finite(actual: np.ndarray, expected: np.ndarray) -> None:
    """NaN in `expected` must not have become 0 in a ReLU; an infinity must not have become finite."""
    lost = ~np.isfinite(expected) & np.isfinite(actual)
    assert not lost.any(), f"{expected[lost][:3]} became {actual[lost][:3]} at {np.argwhere(lost)[:3].tolist()}"


def assert_as_strange(actual: np.ndarray, expected: np.ndarray) -> None:
    """NaN and both infinities are in the same elements."""
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    np.testing.assert_array_equal(np.where(np.isinf(actual), actual, 0), np.where(np.isinf(expected), expected, 0))


@settings(max_examples=80)
@given(data=st.data())
def test_forward(data):
    choices = cases.Drawn(data)
    algorithm = choices.of([DIRECT, WINOGRAD2, WINOGRAD4])
    c = cases.convolution(choices, plain=algorithm != DIRECT or choices.of([False, True]))
    rng, relu, where = np.random.default_rng(0), choices.of([False, True]), choices.of(["x", "w", "bias", "residual"])
    parts = {
        "x": c.x,
        "w": c.w,
        "bias": rng.normal(size=len(c.w)).astype(np.float32),
        "residual": channels_last(rng.normal(size=c.gy.shape).astype(np.float32)),
    }
    parts[where], at = planted(choices, parts[where])
    c = c._replace(x=parts["x"], w=parts["w"])
    expected = exact_forward(c, parts["bias"], parts["residual"], relu)
    actual = forward(c, parts["bias"], parts["residual"], relu, algorithm)
    assert_not_more_finite(actual, expected)
    if algorithm == DIRECT or where in ("bias", "residual"):
        assert_as_strange(actual, expected)
    elif where == "x":
        assert np.isfinite(np.delete(actual, at[0], axis=0)).all(), "another image of the batch is touched"
    else:
        assert np.isfinite(np.delete(actual, at[0], axis=1)).all(), "another output channel is touched"


@settings(max_examples=60)
@given(data=st.data())
def test_grad_input(data):
    """Weights that are not finite must not be lost; with the zeros around gy they give NaN."""
    choices = cases.Drawn(data)
    algorithm, where = choices.of([DIRECT, WINOGRAD2, WINOGRAD4]), choices.of(["gy", "w"])
    c = cases.convolution(choices, plain=True)
    if max(c.window.padding) > 2:
        algorithm = DIRECT
    parts = {"gy": c.gy, "w": c.w}
    parts[where], at = planted(choices, parts[where])
    size = c.x.shape[2:]
    with np.errstate(invalid="ignore"):
        expected = reference.conv2d_grad_input(parts["gy"].astype(float), parts["w"].astype(float), size, c.window, 1)
    actual = cpu.library.conv2d_grad_input(parts["gy"], parts["w"], size, *c.window[1:], 1, algorithm)
    assert_not_more_finite(actual, expected)
    if where == "gy":
        assert np.isfinite(np.delete(actual, at[0], axis=0)).all(), "another image of the batch is touched"
    else:
        assert np.isfinite(np.delete(actual, at[1], axis=1)).all(), "another channel is touched"


@settings(max_examples=60)
@given(data=st.data())
def test_grad_weight(data):
    choices = cases.Drawn(data)
    algorithm, where = choices.of([DIRECT, WINOGRAD4]), choices.of(["x", "gy"])
    c = cases.convolution(choices, plain=algorithm != DIRECT)
    parts = {"x": c.x, "gy": c.gy}
    parts[where], at = planted(choices, parts[where])
    with np.errstate(invalid="ignore"):
        expected = reference.conv2d_grad_weight(parts["x"].astype(float), parts["gy"].astype(float), c.window, 1)
    actual = cpu.library.conv2d_grad_weight(parts["x"], parts["gy"], *c.window, 1, algorithm)
    assert_not_more_finite(actual, expected)
    assert np.isfinite(np.delete(actual, at[1], axis=1 if where == "x" else 0)).all(), "another channel is touched"
    if algorithm == DIRECT:
        assert_as_strange(actual, expected)


@pytest.mark.parametrize("kernel", ["conv2d", "conv2d_grad_input", "conv2d_grad_weight"])
@settings(max_examples=60)
@given(data=st.data())
def test_groups(kernel, data):
    """What is not finite stays in its group, in the elements of the reference."""
    choices = cases.Drawn(data)
    c = cases.convolution(choices, grouped=True)
    first, second, *between = {
        "conv2d": (c.x, c.w, None),
        "conv2d_grad_input": (c.gy, c.w, c.x.shape[2:]),
        "conv2d_grad_weight": (c.x, c.gy),
    }[kernel]
    first, second = (
        (planted(choices, first)[0], second) if choices.integer(0, 1) else (first, planted(choices, second)[0])
    )
    rest = (*between, c.window, c.groups)
    with np.errstate(invalid="ignore"):
        expected = getattr(reference, kernel)(first.astype(float), second.astype(float), *rest)
    for way in [way for way in algorithms.candidates(c.shape) if way in (DIRECT, DEPTHWISE)]:
        with mock.patch.object(algorithms, "_rule", lambda shape, way=way: (way, "")):
            actual = getattr(CPU, kernel)(first, second, *rest)
        if kernel == "conv2d_grad_input" and way == DIRECT:  # it multiplies the zeros around gy
            assert_not_more_finite(actual, expected)
        else:
            assert_as_strange(actual, expected)


@pytest.mark.parametrize("algorithm", [DIRECT, WINOGRAD2, WINOGRAD4])
@pytest.mark.parametrize("channels", [8, 13])
def test_a_nan_survives_the_relu_of_every_lane(algorithm, channels):
    x, w = np.zeros((1, 8, 9, 9), np.float32), np.zeros((channels, 8, 3, 3), np.float32)
    for lane in range(channels):
        residual = np.full((1, channels, 9, 9), -1, np.float32)
        residual[0, lane, 4, 4] = np.nan
        y = cpu.library.conv2d(x, w, None, residual, True, (1, 1), (1, 1), (1, 1), 1, algorithm)
        assert np.isnan(y[0, lane, 4, 4])
        assert np.isnan(y).sum() == 1
        assert np.nansum(y) == 0


# Kernels whose first argument gets an infinity or NaN; all others are finite. Batch norm may turn one into the other.
EXACTLY = ("avg_pool2d", "avg_pool2d_split", "max_pool2d_route", "sum", "broadcast_to", "matmul", "pad", "index_add")
AT_LEAST = (
    *("batch_norm_stats", "batch_norm", "batch_norm_grad", "batch_norm_grad_sums", "batch_norm_grad_input"),
    *("log_softmax", "cross_entropy", "cross_entropy_grad"),
)


@pytest.mark.parametrize("kernel", EXACTLY + AT_LEAST)
@settings(max_examples=25)
@given(data=st.data())
def test_other_kernels(kernel, data):
    choices = cases.Drawn(data)
    case = cases.OTHERS[kernel](choices)
    first, _ = planted(choices, case.arguments[0])
    rest = case.arguments[1:]
    wide = [each.astype(float) if CPU.supports(each) else each for each in (first, *rest)]
    with np.errstate(all="ignore"):
        expected = getattr(reference, kernel)(*wide)
    actual = getattr(backend, kernel)(first, *rest)
    check = assert_as_strange if kernel in EXACTLY else assert_not_more_finite
    together = zip(*(each if isinstance(each, tuple) else (each,) for each in (actual, expected)), strict=True)
    for a, e in together:
        check(np.asarray(a), np.asarray(e))


def test_batch_norm_keeps_nan_behind_a_relu_and_in_its_channel():
    rng = np.random.default_rng(0)
    x = channels_last(rng.normal(size=(3, 13, 5, 5)).astype(np.float32))
    ones, zeros = np.ones(13, np.float32), np.zeros(13, np.float32)
    for lane in range(13):
        for value in (np.nan, -np.nan):
            bad, residual = x.copy(), channels_last(np.full(x.shape, -9, np.float32))
            bad[1, lane, 2, 2] = residual[2, lane, 1, 1] = value
            y = CPU.batch_norm(bad, zeros, ones, None, None, 1e-5, residual, True)
            assert np.argwhere(np.isnan(y)).tolist() == [[1, lane, 2, 2], [2, lane, 1, 1]]
            mean, var = CPU.batch_norm_stats(bad)
            assert np.flatnonzero(np.isnan(mean)).tolist() == np.flatnonzero(np.isnan(var)).tolist() == [lane]
