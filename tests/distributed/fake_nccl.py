"""A stand-in for CuPy with NCCL: its arrays are NumPy's, its ranks threads, and each stream keeps a list.

Work is done when it is queued. Whether a stream would have waited for another where it must is read from the list.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.distributed.threads import Exchange


class Array(np.ndarray):
    """An array whose `data.ptr` is its address, as CuPy's."""

    @property
    def data(self) -> SimpleNamespace:
        return SimpleNamespace(ptr=self.ctypes.data)


def on_gpu(array: Any) -> Array:
    return np.array(array).view(Array)


class Stream:
    """`log` holds ("wait", stream, its length then), or the name of an NCCL call."""

    def __init__(self, cupy: Cupy, ptr: int) -> None:
        self.cupy, self.ptr, self.log = cupy, ptr, []

    def record(self) -> tuple[Stream, int]:
        return self, len(self.log)

    def wait_event(self, event: tuple[Stream, int]) -> None:
        self.log.append(("wait", *event))

    def __enter__(self) -> Stream:
        self.cupy.current.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.cupy.current.pop()

    def synchronize(self) -> None:
        pass


class Nccl:
    """The module cupy.cuda.nccl of one rank."""

    NCCL_UINT8 = 1

    def __init__(self, cupy: Cupy, exchange: Exchange, rank: int) -> None:
        self.cupy, self.exchange, self.rank = cupy, exchange, rank
        self.group: list[tuple[str, int, int, int]] | None = None

    def get_unique_id(self) -> tuple[int, ...]:
        return (19,) * 4

    def NcclCommunicator(self, size: int, identifier: Any, rank: int) -> Nccl:
        assert (size, identifier, rank) == (self.exchange.size, (19,) * 4, self.rank)
        return self

    def groupStart(self) -> None:
        assert self.group is None
        self.group = []

    def send(self, pointer: int, count: int, kind: int, peer: int, stream: int) -> None:
        assert kind == self.NCCL_UINT8
        self.group.append(("send", pointer, count, peer))

    def recv(self, pointer: int, count: int, kind: int, peer: int, stream: int) -> None:
        assert kind == self.NCCL_UINT8
        self.cupy.stream(stream).log.append("recv")
        self.group.append(("recv", pointer, count, peer))

    def groupEnd(self) -> None:
        sent = {peer: ctypes.string_at(pointer, count) for what, pointer, count, peer in self.group if what == "send"}
        of_ranks = self.exchange.all(self.rank, sent)
        for what, pointer, count, peer in self.group:
            if what == "recv":
                assert len(of_ranks[peer][self.rank]) == count
                ctypes.memmove(pointer, of_ranks[peer][self.rank], count)
        self.group = None

    def allGather(self, sent: int, received: int, count: int, kind: int, stream: int) -> None:
        self.cupy.stream(stream).log.append("allGather")
        parts = self.exchange.all(self.rank, ctypes.string_at(sent, count))
        ctypes.memmove(received, b"".join(parts), count * self.exchange.size)

    def broadcast(self, sent: int, received: int, count: int, kind: int, root: int, stream: int) -> None:
        self.cupy.stream(stream).log.append("broadcast")
        ctypes.memmove(received, self.exchange.all(self.rank, ctypes.string_at(sent, count))[root], count)


class Cupy:
    """The module cupy of one rank."""

    def __init__(self, exchange: Exchange, rank: int) -> None:
        self.streams: list[Stream] = []
        self.current = [self._new_stream()]
        self.cuda = SimpleNamespace(
            Device=lambda index: _Device(),
            Stream=lambda non_blocking: self._new_stream(),
            get_current_stream=lambda: self.current[-1],
            nccl=Nccl(self, exchange, rank),
        )

    def _new_stream(self) -> Stream:
        self.streams.append(Stream(self, len(self.streams)))
        return self.streams[-1]

    def stream(self, ptr: int) -> Stream:
        """The stream of a pointer, which must be the current one or NCCL's."""
        return self.streams[ptr]

    def empty(self, shape: Any, dtype: Any) -> Array:
        return np.full(shape, 99, dtype).view(Array)

    def array(self, value: Any, order: str) -> Array:
        return np.array(value, order=order).view(Array)

    def ascontiguousarray(self, value: Any) -> Array:
        return np.ascontiguousarray(value).view(Array)


class _Device:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass
