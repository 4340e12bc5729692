"""Log-softmax and cross-entropy in C."""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.cpu import machine
from minires.backend.cpu.eligibility import is_supported


def log_softmax(x: Array, axis: int) -> Array:
    if axis != x.ndim - 1 or not is_supported(x):
        return NotImplemented
    return machine.library.log_softmax(x)


def cross_entropy(x: Array, labels: Array) -> Array:
    return machine.library.cross_entropy(x, labels) if is_supported(x) else NotImplemented


def cross_entropy_grad(g: Array, x: Array, labels: Array) -> Array:
    return machine.library.cross_entropy_grad(g, x, labels) if is_supported(g, x) else NotImplemented
