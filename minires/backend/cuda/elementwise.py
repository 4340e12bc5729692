"""Elementwise kernels on the GPU, for arrays of one shape."""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import is_supported
from minires.backend.cuda.launch import blocks, launch

THREADS = 256
MAX_BLOCKS = 1 << 16  # with more elements, a thread computes four at a time in a loop


def _map(kernel: str, *arrays: Array) -> Array:
    """Launch `kernel` on arrays of one shape; declined where they would have to be broadcast."""
    if not is_supported(*arrays):
        return NotImplemented
    readable = layout.same_layout(*arrays)
    if readable is None:
        return NotImplemented
    y = layout.empty_like(readable[0])
    grid = (min(MAX_BLOCKS, blocks(y.size, 4 * THREADS)),)
    launch("elementwise", kernel, grid, THREADS, *readable, y, y.size)
    return y


def add(x: Array, y: Array) -> Array:
    return _map("add", x, y)


def add_relu(x: Array, y: Array) -> Array:
    """max(x + y, 0), the end of a residual block. It is not in the contract: a compiled plan calls it."""
    return _map("add_relu", x, y)


def relu(x: Array) -> Array:
    return _map("relu", x)


def relu_mask(gy: Array, y: Array) -> Array:
    return _map("relu_mask", gy, y)
