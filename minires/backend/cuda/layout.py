"""Layouts: on a GPU too an image is (N, C, H, W) by shape and channels-last in memory, as N·H·W rows of C numbers."""

from __future__ import annotations

import sys

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cuda.eligibility import serves
from minires.backend.cuda.launch import ALIGNMENT, MOST_BLOCKS, blocks, is_dense, launch


def empty(*shape: int) -> Array:
    """An uninitialised float32 array on the current device, in C order."""
    return sys.modules["cupy"].empty(shape, np.float32)


def empty_image(n: int, c: int, h: int, w: int) -> Array:
    """An uninitialised image (N, C, H, W) on the current device, channels-last in memory."""
    return empty(n, h, w, c).transpose(0, 3, 1, 2)


def empty_like(x: Array) -> Array:
    """As `x` in shape and layout: channels-last for an image that is, else in C order."""
    return empty_image(*x.shape) if is_channels_last(x) else empty(*x.shape)


def is_aligned(x: Array) -> bool:
    """Whether kernels may read four numbers of `x` at once."""
    return bool(x.data.ptr % ALIGNMENT == 0)


def is_writable_in_place(x: Array) -> bool:
    """Whether a kernel can write into `x` where it lies, whatever the order of its axes in memory."""
    return serves(x) and (x.size == 0 or (is_dense(x) and is_aligned(x)))


def is_channels_last(x: Array) -> bool:
    """Whether an image lies in memory as (N, H, W, C), without gaps."""
    return x.ndim == 4 and bool(x.transpose(0, 2, 3, 1).flags.c_contiguous)


def channels_last(x: Array) -> Array:
    """An image as kernels want it: itself where it is channels-last and aligned, else a copy that is."""
    if is_channels_last(x) and is_aligned(x):
        return x
    n, c, h, w = x.shape
    y = empty_image(n, c, h, w)
    grid = (blocks(h * w, 32), blocks(c, 32), n)
    if x.flags.c_contiguous and is_aligned(x) and max(grid[1:]) <= MOST_BLOCKS:
        launch("layout", "to_channels_last", grid, 256, x, y, c, h * w)
    else:
        y[...] = x
    return y


def dense(x: Array) -> Array:
    """`x` in C order and aligned: itself, or a copy."""
    if x.flags.c_contiguous and is_aligned(x):
        return x
    y = empty(*x.shape)
    y[...] = x
    return y


def rows(x: Array) -> tuple[Array, int, int]:
    """(x as it is to be read, number of rows, channels C) of an image (N, C, H, W) or a matrix (M, C)."""
    if x.ndim == 4:
        return channels_last(x), x.shape[0] * x.shape[2] * x.shape[3], x.shape[1]
    return dense(x), x.shape[0], x.shape[1]


def same_layout(*arrays: Array) -> list[Array] | None:
    """The arrays so that one pass over memory meets their elements in the same order; copies where they are needed.

    All are channels-last, or all in C order. None where shapes differ.
    """
    first = arrays[0]
    if any(array.shape != first.shape for array in arrays):
        return None
    for is_so in (_is_contiguous, is_channels_last):
        if all(is_so(array) and is_aligned(array) for array in arrays):
            return list(arrays)
    return [channels_last(array) if first.ndim == 4 else dense(array) for array in arrays]


def _is_contiguous(x: Array) -> bool:
    return bool(x.flags.c_contiguous)
