"""Gradients in half the bytes: float16, or bfloat16, whose range is that of float32.

float16 has 11 significant bits and the range 6e-8 … 65504; bfloat16 has 8 bits and float32's range. Both round to the
nearest number, ties to even. NumPy has no bfloat16: its bits are the upper half of a float32's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minires.backend import Array, array_module
from minires.distributed.communicator import Codec
from minires.errors import NonFiniteError


class Float16:
    """float16. A finite number beyond 65504 is refused: it would become infinite."""

    name, wire = "float16", np.dtype(np.float16)

    def encode(self, values: Array) -> Array:
        xp = array_module(values)
        largest = xp.abs(values).max() if values.size else 0
        if np.isfinite(float(largest)) and float(largest) > 65504:
            raise NonFiniteError(
                f"a gradient of {float(largest):.3g} is beyond the range of float16: compression='bfloat16' has "
                "float32's, and clip_norm limits gradients"
            )
        return values.astype(np.float16)

    def decode(self, encoded: Array, dtype: Any) -> Array:
        return encoded.astype(dtype)


class BFloat16:
    """bfloat16, as uint16: the upper half of float32, rounded."""

    name, wire = "bfloat16", np.dtype(np.uint16)

    def encode(self, values: Array) -> Array:
        bits = values.astype(np.float32).view(np.uint32)
        # Adding 0x7fff, and one more where the last kept bit is 1, carries into the upper half: rounding to even.
        # A NaN must not be carried over into an infinity: its last kept bit is set instead.
        rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
        is_nan = (bits & 0x7FFFFFFF) > 0x7F800000
        return array_module(values).where(is_nan, (bits >> 16) | 0x40, rounded).astype(np.uint16)

    def decode(self, encoded: Array, dtype: Any) -> Array:
        return (encoded.astype(np.uint32) << 16).view(np.float32).astype(dtype, copy=False)


CODECS: dict[str, Codec] = {"float16": Float16(), "bfloat16": BFloat16()}
