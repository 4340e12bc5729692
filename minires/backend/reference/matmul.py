"""The matrix product."""

from __future__ import annotations

from minires.backend.arrays import Array, array_module


def matmul(x: Array, y: Array) -> Array:
    return array_module(x).matmul(x, y)
