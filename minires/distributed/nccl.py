"""Arrays of GPUs, over NCCL, through CuPy. Each rank has one GPU.

A sum has the phases of `mpi.py`, and the same order of addition: everyone sends everyone a piece, adds its own pieces
in the order of the ranks, and all gather the sums. All of it is queued on a stream of its own:

    stream of the model      … gradients of bucket 1 │ gradients of bucket 2 …                    │ waits │ step
    stream of NCCL                     waits for them │ pieces, addition, gather │ …

The host waits for nothing. The stream of the model waits where it reads the sums, in `wait`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minires.backend import Array, cuda
from minires.core.ranks import in_order
from minires.distributed.communicator import Codec, Communicator, Pending


class NcclCommunicator(Communicator):
    """The ranks of `host`, each with the GPU `device`; their first messages go over `host`.

    Raises DeviceError if there is no GPU to use, DistributedError if two ranks would use one GPU, which NCCL refuses.
    """

    def __init__(self, host: Communicator, device: int) -> None:
        super().__init__()
        self._cupy: Any = cuda.require(device)
        self._nccl: Any = self._cupy.cuda.nccl
        self._host, self._device = host, device
        self.rank, self.size = host.rank, host.size
        self.local_rank, self.local_size = host.local_rank, host.local_size
        identifier = host.gather_objects(self._nccl.get_unique_id() if host.rank == 0 else None)[0]
        with self._cupy.cuda.Device(device):
            self._group = self._nccl.NcclCommunicator(host.size, identifier, host.rank)
            self._stream = self._cupy.cuda.Stream(non_blocking=True)

    def all_gather(self, array: Array) -> Array:
        with self._cupy.cuda.Device(self._device):
            sent = self._cupy.ascontiguousarray(array)
            gathered = self._cupy.empty((self.size, *array.shape), array.dtype)
            self._queue(lambda: self._gather(sent, gathered)).wait()
        return gathered

    def all_reduce(self, array: Array) -> Array:
        return in_order(self.all_gather(array))

    def start_all_reduce(self, array: Array, codec: Codec | None = None) -> Pending:
        if array.ndim != 1 or array.size % self.size or not array.flags.c_contiguous:
            raise ValueError(f"start_all_reduce: needs a vector of a multiple of {self.size} elements")
        return self._queue(lambda: self._add(array, codec))

    def progress(self) -> None:
        pass  # a GPU needs no reminder

    def broadcast(self, array: Array, root: int = 0) -> Array:
        with self._cupy.cuda.Device(self._device):
            received = self._cupy.array(array, order="C")
            pointer, count = received.data.ptr, received.nbytes
            self._queue(
                lambda: self._group.broadcast(pointer, pointer, count, self._nccl.NCCL_UINT8, root, self._stream.ptr)
            ).wait()
        return received

    def gather_objects(self, value: Any) -> list[Any]:
        return self._host.gather_objects(value)

    def barrier(self) -> None:
        self._stream.synchronize()
        self._host.barrier()

    def split(self, color: int, key: int | None = None) -> Communicator:
        return NcclCommunicator(self._host.split(color, key), self._device)

    def abort(self, code: int) -> None:
        self._host.abort(code)

    # -- on the stream of NCCL ----------------------------------------------------------------------------------------

    def _queue(self, work: Callable[[], Any]) -> _Queued:
        """Queue `work` behind what the current stream has been given so far."""
        with self._cupy.cuda.Device(self._device):
            self._stream.wait_event(self._cupy.cuda.get_current_stream().record())
            with self._stream:
                kept = work()
            return _Queued(self._cupy, self._device, self._stream.record(), kept)

    def _gather(self, sent: Any, gathered: Any) -> Any:
        self._group.allGather(sent.data.ptr, gathered.data.ptr, sent.nbytes, self._nccl.NCCL_UINT8, self._stream.ptr)
        return sent, gathered

    def _add(self, array: Array, codec: Codec | None) -> Any:
        sent: Any = array if codec is None else codec.encode(array)
        pieces = self._cupy.empty((self.size, array.size // self.size), sent.dtype)
        step, kind = pieces[0].nbytes, self._nccl.NCCL_UINT8
        self._nccl.groupStart()
        for rank in range(self.size):
            self._group.send(sent.data.ptr + rank * step, step, kind, rank, self._stream.ptr)
            self._group.recv(pieces.data.ptr + rank * step, step, kind, rank, self._stream.ptr)
        self._nccl.groupEnd()
        if codec is None:
            return self._gather(in_order(pieces), array), pieces
        total = codec.encode(in_order([codec.decode(piece, array.dtype) for piece in pieces]))
        received = self._cupy.empty(array.shape, total.dtype)
        kept = self._gather(total, received)
        array[...] = codec.decode(received, array.dtype)
        return kept, sent, pieces


class _Queued:
    """Work on the stream of NCCL, and the arrays that it uses: their memory must not be given to others before."""

    def __init__(self, cupy: Any, device: int, done: Any, kept: Any) -> None:
        self._cupy, self._device, self._done, self._kept = cupy, device, done, kept

    def wait(self) -> None:
        """Let the current stream, not the host, wait for the work."""
        with self._cupy.cuda.Device(self._device):
            self._cupy.cuda.get_current_stream().wait_event(self._done)
        self._kept = None
