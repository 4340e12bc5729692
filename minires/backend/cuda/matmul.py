"""The matrix product of linear layers on the GPU.

The kernel is our own because CuPy forbids calls of cuBLAS while a graph is captured.
"""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import is_supported
from minires.backend.cuda.launch import blocks, is_aligned, is_dense, launch
from minires.backend.cuda.precision import tf32
from minires.backend.cuda.tiles import MAX_COLUMNS, MAX_ROWS, choose_tile, is_too_deep, split_k

THREADS = 256  # of a block whose threads compute one number each


def matmul(x: Array, y: Array) -> Array:
    if x.ndim != 2 or y.ndim != 2 or not is_supported(x, y):
        return NotImplemented
    if max(*x.shape, y.shape[0]) > MAX_ROWS or y.shape[1] > MAX_COLUMNS or x.shape[1] != y.shape[0]:
        return NotImplemented
    (rows, depth), columns = x.shape, y.shape[1]
    if is_too_deep(depth):
        return NotImplemented
    x, y = _readable(x), _readable(y)
    constants = {"TF32": tf32()}
    tile = choose_tile(rows, columns, constants["TF32"])
    constants |= tile.constants
    splits, chunk = split_k(tile, rows, columns, depth)
    parts = layout.empty(splits, rows, columns)
    strides = [stride // x.dtype.itemsize for stride in (*x.strides, *y.strides)]
    grid = (*tile.grid(rows, columns), splits)
    launch("matmul", "matmul", grid, tile.threads, x, y, parts, rows, columns, depth, *strides, chunk, **constants)
    if splits == 1:
        return parts[0]
    z = layout.empty(rows, columns)
    launch("matmul", "matmul_reduce", (blocks(z.size, THREADS),), THREADS, parts, z, splits, z.size, **constants)
    return z


def _readable(x: Array) -> Array:
    """The matrix itself if it, or its transpose, lies in memory without gaps; else a copy."""
    return x if is_dense(x) and is_aligned(x) else layout.dense(x)
