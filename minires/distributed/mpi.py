"""Arrays in host memory, over MPI (mpi4py).

A sum of n numbers over p ranks has two phases, both of MPI's own, and an addition between them:

    all-to-all    rank r gets the rth piece, n/p numbers, of every rank
    add           s = piece of rank 0 + piece of rank 1 + …               in this order, on rank r
    all-gather    everyone gets the sum of each piece

A rank sends 2·(p − 1)/p·n numbers, as many as in a ring. MPI's own all-reduce may add in another order in another
version, or for another size; this one adds in the order of the ranks by construction.

All calls are non-blocking, and this process asks again and again whether they are complete. So waiting for others costs
little of a core that another rank may need, Ctrl-C is noticed, and a rank that does not come can be reported.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from minires.backend import Array
from minires.core.ranks import in_order
from minires.distributed.communicator import Codec, Communicator, Pending
from minires.distributed.signs import Signs

SMALL = 1 << 15  # bytes up to which a sum is one all-gather: a single phase, and all add for themselves
SPIN_SECONDS = 2e-4  # a wait that is over by then never sleeps
NAP_SECONDS = 5e-5
# A long vector is summed in parts, a few at a time: the pieces under way need memory besides the gradients.
PART_BYTES = 1 << 20
MOST_UNDER_WAY = 4


class MpiCommunicator(Communicator):
    """The ranks of an MPI communicator.

    Args:
        comm: an mpi4py communicator. It is duplicated: messages of the program do not meet those of MiniRes.
        signs: where this process says that it is alive (`signs.py`).
    """

    def __init__(self, comm: Any, signs: Signs | None = None) -> None:
        from mpi4py import MPI

        super().__init__()
        self._mpi, self._signs = MPI, signs or Signs()
        # The phases of the sums under way have communicators of their own: when a phase starts depends on the moment,
        # and MPI wants the same order of calls on all ranks of one communicator.
        self._comm, self._pieces_comm, self._sums_comm = comm.Dup(), comm.Dup(), comm.Dup()
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        # Sums that have not begun, and those whose pieces have not all come, in the order of their start.
        self._waiting: deque[_OrderedSum] = deque()
        self._adding: deque[_OrderedSum] = deque()
        hosts = self.gather_objects(self.host)
        here = [rank for rank, host in enumerate(hosts) if host == self.host]
        self.local_rank, self.local_size = here.index(self.rank), len(here)

    # -- collective calls ---------------------------------------------------------------------------------------------

    def all_gather(self, array: Array) -> Array:
        sent = np.ascontiguousarray(array)
        gathered = np.empty((self.size, *array.shape), array.dtype)
        request = self._comm.Iallgather([_bytes(sent), self._mpi.BYTE], [_bytes(gathered), self._mpi.BYTE])
        self._wait(request.Test)
        return gathered

    def all_reduce(self, array: Array) -> Array:
        if array.nbytes <= SMALL:
            return in_order(self.all_gather(array))
        flat = np.zeros(-(-array.size // self.size) * self.size, array.dtype)
        flat[: array.size] = array.ravel()
        self.start_all_reduce(flat).wait()
        return flat[: array.size].reshape(array.shape).copy()

    def start_all_reduce(self, array: Array, codec: Codec | None = None) -> Pending:
        if array.ndim != 1 or array.size % self.size or not array.flags.c_contiguous:
            raise ValueError(f"start_all_reduce: needs a vector of a multiple of {self.size} elements")
        length = max(PART_BYTES // (array.itemsize * self.size), 1) * self.size
        parts = [_OrderedSum(self, array[at : at + length], codec) for at in range(0, array.size, length)]
        self._waiting += parts
        self.progress()
        return _Parts(parts)

    def progress(self) -> None:
        # Only the oldest may begin, or enter its second phase, so all ranks start these in the same order.
        while self._adding and self._adding[0].add_if_complete():
            self._adding.popleft()
        while self._waiting and len(self._adding) < MOST_UNDER_WAY:
            self._waiting[0].begin()
            self._adding.append(self._waiting.popleft())

    def broadcast(self, array: Array, root: int = 0) -> Array:
        received = np.array(array, order="C")
        self._wait(self._comm.Ibcast([_bytes(received), self._mpi.BYTE], root=root).Test)
        return received

    def gather_objects(self, value: Any) -> list[Any]:
        import pickle

        text = np.frombuffer(pickle.dumps(value), np.uint8)
        lengths = np.empty(self.size, np.int64)
        own = np.array([len(text)])
        self._wait(self._comm.Iallgather([_bytes(own), self._mpi.BYTE], [_bytes(lengths), self._mpi.BYTE]).Test)
        received = np.empty(int(lengths.sum()), np.uint8)
        self._wait(self._comm.Iallgatherv(text, [received, lengths]).Test)
        return [pickle.loads(each.tobytes()) for each in np.split(received, np.cumsum(lengths)[:-1])]

    def barrier(self) -> None:
        self._wait(self._comm.Ibarrier().Test)

    def split(self, color: int, key: int | None = None) -> Communicator:
        return MpiCommunicator(self._comm.Split(color, self.rank if key is None else key), self._signs)

    def exclusively(self, function: Callable[[], Any]) -> Any:
        with self._signs.busy(self.rank == 0):
            result = function() if self.rank == 0 else None
            self.barrier()
        return result

    # -- waiting and ending -------------------------------------------------------------------------------------------

    def _wait(self, is_done: Callable[[], bool]) -> None:
        """Ask until it is done."""
        with self._signs.waiting():
            started = time.perf_counter()
            while not is_done():
                self.progress()
                if time.perf_counter() - started > SPIN_SECONDS:
                    time.sleep(NAP_SECONDS)
                else:
                    time.sleep(0)  # another rank may wait for this core
            self.seconds += time.perf_counter() - started

    def abort(self, code: int) -> None:
        self._signs.failed()
        self._mpi.COMM_WORLD.Abort(code)

    def close(self) -> None:
        self._signs.goodbye()


class _Parts:
    """A sum in parts."""

    def __init__(self, parts: list[_OrderedSum]) -> None:
        self._parts = parts

    def wait(self) -> None:
        """Return when all parts are complete."""
        for part in self._parts:
            part.wait()


class _OrderedSum:
    """A sum under way: see the head of this file."""

    def __init__(self, comm: MpiCommunicator, array: Array, codec: Codec | None) -> None:
        self._comm, self._array, self._codec = comm, array, codec
        self._is_second_phase, self._done = False, False

    def begin(self) -> None:
        """Start the first phase."""
        codec, array, comm = self._codec, self._array, self._comm
        sent = array if codec is None else codec.encode(array)
        self._sent, byte = sent, comm._mpi.BYTE  # kept until it has been sent
        self._pieces = np.empty((comm.size, array.size // comm.size), sent.dtype)
        self._request = comm._pieces_comm.Ialltoall([_bytes(sent), byte], [_bytes(self._pieces), byte])

    def add_if_complete(self) -> bool:
        """Start the second phase if all pieces have come; returns whether they have."""
        if not self._request.Test():
            return False
        codec, array, comm = self._codec, self._array, self._comm
        if codec is None:
            self._sent = in_order(self._pieces)
            received = array
        else:
            self._sent = codec.encode(in_order([codec.decode(piece, array.dtype) for piece in self._pieces]))
            received = np.empty(array.shape, codec.wire)
        del self._pieces
        self._received, byte = received, comm._mpi.BYTE
        self._request = comm._sums_comm.Iallgather([_bytes(self._sent), byte], [_bytes(received), byte])
        self._is_second_phase = True
        return True

    def _is_done(self) -> bool:
        self._comm.progress()
        return self._is_second_phase and bool(self._request.Test())

    def wait(self) -> None:
        if self._done:
            return
        if not self._is_done():
            self._comm._wait(self._is_done)
        if self._codec is not None:
            self._array[...] = self._codec.decode(self._received, self._array.dtype)
        self._done = True
        del self._sent, self._received


def _bytes(array: Array) -> Array:
    """The array's memory as bytes, whatever its dtype: MPI does not add these numbers."""
    return array.reshape(-1).view(np.uint8)
