"""What the CUDA kernels work on: CuPy arrays of float32, with something in them."""

from __future__ import annotations

import sys

import numpy as np

from minires.backend.arrays import Array

MOST = (1 << 30) - 1  # the kernels count rows and pixels, and steps beyond the last, with 32 bits
MOST_CHANNELS = 8 * 65535  # a grid is at most 65535 blocks high, and each has at least 8 channels


def is_on_gpu(array: object) -> bool:
    """Whether this is a CuPy array."""
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(array, cupy.ndarray)


def serves(array: Array) -> bool:
    """CuPy arrays of float32."""
    return is_on_gpu(array) and bool(array.dtype == np.float32)


def fit(*arrays: Array | None) -> bool:
    """Whether all arrays are float32 with something in them; None is no obstacle."""
    return all(array is None or (serves(array) and array.size > 0) for array in arrays)


def is_image_or_matrix(x: Array) -> bool:
    """Whether `x` is rows of channels, no more of either than kernels can count."""
    return x.ndim in (2, 4) and x.size // x.shape[1] <= MOST and x.shape[1] <= MOST_CHANNELS
