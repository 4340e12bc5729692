"""Elementwise kernels in C, for arrays of one shape and one memory layout."""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.cpu import machine
from minires.backend.cpu.eligibility import is_supported, supports


def add(x: Array, y: Array) -> Array:
    if not (supports(x) and supports(y) and x.size > 0):
        return NotImplemented
    z = machine.library.add(x, y, False, None)
    return NotImplemented if z is None else z


def relu(x: Array) -> Array:
    y = machine.library.relu(x, None) if x.size else None
    return NotImplemented if y is None else y


def relu_mask(gy: Array, y: Array) -> Array:
    gx = machine.library.relu_mask(gy, y) if is_supported(gy, y) else None
    return NotImplemented if gx is None else gx
