"""Kernels that keep an image channels-last in memory where the reference would not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import MOST, MOST_CHANNELS, fit
from minires.backend.cuda.launch import launch
from minires.backend.cuda.walks import THREADS, chunks, walk
from minires.backend.shapes import Pair


def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
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


def index_add(g: Array, key: Any, shape: tuple[int, ...]) -> Array:
    """Of images, where the key is slices: no element is named twice."""
    if len(shape) != 4 or not isinstance(key, tuple) or not all(isinstance(part, slice) for part in key) or not fit(g):
        return NotImplemented
    z = layout.empty_image(shape[0], shape[1], shape[2], shape[3])
    z.fill(0)
    z[key] = g
    return z
