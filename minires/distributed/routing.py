"""One communicator for arrays of both kinds: NumPy's go over MPI, CuPy's over NCCL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minires.backend import Array, device_of
from minires.distributed.communicator import Codec, Communicator, Pending


class ByArray(Communicator):
    """Chooses by where an array lives. NCCL is started, over `host`, when the first array of a GPU comes."""

    def __init__(self, host: Communicator) -> None:
        super().__init__()
        self._host = host
        self._gpu: Communicator | None = None
        self.rank, self.size = host.rank, host.size
        self.local_rank, self.local_size = host.local_rank, host.local_size

    def _of(self, array: Array) -> Communicator:
        if device_of(array) == "cpu":
            return self._host
        if self._gpu is None:
            from minires.distributed.nccl import NcclCommunicator

            gpu: Any = array
            self._gpu = NcclCommunicator(self._host, gpu.device.id)
        return self._gpu

    @property
    def seconds(self) -> float:  # type: ignore[override]
        """How long this process has waited for others."""
        return self._host.seconds + (0.0 if self._gpu is None else self._gpu.seconds)

    def all_gather(self, array: Array) -> Array:
        return self._of(array).all_gather(array)

    def all_reduce(self, array: Array) -> Array:
        return self._of(array).all_reduce(array)

    def start_all_reduce(self, array: Array, codec: Codec | None = None) -> Pending:
        return self._of(array).start_all_reduce(array, codec)

    def progress(self) -> None:
        self._host.progress()

    def broadcast(self, array: Array, root: int = 0) -> Array:
        return self._of(array).broadcast(array, root)

    def gather_objects(self, value: Any) -> list[Any]:
        return self._host.gather_objects(value)

    def barrier(self) -> None:
        self._host.barrier()

    def split(self, color: int, key: int | None = None) -> Communicator:
        return ByArray(self._host.split(color, key))

    def exclusively(self, function: Callable[[], Any]) -> Any:
        return self._host.exclusively(function)

    def abort(self, code: int) -> None:
        self._host.abort(code)

    def close(self) -> None:
        self._host.close()
