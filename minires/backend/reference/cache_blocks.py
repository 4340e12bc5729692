"""Elementwise kernels of many steps, one block of elements after another: a block and its intermediate results fit the
processor's cache, whole arrays would travel to memory and back in each step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from minires.backend.arrays import Array

BLOCK = 1 << 14  # elements
Kernel = Callable[[Array], Array]


def in_cache_blocks(kernel: Kernel) -> Kernel:
    """Decorator: `kernel` of one array, element by element, computes a large NumPy array block by block."""

    @functools.wraps(kernel)
    def call(x: Array) -> Array:
        if not isinstance(x, np.ndarray) or x.size <= BLOCK:
            return kernel(x)
        # Axes from the slowest to the fastest in memory: then the rows of x, and of y like it, are rows in memory.
        order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
        source = x.transpose(order)
        target = np.empty(source.shape, x.dtype)
        flat_source, flat_target = source.reshape(-1), target.reshape(-1)
        for start in range(0, x.size, BLOCK):
            flat_target[start : start + BLOCK] = kernel(flat_source[start : start + BLOCK])
        return target.transpose(sorted(range(x.ndim), key=order.__getitem__))

    return call
