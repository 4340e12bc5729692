"""Pooling on the GPU: the arguments that describe its geometry to the kernels of pooling.cu."""

from __future__ import annotations

import math
import sys

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import MAX_CHANNELS, MAX_ROWS, is_supported
from minires.backend.cuda.launch import is_aligned, launch
from minires.backend.cuda.row_blocks import THREADS, row_block, scalar_row_block
from minires.backend.shapes import Pair, pool_size

MAX_SIDE = 256  # of an averaged window: its kernel adds a line in one chain, whose rounding error grows with it


def _pooled(image: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> Pair:
    ho, wo = (pool_size(*each, ceil_mode) for each in zip(image, kernel, stride, padding, dilation, strict=True))
    return ho, wo


def _axes(image: Pair, output: Pair, *windows: Pair) -> list[int]:
    """The kernels' last arguments: size, windows, kernel, stride, padding (and dilation), vertical, then horizontal."""
    return [pair[axis] for axis in (0, 1) for pair in (image, output, *windows)]


def _countable(n: int, c: int, image: Pair, output: Pair, *windows: Pair) -> bool:
    """Whether 32 bits hold all numbers that the kernels count: pixels, outputs, and positions in the padded image."""
    padded = [size + 2 * p for size, p in zip(image, windows[2], strict=True)]
    numbers = (n * math.prod(image), n * math.prod(output), *padded, *(k for pair in windows for k in pair))
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


def max_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    if math.prod(kernel_size) > 256 or not is_supported(x):
        return NotImplemented
    windows = (kernel_size, stride, padding, dilation)
    n, c, *_ = x.shape
    output = _pooled(x.shape[2:], *windows, ceil_mode)
    if not _countable(n, c, x.shape[2:], output, *windows):
        return NotImplemented
    x, outputs, block = layout.channels_last(x), n * math.prod(output), row_block(c)
    y, argmax = layout.empty_image(n, c, *output), _empty_argmax(n, c, *output)
    axes = _axes(x.shape[2:], output, *windows)
    grid = block.grid(outputs)
    launch("pooling", "max_pool2d", grid, THREADS, x, y, argmax, outputs, c, block.lanes, *axes)
    return y, argmax


def max_pool2d_route(
    gy: Array, argmax: Array, image: Pair, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    windows = (kernel_size, stride, padding, dilation)
    n, c, *_ = gy.shape
    if argmax.dtype != np.uint8 or not is_supported(gy) or not _countable(n, c, image, gy.shape[2:], *windows):
        return NotImplemented
    gy, argmax, pixels, block = layout.channels_last(gy), _channels_last(argmax), n * math.prod(image), row_block(c)
    gx = layout.empty_image(n, c, *image)
    axes = _axes(image, gy.shape[2:], *windows)
    grid = block.grid(pixels)
    launch("pooling", "max_pool2d_route", grid, THREADS, gy, argmax, gx, pixels, c, block.lanes, *axes)
    return gx


def max_pool2d_gather(x: Array, argmax: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    windows = (kernel_size, stride, padding, dilation)
    n, c, *output = argmax.shape
    if argmax.dtype != np.uint8 or not is_supported(x) or not _countable(n, c, x.shape[2:], argmax.shape[2:], *windows):
        return NotImplemented
    x, argmax = layout.channels_last(x), _channels_last(argmax)
    outputs, block = n * math.prod(output), scalar_row_block(c)
    y = layout.empty_image(*argmax.shape)
    axes = _axes(x.shape[2:], argmax.shape[2:], *windows)
    grid = block.grid(outputs)
    launch("pooling", "max_pool2d_gather", grid, THREADS, x, argmax, y, outputs, c, block.lanes, *axes)
    return y


def avg_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Pair, ceil_mode: bool, count_include_pad: bool
) -> Array:
    if max(kernel_size) > MAX_SIDE or not is_supported(x):
        return NotImplemented
    windows = (kernel_size, stride, padding)
    n, c, *_ = x.shape
    output = _pooled(x.shape[2:], *windows, (1, 1), ceil_mode)
    if not _countable(n, c, x.shape[2:], output, *windows):
        return NotImplemented
    x, outputs, block = layout.channels_last(x), n * math.prod(output), row_block(c)
    y = layout.empty_image(n, c, *output)
    axes = _axes(x.shape[2:], output, *windows)
    grid, inclusive = block.grid(outputs), bool(count_include_pad)
    launch("pooling", "avg_pool2d", grid, THREADS, x, y, outputs, c, block.lanes, inclusive, *axes)
    return y


def avg_pool2d_split(
    gy: Array, image: Pair, kernel_size: Pair, stride: Pair, padding: Pair, count_include_pad: bool
) -> Array:
    windows = (kernel_size, stride, padding)
    n, c, *_ = gy.shape
    if max(kernel_size) > MAX_SIDE or not is_supported(gy) or not _countable(n, c, image, gy.shape[2:], *windows):
        return NotImplemented
    gy, pixels, block = layout.channels_last(gy), n * math.prod(image), row_block(c)
    gx = layout.empty_image(n, c, *image)
    axes = _axes(image, gy.shape[2:], *windows)
    grid, inclusive = block.grid(pixels), bool(count_include_pad)
    launch("pooling", "avg_pool2d_split", grid, THREADS, gy, gx, pixels, c, block.lanes, inclusive, *axes)
    return gx
