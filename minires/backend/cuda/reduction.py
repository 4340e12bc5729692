"""Sums over the pixels of images and over the rows of matrices, on the GPU."""

from __future__ import annotations

from minires.backend.arrays import Array, keep_dims
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import is_image_or_matrix, is_supported
from minires.backend.cuda.launch import blocks, launch
from minires.backend.cuda.row_blocks import FINAL_CHANNELS, THREADS, row_block, split_rows


def sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Over the pixels of each channels-last image (global pooling), of all images, or over rows (a bias's gradient)."""
    if not is_supported(x) or not is_image_or_matrix(x) or (x.ndim == 4 and not layout.is_channels_last(x)):
        return NotImplemented
    if (x.ndim, axes) == (4, (2, 3)):
        y = _sum_rows(x, x.shape[0])
    elif (x.ndim, axes) in ((4, (0, 2, 3)), (2, (0,))):
        y = _sum_rows(x, 1)[0]
    else:
        return NotImplemented
    return keep_dims(y, x.shape, axes) if keepdims else y


def _sum_rows(x: Array, count: int) -> Array:
    """(count, C): the sums over x, which is split into `count` images of equally many rows of C numbers."""
    x, rows, c = layout.rows(x)
    block = row_block(c)
    chunks = split_rows(block, rows // count, count)
    sums = layout.empty(count * chunks.number, c)
    grid = (count * chunks.number, block.channel_blocks)
    launch("reduction", "sum_rows", grid, THREADS, x, sums, rows // count, c, block.lanes, chunks.number, chunks.rows)
    if chunks.number == 1:
        return sums
    y = layout.empty(count, c)
    launch("reduction", "sum_chunks", (count, blocks(c, FINAL_CHANNELS)), THREADS, sums, y, c, chunks.number)
    return y
