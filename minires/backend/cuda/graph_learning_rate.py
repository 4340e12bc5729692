"""Learning rates that a captured step reads from the GPU's memory.

All numbers are built into a CUDA graph, and a schedule changes the rate with every step. So, while a step is captured,
the k-th call of `sgd_step` is told where rate k will lie, and the host writes the rates there before each replay.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cuda.eligibility import serves

_APART = 4  # floats between two rates: kernels want pointers aligned to 16 bytes


class Rates:
    """Room for `most` rates on the current GPU.

    Attributes:
        taken: the rates with which `sgd_step` was called while they were in use, in order.
    """

    def __init__(self, most: int) -> None:
        self._array: Array = sys.modules["cupy"].zeros(most * _APART, np.float32)
        self._most = most
        self.taken: list[float] = []
        self._written: tuple[float, ...] = ()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """In this block (and thread) each call of `sgd_step` takes the next rate."""
        token = _rates.set(self)
        try:
            yield
        finally:
            _rates.reset(token)

    def take(self, rate: float) -> Array:
        """Where the rate of this call will lie, now that it is `rate`."""
        place = len(self.taken)
        if place >= self._most:
            raise ValueError(f"sgd_step is called more often than there are rates ({self._most})")
        self.taken.append(rate)
        return self._array[place * _APART : place * _APART + 1]

    def write(self, rates: Sequence[float]) -> None:
        """Let the next replay use these; on the current stream, without waiting."""
        if tuple(rates) == self._written:
            return
        spread = np.zeros(self._most * _APART, np.float32)
        spread[: len(rates) * _APART : _APART] = rates
        self._array[...] = sys.modules["cupy"].asarray(spread)  # by CuPy's pinned memory
        self._written = tuple(rates)


_rates: ContextVar[Rates | None] = ContextVar("minires_rates", default=None)


def current(lr: float | Array) -> float | Array:
    """`lr`, or where it will lie at each replay of the step that is being captured."""
    rates = _rates.get()
    return lr if rates is None or serves(lr) else rates.take(float(lr))
