"""The matrix product of linear layers on the GPU: kernels of our own, for those of cuBLAS refuse a graph's capture."""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import fit
from minires.backend.cuda.launch import blocks, is_dense, launch
from minires.backend.cuda.precision import tf32
from minires.backend.cuda.tiles import MOST_COLUMNS, MOST_ROWS, choose, divide, is_too_deep

THREADS = 256  # in a block, where each thread makes one number


def matmul(x: Array, y: Array) -> Array:
    if x.ndim != 2 or y.ndim != 2 or not fit(x, y):
        return NotImplemented
    if max(*x.shape, y.shape[0]) > MOST_ROWS or y.shape[1] > MOST_COLUMNS or x.shape[1] != y.shape[0]:
        return NotImplemented
    (rows, depth), columns = x.shape, y.shape[1]
    if is_too_deep(depth):
        return NotImplemented
    x, y = _readable(x), _readable(y)
    constants = {"TF32": tf32()}
    tile = choose(rows, columns, constants["TF32"])
    constants |= tile.constants
    splits, chunk = divide(tile, rows, columns, depth)
    parts = layout.empty(splits, rows, columns)
    strides = [stride // x.dtype.itemsize for stride in (*x.strides, *y.strides)]
    grid = (*tile.grid(rows, columns), splits)
    launch("matmul", "matmul", grid, tile.threads, x, y, parts, rows, columns, depth, *strides, chunk, **constants)
    if splits == 1:
        return parts[0]
    z = layout.empty(rows, columns)
    launch("matmul", "finish_matmul", (blocks(z.size, THREADS),), THREADS, parts, z, splits, z.size, **constants)
    return z


def _readable(x: Array) -> Array:
    """A matrix without gaps, as it is or transposed: itself, or a copy."""
    return x if is_dense(x) and layout.is_aligned(x) else layout.dense(x)
