"""Pooling on the GPU: prepares the geometry for the kernels of pooling.cu, and launches them."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import MAX_CHANNELS, MAX_ROWS, is_supported
from minires.backend.cuda.launch import is_aligned, launch
from minires.backend.cuda.row_blocks import THREADS, row_block, scalar_row_block
from minires.backend.shapes import Pair, Window

MAX_SIDE = 256  # of an averaged window: its kernel adds a line in one chain, whose rounding error grows with it


def _axes(input_size: Pair, output_size: Pair, pairs: Sequence[Pair]) -> list[int]:
    """The kernels' last arguments: the vertical number of each pair (sizes, then `pairs`), then the horizontal.

    `pairs` is a Window, or without its dilation for average pooling.
    """
    return [pair[axis] for axis in (0, 1) for pair in (input_size, output_size, *pairs)]


def _countable(n: int, c: int, input_size: Pair, output_size: Pair, window: Window) -> bool:
    """Whether 32 bits hold all numbers that the kernels count: pixels, outputs, and positions in the padded image."""
    sizes = (*window.padded_size(input_size), *(number for pair in window for number in pair))
    numbers = (n * math.prod(input_size), n * math.prod(output_size), *sizes)
    return max(numbers) <= MAX_ROWS and c <= MAX_CHANNELS


def _empty_argmax(n: int, c: int, h: int, w: int) -> Array:
    return sys.modules["cupy"].empty((n, h, w, c), np.uint8).transpose(0, 3, 1, 2)


def _channels_last(argmax: Array) -> Array:
    """`argmax` itself if it is channels-last and aligned, else a copy that is."""
    if layout.is_channels_last(argmax) and is_aligned(argmax):
        return argmax
    n, c, h, w = argmax.shape
    copy = _empty_argmax(n, c, h, w)
    copy[...] = argmax
    return copy


def max_pool2d(x: Array, window: Window, ceil_mode: bool) -> tuple[Array, Array]:
    if window.argmax_dtype != "uint8" or not is_supported(x):
        return NotImplemented
    n, c, *_ = x.shape
    output_size = window.output_size(x.shape[2:], ceil_mode)
    if not _countable(n, c, x.shape[2:], output_size, window):
        return NotImplemented
    x, outputs, block = layout.channels_last(x), n * math.prod(output_size), row_block(c)
    y, argmax = layout.empty_image(n, c, *output_size), _empty_argmax(n, c, *output_size)
    axes = _axes(x.shape[2:], output_size, window)
    grid = block.grid(outputs)
    launch("pooling", "max_pool2d", grid, THREADS, x, y, argmax, outputs, c, block.lanes, *axes)
    return y, argmax


def max_pool2d_route(gy: Array, argmax: Array, input_size: Pair, window: Window) -> Array:
    n, c, *_ = gy.shape
    if argmax.dtype != np.uint8 or not is_supported(gy) or not _countable(n, c, input_size, gy.shape[2:], window):
        return NotImplemented
    gy, argmax = layout.channels_last(gy), _channels_last(argmax)
    pixels, block = n * math.prod(input_size), row_block(c)
    gx = layout.empty_image(n, c, *input_size)
    axes = _axes(input_size, gy.shape[2:], window)
    grid = block.grid(pixels)
    launch("pooling", "max_pool2d_route", grid, THREADS, gy, argmax, gx, pixels, c, block.lanes, *axes)
    return gx


def max_pool2d_gather(x: Array, argmax: Array, window: Window) -> Array:
    n, c, *output_size = argmax.shape
    if argmax.dtype != np.uint8 or not is_supported(x) or not _countable(n, c, x.shape[2:], argmax.shape[2:], window):
        return NotImplemented
    x, argmax = layout.channels_last(x), _channels_last(argmax)
    outputs, block = n * math.prod(output_size), scalar_row_block(c)
    y = layout.empty_image(*argmax.shape)
    axes = _axes(x.shape[2:], argmax.shape[2:], window)
    grid = block.grid(outputs)
    launch("pooling", "max_pool2d_gather", grid, THREADS, x, argmax, y, outputs, c, block.lanes, *axes)
    return y


def avg_pool2d(x: Array, window: Window, ceil_mode: bool, count_include_pad: bool) -> Array:
    if max(window.kernel) > MAX_SIDE or window.dilation != (1, 1) or not is_supported(x):
        return NotImplemented
    n, c, *_ = x.shape
    output_size = window.output_size(x.shape[2:], ceil_mode)
    if not _countable(n, c, x.shape[2:], output_size, window):
        return NotImplemented
    x, outputs, block = layout.channels_last(x), n * math.prod(output_size), row_block(c)
    y = layout.empty_image(n, c, *output_size)
    axes = _axes(x.shape[2:], output_size, window[:3])
    grid, inclusive = block.grid(outputs), bool(count_include_pad)
    launch("pooling", "avg_pool2d", grid, THREADS, x, y, outputs, c, block.lanes, inclusive, *axes)
    return y


def avg_pool2d_split(gy: Array, input_size: Pair, window: Window, count_include_pad: bool) -> Array:
    n, c, *_ = gy.shape
    if max(window.kernel) > MAX_SIDE or window.dilation != (1, 1) or not is_supported(gy):
        return NotImplemented
    if not _countable(n, c, input_size, gy.shape[2:], window):
        return NotImplemented
    gy, pixels, block = layout.channels_last(gy), n * math.prod(input_size), row_block(c)
    gx = layout.empty_image(n, c, *input_size)
    axes = _axes(input_size, gy.shape[2:], window[:3])
    grid, inclusive = block.grid(pixels), bool(count_include_pad)
    launch("pooling", "avg_pool2d_split", grid, THREADS, gy, gx, pixels, c, block.lanes, inclusive, *axes)
    return gx
