"""Which arrays the C kernels work on: NumPy arrays of float32 that are not empty."""

from __future__ import annotations

import numpy as np

from minires.backend.arrays import Array


def supports(array: Array) -> bool:
    """Whether `array` is a NumPy array of float32."""
    return isinstance(array, np.ndarray) and array.dtype == np.float32


def is_supported(*arrays: Array | None) -> bool:
    """Whether every array is a NumPy array of float32 and not empty; None stands for an absent one, and is allowed."""
    return all(array is None or (supports(array) and array.size > 0) for array in arrays)
