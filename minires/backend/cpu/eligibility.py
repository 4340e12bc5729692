"""What the C kernels work on: NumPy arrays of float32 that are not empty, and windows of 64-bit integers."""

from __future__ import annotations

import numpy as np

from minires.backend.arrays import Array
from minires.backend.shapes import Window
from minires.errors import ShapeError

FLOAT32 = np.dtype(np.float32)  # comparing a dtype with np.float32, a type, takes twice as long


def supports(array: Array) -> bool:
    """Whether `array` is a NumPy array of float32."""
    return isinstance(array, np.ndarray) and array.dtype == FLOAT32


def is_supported(*arrays: Array | None) -> bool:
    """Whether every array is a NumPy array of float32 and not empty; None stands for an absent one, and is allowed."""
    for array in arrays:  # a loop, because `all` of a generator takes twice as long
        if array is None:
            continue
        if not supports(array) or array.size == 0:
            return False
    return True


def check_integers(op: str, window: Window) -> None:
    """Raise ShapeError for numbers that do not fit the kernels' 64-bit integers; all that fit, the kernels check."""
    for name, values in window._asdict().items():
        if max(values) >= 1 << 63:
            raise ShapeError(f"{op}: {name} {values} is too large: the kernels count with 64 bits")
