"""Kernels in C that change an image's shape and keep it channels-last in memory."""

from __future__ import annotations

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
    return images.pad(x, widths, value, machine.library.empty_image)


def index_add(g: Array, key: Any, shape: tuple[int, ...]) -> Array:
    return NotImplemented if 0 in shape else images.index_add(g, key, shape, machine.library.empty_image)
