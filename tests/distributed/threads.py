"""Ranks that are threads of this process: what does not need MPI is tested with them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from minires.core.ranks import in_order
from minires.distributed.communicator import Codec, Communicator


class Exchange:
    """Where `size` threads meet."""

    def __init__(self, size: int) -> None:
        self.size, self.values = size, [None] * size
        self.barrier = threading.Barrier(size, timeout=30)

    def all(self, rank: int, value: Any) -> list[Any]:
        self.values[rank] = value
        self.barrier.wait()
        found = list(self.values)
        self.barrier.wait()
        return found


class Started:
    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def wait(self) -> None:
        pass


class ThreadCommunicator(Communicator):
    """Every call meets the other threads at once; `calls` lists what was called."""

    def __init__(self, exchange: Exchange, rank: int) -> None:
        super().__init__()
        self.exchange, self.rank, self.size = exchange, rank, exchange.size
        self.calls: list[Any] = []

    def all_gather(self, array):
        return np.stack(self.exchange.all(self.rank, array.copy()))

    def all_reduce(self, array):
        return in_order(self.all_gather(array))

    def start_all_reduce(self, array, codec: Codec | None = None):
        self.calls.append(array.size)
        gathered = self.all_gather(array if codec is None else codec.encode(array))
        if codec is None:
            array[...] = in_order(gathered)
        else:
            total = in_order([codec.decode(each, array.dtype) for each in gathered])
            array[...] = codec.decode(codec.encode(total), array.dtype)
        return Started(array)

    def progress(self):
        pass

    def broadcast(self, array, root=0):
        return self.all_gather(array)[root]

    def gather_objects(self, value):
        return self.exchange.all(self.rank, value)

    def barrier(self):
        self.exchange.all(self.rank, None)

    def split(self, color, key=None):
        raise NotImplementedError

    def abort(self, code):
        raise SystemExit(code)


def on_ranks(size: int, function: Callable[[Communicator], Any]) -> list[Any]:
    """What `function(comm)` returns on each of `size` ranks; an error of one of them is raised."""
    exchange, found, errors = Exchange(size), [None] * size, []

    def work(rank: int) -> None:
        try:
            found[rank] = function(ThreadCommunicator(exchange, rank))
        except BaseException as error:
            errors.append(error)
            exchange.barrier.abort()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    real = [error for error in errors if not isinstance(error, threading.BrokenBarrierError)]
    if real or errors:
        raise (real or errors)[0]
    return found
