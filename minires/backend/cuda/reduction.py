"""Sums over the pixels of images and over the rows of matrices, on the GPU."""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import fit, is_image_or_matrix
from minires.backend.cuda.launch import blocks, launch
from minires.backend.cuda.walks import FINISHED, THREADS, chunks, walk


def sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
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
