"""Kernels in C that change an image's shape and keep it channels-last in memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minires.backend import images
from minires.backend.arrays import Array
from minires.backend.cpu import machine
from minires.backend.cpu.eligibility import is_supported
from minires.backend.shapes import Pair


def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
    """(N, C, 1, 1) -> (N, C, H, W), the adjoint of global pooling. Other broadcasts are views, and the reference's."""
    if len(shape) != 4 or x.shape != (*shape[:2], 1, 1) or 0 in shape:
        return NotImplemented
    return machine.library.repeat_pixels(x.reshape(x.shape[:2]), shape[2], shape[3])


def pad(x: Array, widths: Sequence[Pair], value: float) -> Array:
    if x.ndim != 4 or not is_supported(x):
        return NotImplemented
    if value or math.copysign(1, value) < 0:  # −0 is not the kernel's zero
        return images.pad(x, widths, value, machine.library.empty_image)
    start = tuple(before for before, _ in widths)
    shape = tuple(before + size + after for (before, after), size in zip(widths, x.shape, strict=True))
    return machine.library.place_image(x, start, (1, 1, 1, 1), shape)


def index_add(g: Array, key: Any, shape: tuple[int, ...]) -> Array:
    if 0 in shape:
        return NotImplemented
    is_slices = isinstance(key, tuple) and len(key) == len(shape) == 4 and all(isinstance(part, slice) for part in key)
    if not is_slices or not is_supported(g):
        return images.index_add(g, key, shape, machine.library.empty_image)
    start, stop, step = zip(*(part.indices(size) for part, size in zip(key, shape, strict=True)), strict=True)
    if min(step) < 1 or g.shape != tuple(len(range(*each)) for each in zip(start, stop, step, strict=True)):
        return images.index_add(g, key, shape, machine.library.empty_image)
    return machine.library.place_image(g, start, step, shape)
