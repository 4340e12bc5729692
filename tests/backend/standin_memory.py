"""Part of the stand-in for CuPy: pinned memory, and streams whose work is done late.

A copy on a stream of its own may be done at any time until somebody waits for it. Here it is done at the last possible
moment: whoever forgets to wait reads what was there before, and whoever writes into the source too early copies that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

GRANULE = 512  # bytes: CuPy's pool of pinned memory rounds up to this


def alloc_pinned_memory(size: int) -> np.ndarray:
    """As CuPy's: a buffer that may be larger than was asked for."""
    return np.full(-(-size // GRANULE) * GRANULE, 0xAA, np.uint8)


def copy(host: np.ndarray, device: np.ndarray, stream: Any) -> None:
    """What `ndarray.set` does: refuse what does not fit, then copy, or leave that to the stream."""
    if not isinstance(host, np.ndarray):
        raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
    if host.dtype != device.dtype:
        raise TypeError(f"{host.dtype} array cannot be set to {device.dtype} array")
    if host.shape != device.shape:
        raise ValueError(f"Shape mismatch. Old shape: {device.shape}, new shape: {host.shape}")
    if isinstance(stream, LateStream):
        stream.add(lambda: np.copyto(device, host))
    else:
        np.copyto(device, host)


class LateStream:
    """A stream that does nothing before it must. `LateStream.current` stands for the one that steps are computed on."""

    current: LateStream

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.waiting: list[Callable[[], None]] = []

    def add(self, work: Callable[[], None]) -> None:
        """Queue it; on the current stream, whose kernels the stand-in runs at once, all is done at once."""
        self.waiting.append(work)
        if self is LateStream.current:
            self.synchronize()

    def record(self, event: LateEvent | None = None) -> LateEvent:
        event = event or LateEvent()
        event.record(self)
        return event

    def wait_event(self, event: LateEvent) -> None:
        self.add(event.synchronize)

    def synchronize(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


class LateEvent:
    """A place in a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self._stream: LateStream | None = None
        self._ahead: list[Callable[[], None]] = []

    def record(self, stream: LateStream | None = None) -> None:
        self._stream = stream or LateStream.current
        self._ahead = list(self._stream.waiting)

    def synchronize(self) -> None:
        """Do what the stream held when the event was recorded, in its order."""
        while self._stream is not None and any(work in self._stream.waiting for work in self._ahead):
            self._stream.waiting.pop(0)()


LateStream.current = LateStream()


def late(cupy: Any) -> None:
    """Give the stand-in `cupy` these streams and events."""
    LateStream.current = LateStream()
    cupy.cuda.Stream, cupy.cuda.Event = LateStream, LateEvent
    cupy.cuda.get_current_stream = lambda: LateStream.current
