"""The interface of a communicator, and the one of a process that is alone.

A communicator belongs to a group of processes, the ranks 0 … size - 1. Its methods are collective: every rank calls the
same ones in the same order. Sums are added in the order of the ranks, (a₀ + a₁) + a₂ + …, so the same number of ranks
gives the same bits in every run, with every MPI, and however the gradients are cut into buckets.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from minires.backend import Array


class Pending(Protocol):
    """A sum that is under way."""

    def wait(self) -> None:
        """Return when the sum is complete."""


class Codec(Protocol):
    """How numbers travel: `compression.py` has float16 and bfloat16."""

    name: str
    wire: np.dtype[Any]  # the dtype of the encoded numbers

    def encode(self, values: Array) -> Array:
        """Float32 or float64 values -> an array of `wire`, of the same shape."""

    def decode(self, encoded: Array, dtype: Any) -> Array:
        """The inverse, in `dtype`."""


class Communicator(ABC):
    """A group of processes.

    Attributes:
        rank, size: this process's number, and the number of processes.
        local_rank, local_size: the same among the processes on this machine.
        host: the name of this machine.
        seconds: how long this process has waited for others so far.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    seconds: float = 0.0

    def __init__(self) -> None:
        self.host = socket.gethostname()

    @abstractmethod
    def all_gather(self, array: Array) -> Array:
        """The arrays of all ranks, which have one shape and dtype: (…) -> (size, …)."""

    @abstractmethod
    def all_reduce(self, array: Array) -> Array:
        """The sum of the arrays of all ranks, a new array; added in the order of the ranks."""

    @abstractmethod
    def start_all_reduce(self, array: Array, codec: Codec | None = None) -> Pending:
        """Start to replace a contiguous array, in place, by the sum over all ranks.

        The array must not be touched before `wait`. With a codec the numbers travel in fewer bytes: each rank's are
        rounded once, added in float32 (or the array's dtype), and the sum is rounded once more.
        """

    @abstractmethod
    def progress(self) -> None:
        """Let sums that are under way go on. Not collective: it may be called at any time."""

    @abstractmethod
    def broadcast(self, array: Array, root: int = 0) -> Array:
        """The array of rank `root`, on every rank; the others give one of the same shape and dtype."""

    @abstractmethod
    def gather_objects(self, value: Any) -> list[Any]:
        """The values of all ranks, pickled: for small facts, not for arrays of a model."""

    @abstractmethod
    def barrier(self) -> None:
        """Return when every rank has come here."""

    @abstractmethod
    def split(self, color: int, key: int | None = None) -> Communicator:
        """The communicator of the ranks with the same `color`, numbered by `key`, by default by their rank."""

    @abstractmethod
    def abort(self, code: int) -> None:
        """End every process of the whole job at once, with this exit code."""

    def close(self) -> None:  # noqa: B027  (optional)
        """Say goodbye: this process ends in good order."""

    def exclusively(self, function: Callable[[], Any]) -> Any:
        """Call `function` on rank 0 while the others wait, and return its result on rank 0, None elsewhere.

        The others may have to wait longer than a rank that does not answer is given.
        """
        return function()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rank={self.rank}, size={self.size})"

    def __deepcopy__(self, memo: object) -> Communicator:
        return self  # a copy of a module talks to the same ranks


class SingleProcess(Communicator):
    """The communicator of a process that is alone: every sum is what it is given."""

    def all_gather(self, array: Array) -> Array:
        return array[None].copy()

    def all_reduce(self, array: Array) -> Array:
        return array.copy()

    def start_all_reduce(self, array: Array, codec: Codec | None = None) -> Pending:
        if codec is not None:
            array[...] = codec.decode(codec.encode(array), array.dtype)
        return _Done()

    def progress(self) -> None:
        pass

    def broadcast(self, array: Array, root: int = 0) -> Array:
        return array.copy()

    def gather_objects(self, value: Any) -> list[Any]:
        return [value]

    def barrier(self) -> None:
        pass

    def split(self, color: int, key: int | None = None) -> Communicator:
        return self

    def abort(self, code: int) -> None:
        raise SystemExit(code)


class _Done:
    """A sum that is complete."""

    def wait(self) -> None:
        pass
