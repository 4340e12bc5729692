"""`pad` and `index_add` of images for the providers whose images are channels-last in memory.

The reference would return a result in C order, and every kernel that follows would have to convert it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minires.backend.arrays import Array
from minires.backend.shapes import Pair

EmptyImage = Callable[[int, int, int, int], Array]  # allocates (N, C, H, W), channels-last in memory


def pad(x: Array, widths: Sequence[Pair], value: float, empty_image: EmptyImage) -> Array:
    """`contract.pad` of an image."""
    n, c, h, w = (before + size + after for (before, after), size in zip(widths, x.shape, strict=True))
    y = empty_image(n, c, h, w)
    y.fill(value)
    y[tuple(slice(before, before + size) for (before, _), size in zip(widths, x.shape, strict=True))] = x
    return y


def index_add(g: Array, key: Any, shape: tuple[int, ...], empty_image: EmptyImage) -> Array:
    """`contract.index_add` into an image. Declined unless `key` is a tuple of slices: it selects no element twice."""
    if len(shape) != 4 or not isinstance(key, tuple) or not all(isinstance(part, slice) for part in key):
        return NotImplemented
    n, c, h, w = shape
    z = empty_image(n, c, h, w)
    z.fill(0)
    z[key] = g
    return z
