"""Which arrays the CUDA kernels work on: CuPy arrays of float32 that are not empty."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from minires.backend.arrays import Array

FLOAT32 = np.dtype(np.float32)
MAX_ROWS = (1 << 30) - 1  # kernels count rows and pixels, and a step beyond the last, in 32 bits
MAX_CHANNELS = 8 * 65535  # the y of a grid is at most 65535, and each block has at least 8 channels


def is_on_gpu(array: object) -> bool:
    """Whether `array` is a CuPy array."""
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(array, cupy.ndarray)


def supports(array: Any) -> bool:
    """Whether `array` is a CuPy array of float32."""
    return is_on_gpu(array) and bool(array.dtype == FLOAT32)


def is_supported(*arrays: Array | None) -> bool:
    """Whether every array is a CuPy array of float32 and not empty; None stands for an absent one, and is allowed."""
    return all(array is None or (supports(array) and array.size > 0) for array in arrays)


def is_image_or_matrix(x: Array) -> bool:
    """Whether `x` is 4-D or 2-D, and has no more rows and channels than the kernels can count."""
    return x.ndim in (2, 4) and x.size // x.shape[1] <= MAX_ROWS and x.shape[1] <= MAX_CHANNELS
