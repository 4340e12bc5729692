"""Part of the stand-in for CuPy: pinned memory, and streams that delay their work.

On a GPU a copy on its own stream may run at any time until a wait for it. Here it runs at the last possible moment:
code that forgets to wait reads the old contents, and code that overwrites the source too early copies the new ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

GRANULE = 512  # bytes: CuPy's pool of pinned memory rounds up to this


def alloc_pinned_memory(size: int) -> np.ndarray:
    """CuPy's function: a buffer that may be larger than requested."""
    return np.full(-(-size // GRANULE) * GRANULE, 0xAA, np.uint8)


def copy(host: np.ndarray, device: np.ndarray, stream: Any) -> None:
    """The work of `ndarray.set`: check shape and dtype, then copy, now or as work of the stream."""
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
    """A stream that delays its work as long as possible. `LateStream.current` is the stream that computes the steps."""

    current: LateStream

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.waiting: list[Callable[[], None]] = []

    def add(self, work: Callable[[], None]) -> None:
        """Queue the work; on the current stream do it at once, as the stand-in runs that stream's kernels at once."""
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
    """A point in the work of a stream."""

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self._stream: LateStream | None = None
        self._ahead: list[Callable[[], None]] = []

    def record(self, stream: LateStream | None = None) -> None:
        self._stream = stream or LateStream.current
        self._ahead = list(self._stream.waiting)

    def synchronize(self) -> None:
        """Do the work that the stream had when the event was recorded, in order."""
        while self._stream is not None and any(work in self._stream.waiting for work in self._ahead):
            self._stream.waiting.pop(0)()


LateStream.current = LateStream()


def late(cupy: Any) -> None:
    """Let the stand-in `cupy` use these streams and events."""
    LateStream.current = LateStream()
    cupy.cuda.Stream, cupy.cuda.Event = LateStream, LateEvent
    cupy.cuda.get_current_stream = lambda: LateStream.current
