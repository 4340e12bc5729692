"""Which tensors share one memory: a tensor, its views (`x[0]`, `x.reshape(…)`), and those that `detach` makes of them.

A write in place must reach all of them. Where it goes into the memory itself, it does. Where it cannot (a live graph
needs the numbers), every tensor of the memory gets a new array, and for that each must know how its array is made from
the first one: `Sharing.ops`.

An array that a user took from `.data` or `numpy()`, or wrapped in another Tensor, is not known here: it shares the
memory as long as there is no graph that needs it, and keeps the old numbers otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

from minires.backend import Array, memory_owner
from minires.core import modes, readonly

if TYPE_CHECKING:
    from minires.core.function import Function
    from minires.core.tensor import Tensor


class Memory:
    """The tensors that are known to share one memory. `owner` refers to the array that owns it."""

    __slots__ = ("members", "owner")

    def __init__(self, owner: Array) -> None:
        self.owner = ref(owner)
        self.members: dict[int, Any] = {}  # id of a Tensor -> a weak reference; Tensors do not compare as keys must

    def add(self, tensor: Tensor) -> None:
        """Make `tensor` a member, until it dies."""
        key, members = id(tensor), self.members
        members[key] = ref(tensor, lambda _: members.pop(key, None))

    def live(self) -> list[Tensor]:
        """The members whose array still lies in this memory: `assign_` may have given one an array of its own."""
        owner = self.owner()
        tensors = [reference() for reference in list(self.members.values())]
        return [t for t in tensors if t is not None and memory_owner(t._data) is owner]


class Sharing(NamedTuple):
    """What a tensor knows of its memory.

    Attributes:
        memory: the tensors it shares it with.
        ops: they make this tensor's array from that of the first tensor.
        root: the array of the first tensor; None if `ops` is empty, since it is this tensor's own then.
        base: the tensor of which the graph knows this one to be a view. Its `ops` are the first of these.
        is_first: whether this is the first tensor, neither a view nor detached.
    """

    memory: Memory
    ops: tuple[Function, ...] = ()
    root: Array | None = None
    base: Tensor | None = None
    is_first: bool = True


def sharing_of(tensor: Tensor) -> Sharing | None:
    """What is known of the memory of `tensor`; None if it has never shared its present one."""
    found: Sharing | None = getattr(tensor, "_sharing", None)
    return found if found is not None and found.memory.owner() is memory_owner(tensor._data) else None


def note_sharing(source: Tensor, made: Tensor, op: Function | None = None) -> None:
    """Note that `made` may lie in the memory of `source`: `op` has made it, or it is detached, with the same array."""
    owner = memory_owner(source._data)
    if memory_owner(made._data) is not owner:  # reshape and an index may copy
        if getattr(op, "keeps_order", False) and _is_copied_image(source):
            note_torn(source, made)
        return
    if (other := torn_from(source)) is not None:
        note_torn(other, made)
    own = sharing_of(source)
    if own is None:
        with readonly.bookkeeping:  # two threads may take the first views of one parameter
            own = sharing_of(source)
            if own is None:
                own = source._sharing = Sharing(Memory(owner))
                own.memory.add(source)
    if op is None:
        made._sharing = own._replace(base=None, is_first=False)
    else:
        root = source._data if own.root is None else own.root
        above = source if own.base is None else own.base
        base = above if _is_view_in_graph(op, source, made) else None
        made._sharing = Sharing(own.memory, (*own.ops, op), root, base, False)
    own.memory.add(made)


def _is_copied_image(source: Tensor) -> bool:
    """Whether reshaping `source` has copied it only because an image is channels-last here, where it is none in torch.

    A permuted view is copied in torch too.
    """
    sharing = sharing_of(source)
    return source.ndim == 4 and not source._data.flags.c_contiguous and (sharing is None or not sharing.ops)


def note_torn(a: Tensor, b: Tensor) -> None:
    """Note that two tensors would lie in one memory in torch, and do not here."""
    for one, other in ((a, b), (b, a)):
        one._beside = (*(each for each in getattr(one, "_beside", ()) if each() is not None), ref(other))


def torn_from(tensor: Tensor) -> Tensor | None:
    """A living tensor that would lie in the memory of `tensor` in torch, but is a copy of it here, or the original."""
    for each in getattr(tensor, "_beside", ()):
        if (other := each()) is not None:
            return other
    return None


class Snapshot:
    """A tensor as it is now, to be restored: its array, the numbers in it, and its place in the graph."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.array, self.numbers = tensor, tensor.data, tensor.data.copy()
        self.state = tensor.version, tensor.node, tensor.requires_grad, sharing_of(tensor)
        self.was_free = readonly.is_memory_writeable(self.array)

    def restore(self) -> None:
        """Give the tensor back its array with its numbers, and so the version too."""
        tensor = self.tensor
        tensor._data = self.array
        tensor.version, tensor.node, tensor._requires_grad, sharing = self.state
        if sharing is not None:
            tensor._sharing = sharing
        if readonly.is_memory_writeable(self.array):
            readonly.writeable_view(self.array)[...] = self.numbers
        elif self.was_free:  # a graph needs what was written since
            tensor._data = self.numbers


def _is_view_in_graph(op: Function, source: Tensor, view: Tensor) -> bool:
    """Whether a recorded write into `view` can become part of the history of `source`.

    Under no_grad it cannot; such a view must not keep alive the graph of its source either.
    """
    return view.node is op or (modes.is_grad_enabled() and source.node is None and not source.requires_grad)
