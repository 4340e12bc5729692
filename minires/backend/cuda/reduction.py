"""Sums over rows and their adjoint, and what else keeps an image channels-last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import MOST, MOST_CHANNELS, fit, is_image_or_matrix
from minires.backend.cuda.launch import blocks, launch
from minires.backend.cuda.walks import FINISHED, THREADS, chunks, walk
from minires.backend.shapes import Pair

Axes = tuple[int, ...]


def sum(x: Array, axes: Axes, keepdims: bool) -> Array:
    """Over all pixels of channels-last images: the global pooling; of all images, or over rows: a bias's gradient."""
    if not fit(x) or not is_image_or_matrix(x) or (x.ndim == 4 and not layout.is_channels_last(x)):
        return NotImplemented
    if (x.ndim, axes) == (4, (2, 3)):
        y = _sum_rows(x, x.shape[0])
    elif (x.ndim, axes) in ((4, (0, 2, 3)), (2, (0,))):
        y = _sum_rows(x, 1)[0]
    else:
        return NotImplemented
    return y.reshape([1 if axis in axes else n for axis, n in enumerate(x.shape)]) if keepdims else y


def _sum_rows(x: Array, count: int) -> Array:
    """(count, C): x is `count` images of equally many rows of C numbers."""
    x, rows, c = layout.rows(x)
    across = walk(c)
    cut = chunks(across, rows // count, count)
    sums = layout.empty(count * cut.number, c)
    grid = (count * cut.number, across.columns)
    launch("reduction", "sum_rows", grid, THREADS, x, sums, rows // count, c, across.lanes, cut.number, cut.rows)
    if cut.number == 1:
        return sums
    y = layout.empty(count, c)
    launch("reduction", "sum_chunks", (count, blocks(c, FINISHED)), THREADS, sums, y, c, cut.number)
    return y


def broadcast_to(x: Array, shape: Axes) -> Array:
    """Its adjoint: one number for each image and channel, on all pixels. Other broadcasts are views, and free."""
    if len(shape) != 4 or x.shape != (*shape[:2], 1, 1) or not fit(x) or 0 in shape:
        return NotImplemented
    n, c, h, w = shape
    if n * h * w > MOST or c > MOST_CHANNELS:
        return NotImplemented
    across = walk(c)
    cut = chunks(across, h * w, n)
    y = layout.empty_image(n, c, h, w)
    grid = (n * cut.number, across.columns)
    x = layout.dense(x.reshape(n, c))
    launch("reduction", "repeat_rows", grid, THREADS, x, y, h * w, c, across.lanes, cut.number, cut.rows)
    return y


def pad(x: Array, widths: Sequence[Pair], value: float) -> Array:
    """Of images: the reference's result would not be channels-last, and every kernel behind it slower for that."""
    if x.ndim != 4 or not fit(x):
        return NotImplemented
    n, c, h, w = (before + size + after for (before, after), size in zip(widths, x.shape, strict=True))
    y = layout.empty_image(n, c, h, w)
    y.fill(value)
    y[tuple(slice(before, before + size) for (before, _), size in zip(widths, x.shape, strict=True))] = x
    return y


def index_add(g: Array, key: Any, shape: Axes) -> Array:
    """Of images, where the key is slices: no element is named twice."""
    if len(shape) != 4 or not isinstance(key, tuple) or not all(isinstance(part, slice) for part in key) or not fit(g):
        return NotImplemented
    z = layout.empty_image(shape[0], shape[1], shape[2], shape[3])
    z.fill(0)
    z[key] = g
    return z
