"""Who takes the gradient of a leaf as soon as it is complete, instead of `.grad` at the end of the backward pass.

Distributed training sends gradients to other processes while the backward pass computes the rest. So it needs each one
as early as possible, and must not keep it twice.
"""

from __future__ import annotations

from typing import Any, Protocol
from weakref import ref

from minires.core.tensor import Tensor


class Receiver(Protocol):
    """Takes the gradients of the leaves for which it is registered."""

    def receive(self, leaf: Tensor, gradient: Tensor) -> bool:
        """Take the complete gradient of `leaf` in this pass. False: leave it to the pass, which adds it to `.grad`."""

    def finish(self) -> None:
        """Called when a pass in which gradients were taken is over: set `.grad` of these leaves."""


# id of a leaf: the leaf and its receiver. Weak references, so that neither lives longer because of this table.
_receivers: dict[int, tuple[ref[Tensor], ref[Any]]] = {}


def register(leaf: Tensor, receiver: Receiver) -> None:
    """Let `receiver` take the gradients of `leaf` from now on; it replaces the one before."""
    key = id(leaf)
    _receivers[key] = ref(leaf, lambda dead: _forget(key, dead)), ref(receiver)


def _forget(key: int, dead: ref[Tensor]) -> None:
    if key in _receivers and _receivers[key][0] is dead:
        del _receivers[key]


def receiver_of(leaf: Tensor) -> Receiver | None:
    """The receiver registered for `leaf`."""
    if not _receivers or id(leaf) not in _receivers:
        return None
    of, receiver = _receivers[id(leaf)]
    return receiver() if of() is leaf else None
