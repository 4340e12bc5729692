"""The matrix product of linear layers in C."""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.cpu import machine
from minires.backend.cpu.eligibility import is_supported


def matmul(x: Array, y: Array) -> Array:
    if x.ndim != 2 or y.ndim != 2 or not is_supported(x, y):
        return NotImplemented
    return machine.library.matmul(x, y, None, None)
