"""The layout of images on the GPU: (N, C, H, W) in shape, channels-last in memory: N·H·W rows of C numbers."""

from __future__ import annotations

import sys

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cuda.eligibility import supports
from minires.backend.cuda.launch import MAX_GRID_YZ, blocks, is_aligned, is_dense, launch


def empty(*shape: int) -> Array:
    """An uninitialised float32 array on the current device, in C order."""
    return sys.modules["cupy"].empty(shape, np.float32)


def empty_image(n: int, c: int, h: int, w: int) -> Array:
    """An uninitialised image (N, C, H, W) on the current device, channels-last in memory."""
    return empty(n, h, w, c).transpose(0, 3, 1, 2)


def empty_like(x: Array) -> Array:
    """An uninitialised array of the shape of `x`: channels-last where `x` is, else in C order."""
    return empty_image(*x.shape) if is_channels_last(x) else empty(*x.shape)


def is_contiguous(x: Array) -> bool:
    """Whether an array lies in memory in C order, without gaps."""
    return bool(x.flags.c_contiguous)


def is_writable_in_place(x: Array) -> bool:
    """Whether a kernel can write into the memory of `x`, whatever the order of its axes there."""
    return supports(x) and (x.size == 0 or (is_dense(x) and is_aligned(x)))


def is_channels_last(x: Array) -> bool:
    """Whether an image lies in memory as (N, H, W, C), without gaps."""
    return x.ndim == 4 and is_contiguous(x.transpose(0, 2, 3, 1))


def channels_last(x: Array) -> Array:
    """The image itself if it is channels-last and aligned, else a copy that is."""
    if is_channels_last(x) and is_aligned(x):
        return x
    n, c, h, w = x.shape
    y = empty_image(n, c, h, w)
    grid = (blocks(h * w, 32), blocks(c, 32), n)
    if is_contiguous(x) and is_aligned(x) and max(grid[1:]) <= MAX_GRID_YZ:
        launch("layout", "to_channels_last", grid, 256, x, y, c, h * w)
    else:
        y[...] = x
    return y


def dense(x: Array) -> Array:
    """The array itself if it is in C order and aligned, else a copy that is."""
    if is_contiguous(x) and is_aligned(x):
        return x
    y = sys.modules["cupy"].empty(x.shape, x.dtype)
    y[...] = x
    return y


def rows(x: Array) -> tuple[Array, int, int]:
    """(x in the layout that kernels read, number of rows, C) of an image (N, C, H, W) or a matrix (M, C)."""
    if x.ndim == 4:
        return channels_last(x), x.shape[0] * x.shape[2] * x.shape[3], x.shape[1]
    return dense(x), x.shape[0], x.shape[1]


def same_layout(*arrays: Array) -> list[Array] | None:
    """The arrays, copied where needed so that all are channels-last or all in C order. None where shapes differ.

    One pass over memory then meets their elements in the same order.
    """
    first = arrays[0]
    if any(array.shape != first.shape for array in arrays):
        return None
    for has_layout in (is_contiguous, is_channels_last):
        if all(has_layout(array) and is_aligned(array) for array in arrays):
            return list(arrays)
    return [channels_last(array) if first.ndim == 4 else dense(array) for array in arrays]
