"""Kernels that keep an image channels-last in memory where the reference would not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minires.backend.arrays import Array
from minires.backend.cpu import machine
from minires.backend.cpu.eligibility import is_supported
from minires.backend.shapes import Pair


def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
    """Its adjoint: one number for each image and channel, on all pixels. Other broadcasts are views, and free."""
    if len(shape) != 4 or x.shape != (*shape[:2], 1, 1) or 0 in shape:
        return NotImplemented
    return machine.library.repeat_pixels(x.reshape(x.shape[:2]), shape[2], shape[3])


def pad(x: Array, widths: Sequence[Pair], value: float) -> Array:
    """Of images: the reference's result would not be channels-last, and every kernel behind it slower for that."""
    if x.ndim != 4 or not is_supported(x):
        return NotImplemented
    y = machine.library.empty_image(*(before + n + after for (before, after), n in zip(widths, x.shape, strict=True)))
    y.fill(value)
    y[tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))] = x
    return y


def index_add(g: Array, key: Any, shape: tuple[int, ...]) -> Array:
    """Of images, where the key is slices: no element is named twice."""
    if len(shape) != 4 or not isinstance(key, tuple) or not all(isinstance(part, slice) for part in key) or 0 in shape:
        return NotImplemented
    z = machine.library.empty_image(*shape)
    z.fill(0)
    z[key] = g
    return z
