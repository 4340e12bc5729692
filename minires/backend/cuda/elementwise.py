"""Number by number, on the GPU: arrays of one shape, in one order in memory."""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import fit
from minires.backend.cuda.launch import blocks, launch

THREADS = 256
MOST_BLOCKS = 1 << 16  # beyond them a thread takes several fours


def _map(kernel: str, *arrays: Array) -> Array:
    """`kernel` on arrays that meet element by element; declined where they broadcast."""
    if not fit(*arrays):
        return NotImplemented
    readable = layout.same_layout(*arrays)
    if readable is None:
        return NotImplemented
    y = layout.empty_like(readable[0])
    grid = (min(MOST_BLOCKS, blocks(y.size, 4 * THREADS)),)
    launch("elementwise", kernel, grid, THREADS, *readable, y, y.size)
    return y


def add(x: Array, y: Array) -> Array:
    return _map("add", x, y)


def add_relu(x: Array, y: Array) -> Array:
    """max(x + y, 0), where a residual connection ends; not in the contract."""
    return _map("add_relu", x, y)


def relu(x: Array) -> Array:
    return _map("relu", x)


def relu_mask(gy: Array, y: Array) -> Array:
    return _map("relu_mask", gy, y)
