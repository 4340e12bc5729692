"""Learning rates that a captured training step reads from the GPU's memory.

A CUDA graph contains the values of all scalar arguments, but a schedule changes the learning rate at every step. So,
while a step is captured, the k-th call of `sgd_step` gets the address of rate k, and the host writes the rates there
before each replay.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cuda.eligibility import supports
from minires.backend.switches import setting

_STRIDE = 4  # floats from one rate to the next: pointers must be aligned to 16 bytes


class Rates:
    """Memory for `capacity` learning rates on the current GPU.

    Attributes:
        taken: the rates with which `sgd_step` was called inside `in_use`, in order.
    """

    def __init__(self, capacity: int) -> None:
        self._array: Array = sys.modules["cupy"].zeros(capacity * _STRIDE, np.float32)
        self._capacity = capacity
        self.taken: list[float] = []
        self._written: tuple[float, ...] = ()

    def in_use(self) -> AbstractContextManager[None]:
        """Within the block (and this thread) each call of `sgd_step` takes the next rate."""
        return setting(_rates, self)

    def take(self, rate: float) -> Array:
        """The array (1,) from which a call of `sgd_step` reads its rate. Raises ValueError if none is left."""
        place = len(self.taken)
        if place >= self._capacity:
            raise ValueError(f"sgd_step is called more often than there are rates ({self._capacity})")
        self.taken.append(rate)
        return self._array[place * _STRIDE : place * _STRIDE + 1]

    def write(self, rates: Sequence[float]) -> None:
        """Set the rates of the next replay, by a copy on the current stream for which the host does not wait."""
        if tuple(rates) == self._written:
            return
        spread = np.zeros(self._capacity * _STRIDE, np.float32)
        spread[: len(rates) * _STRIDE : _STRIDE] = rates
        self._array[...] = sys.modules["cupy"].asarray(spread)  # through CuPy's pinned memory
        self._written = tuple(rates)


_rates: ContextVar[Rates | None] = ContextVar("minires_rates", default=None)


def current(lr: float | Array) -> float | Array:
    """`lr` itself, or, while a step is captured, the array from which the graph reads it at each replay."""
    rates = _rates.get()
    return lr if rates is None or supports(lr) else rates.take(float(lr))
