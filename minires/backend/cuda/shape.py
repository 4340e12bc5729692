"""Kernels on the GPU that change an image's shape and keep it channels-last in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minires.backend import images
from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import MAX_CHANNELS, MAX_ROWS, is_supported
from minires.backend.cuda.launch import launch
from minires.backend.cuda.row_blocks import THREADS, row_block, split_rows
from minires.backend.shapes import Pair


def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
    """(N, C, 1, 1) -> (N, C, H, W), the adjoint of global pooling. Other broadcasts are views, and the reference's."""
    if len(shape) != 4 or x.shape != (*shape[:2], 1, 1) or not is_supported(x) or 0 in shape:
        return NotImplemented
    n, c, h, w = shape
    if n * h * w > MAX_ROWS or c > MAX_CHANNELS:
        return NotImplemented
    block = row_block(c)
    chunks = split_rows(block, h * w, n)
    y = layout.empty_image(n, c, h, w)
    grid = (n * chunks.number, block.channel_blocks)
    x = layout.dense(x.reshape(n, c))
    launch("reduction", "repeat_rows", grid, THREADS, x, y, h * w, c, block.lanes, chunks.number, chunks.rows)
    return y


def pad(x: Array, widths: Sequence[Pair], value: float) -> Array:
    if x.ndim != 4 or not is_supported(x):
        return NotImplemented
    return images.pad(x, widths, value, layout.empty_image)


def index_add(g: Array, key: Any, shape: tuple[int, ...]) -> Array:
    return images.index_add(g, key, shape, layout.empty_image) if is_supported(g) else NotImplemented
