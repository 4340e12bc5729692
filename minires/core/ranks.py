"""What an operation may ask of the other processes of a distributed run, and through whom.

`minires.distributed` implements this interface. Operations that compute over all processes, such as synchronous batch
norm, know no more than what stands here, and ask the default communicator unless they are given one.
"""

from __future__ import annotations

from typing import Any, Protocol

from minires.backend import Array


class Ranks(Protocol):
    """The processes of a run: `size` of them, of which this one has number `rank`."""

    rank: int
    size: int

    def all_gather(self, array: Array) -> Array:
        """The arrays of all ranks, in their order: (…) -> (size, …). Every rank must call it."""

    def all_reduce(self, array: Array) -> Array:
        """The sum of the arrays of all ranks, added in their order. Every rank must call it."""


class _Alone:
    """A process that is a run by itself."""

    rank, size = 0, 1

    def all_gather(self, array: Array) -> Array:
        return array[None].copy()

    def all_reduce(self, array: Array) -> Array:
        return array.copy()


def in_order(pieces: Any) -> Array:
    """((p₀ + p₁) + p₂) + …: the sum over the first axis, from left to right (NumPy's own sum may add in pairs)."""
    total = pieces[0].copy()
    for piece in pieces[1:]:
        total += piece
    return total


_default: Ranks = _Alone()


def default() -> Ranks:
    """The communicator of this process: the one that `distributed.init` made, or that of a process alone."""
    return _default


def set_default(ranks: Ranks | None) -> None:
    """Let `ranks` be the communicator of this process; None: the process is alone."""
    global _default
    _default = _Alone() if ranks is None else ranks
