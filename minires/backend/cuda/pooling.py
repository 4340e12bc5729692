"""Pooling on the GPU: prepares the geometry for the kernels of pooling.cu, and launches them."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import MOST, MOST_CHANNELS, fit
from minires.backend.cuda.launch import launch
from minires.backend.cuda.walks import THREADS, walk, walk_alone
from minires.backend.shapes import Pair, Window

LONGEST = 256  # numbers that are added in one chain, a line of a window


def _axes(input_size: Pair, output_size: Pair, pairs: Sequence[Pair]) -> list[int]:
    """The last arguments of every kernel: the vertical number of each pair (sizes, then `pairs`), then the horizontal.

    `pairs` is a Window, or without its dilation for average pooling.
    """
    return [pair[axis] for axis in (0, 1) for pair in (input_size, output_size, *pairs)]


def _countable(n: int, c: int, input_size: Pair, output_size: Pair, window: Window) -> bool:
    """Whether 32 bits count all that the kernels count: pixels, outputs, and places within the padded image."""
    sizes = (*window.padded_size(input_size), *(number for pair in window for number in pair))
    numbers = (n * math.prod(input_size), n * math.prod(output_size), *sizes)
    return max(numbers) <= MOST and c <= MOST_CHANNELS


def _empty_places(n: int, c: int, h: int, w: int) -> Array:
    return sys.modules["cupy"].empty((n, h, w, c), np.uint8).transpose(0, 3, 1, 2)


def _places(argmax: Array) -> Array:
    """`argmax` channels-last: itself, or a copy."""
    if layout.is_channels_last(argmax) and layout.is_aligned(argmax):
        return argmax
    n, c, h, w = argmax.shape
    copy = _empty_places(n, c, h, w)
    copy[...] = argmax
    return copy


def max_pool2d(x: Array, window: Window, ceil_mode: bool) -> tuple[Array, Array]:
    if window.argmax_dtype != "uint8" or not fit(x):
        return NotImplemented
    n, c, *_ = x.shape
    output_size = window.output_size(x.shape[2:], ceil_mode)
    if not _countable(n, c, x.shape[2:], output_size, window):
        return NotImplemented
    x, outputs, across = layout.channels_last(x), n * math.prod(output_size), walk(c)
    y, argmax = layout.empty_image(n, c, *output_size), _empty_places(n, c, *output_size)
    axes = _axes(x.shape[2:], output_size, window)
    grid = across.grid(outputs)
    launch("pooling", "max_pool2d", grid, THREADS, x, y, argmax, outputs, c, across.lanes, *axes)
    return y, argmax


def max_pool2d_route(gy: Array, argmax: Array, input_size: Pair, window: Window) -> Array:
    n, c, *_ = gy.shape
    if argmax.dtype != np.uint8 or not fit(gy) or not _countable(n, c, input_size, gy.shape[2:], window):
        return NotImplemented
    gy, argmax, pixels, across = layout.channels_last(gy), _places(argmax), n * math.prod(input_size), walk(c)
    gx = layout.empty_image(n, c, *input_size)
    axes = _axes(input_size, gy.shape[2:], window)
    grid = across.grid(pixels)
    launch("pooling", "max_pool2d_route", grid, THREADS, gy, argmax, gx, pixels, c, across.lanes, *axes)
    return gx


def max_pool2d_gather(x: Array, argmax: Array, window: Window) -> Array:
    n, c, *output_size = argmax.shape
    if argmax.dtype != np.uint8 or not fit(x) or not _countable(n, c, x.shape[2:], argmax.shape[2:], window):
        return NotImplemented
    x, argmax, outputs, across = layout.channels_last(x), _places(argmax), n * math.prod(output_size), walk_alone(c)
    y = layout.empty_image(*argmax.shape)
    axes = _axes(x.shape[2:], argmax.shape[2:], window)
    grid = across.grid(outputs)
    launch("pooling", "max_pool2d_gather", grid, THREADS, x, argmax, y, outputs, c, across.lanes, *axes)
    return y


def avg_pool2d(x: Array, window: Window, ceil_mode: bool, count_include_pad: bool) -> Array:
    if max(window.kernel) > LONGEST or window.dilation != (1, 1) or not fit(x):
        return NotImplemented
    n, c, *_ = x.shape
    output_size = window.output_size(x.shape[2:], ceil_mode)
    if not _countable(n, c, x.shape[2:], output_size, window):
        return NotImplemented
    x, outputs, across = layout.channels_last(x), n * math.prod(output_size), walk(c)
    y = layout.empty_image(n, c, *output_size)
    axes = _axes(x.shape[2:], output_size, window[:3])
    grid, inclusive = across.grid(outputs), bool(count_include_pad)
    launch("pooling", "avg_pool2d", grid, THREADS, x, y, outputs, c, across.lanes, inclusive, *axes)
    return y


def avg_pool2d_split(gy: Array, input_size: Pair, window: Window, count_include_pad: bool) -> Array:
    n, c, *_ = gy.shape
    if max(window.kernel) > LONGEST or window.dilation != (1, 1) or not fit(gy):
        return NotImplemented
    if not _countable(n, c, input_size, gy.shape[2:], window):
        return NotImplemented
    gy, pixels, across = layout.channels_last(gy), n * math.prod(input_size), walk(c)
    gx = layout.empty_image(n, c, *input_size)
    axes = _axes(input_size, gy.shape[2:], window[:3])
    grid, inclusive = across.grid(pixels), bool(count_include_pad)
    launch("pooling", "avg_pool2d_split", grid, THREADS, gy, gx, pixels, c, across.lanes, inclusive, *axes)
    return gx
