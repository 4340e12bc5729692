"""What `copy` and `pickle` make of a tensor. Only leaves can be copied, as in torch: a graph cannot be.

A deep copy has arrays of its own. Tensors that are copied together and share a memory share one again; those that are
pickled do only if they have the same array (`x` and `x.detach()`), and a view comes back with an array of its own.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from minires.backend import Array, memory_owner
from minires.core.operators import method
from minires.core.readonly import read_only
from minires.core.sharing import Memory, Sharing, note_sharing, sharing_of
from minires.core.tensor import Tensor
from minires.errors import GraphError


@method("copy")
def shallow_copy(tensor: Tensor) -> Tensor:
    """See Operators.__copy__."""
    other = _rebuilt(type(tensor), _state("copy.copy", tensor))
    other._hooks = None if tensor._hooks is None else dict(tensor._hooks)
    note_sharing(tensor, other)
    return other


@method("deepcopy")
def deep_copy(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
    """See Operators.__deepcopy__."""
    state = _state("copy.deepcopy", tensor)
    other = memo[id(tensor)] = type(tensor).__new__(type(tensor))  # known before what may refer to it is copied
    sharing = sharing_of(tensor)
    if sharing is None:
        state["_data"] = copy.deepcopy(state["_data"], memo)
    else:
        state["_data"], state["_sharing"] = _shared_again(tensor, sharing, memo)
        state["_sharing"].memory.add(other)
    for name, value in state.items():
        setattr(other, name, value if name in ("_data", "_sharing") else copy.deepcopy(value, memo))
    return other


def _shared_again(tensor: Tensor, sharing: Sharing, memo: dict[int, Any]) -> tuple[Array, Sharing]:
    """The array of the copy of `tensor`, in the copy of its memory, and what it knows of it."""
    root = copy.deepcopy(tensor.data if sharing.root is None else sharing.root, memo)
    memory = memo.setdefault(id(sharing.memory), Memory(memory_owner(root)))
    array = root
    for op in sharing.ops:
        array = read_only(op.fresh_copy().forward(array))
    base = copy.deepcopy(sharing.base, memo)
    return array, Sharing(memory, sharing.ops, root if sharing.ops else None, base, sharing.is_first)


@method("reduce")
def reduce(tensor: Tensor) -> tuple[Any, ...]:
    """See Operators.__reduce_ex__."""
    return unpickle, (type(tensor), _state("pickle", tensor))


def _state(how: str, tensor: Tensor) -> dict[str, Any]:
    """All attributes of a leaf, also those of a subclass, but for what it knows of its memory."""
    if tensor.node is not None:
        raise GraphError(
            f"{how}: only leaves can be copied, as in torch, and this tensor of shape {tensor.shape} is a result of "
            f"{tensor.node.name}, whose graph would be missing in the copy. Copy x.detach() instead; if a model keeps "
            "it as an attribute, let it keep x.detach(), or set the attribute to None before copying the model"
        )
    found: Any = object.__reduce_ex__(tensor, 4)[2]
    attributes, slots = found if isinstance(found, tuple) else (found, {})
    state = {**slots, **(attributes or {})}
    state.pop("_sharing", None)
    return state


def _rebuilt(kind: type[Tensor], state: dict[str, Any]) -> Tensor:
    tensor = kind.__new__(kind)
    for name, value in state.items():
        setattr(tensor, name, value)
    return tensor


def unpickle(kind: type[Tensor], state: dict[str, Any]) -> Tensor:
    """A tensor from its pickled state, with an array that can be written into."""
    array = state["_data"]
    # NumPy may unpickle a view of the bytes it was given: a lock cannot make it writeable again, or not read-only.
    if isinstance(array, np.ndarray) and (array.base is not None or not array.flags.writeable):
        state["_data"] = array.copy()
    return _rebuilt(kind, state)
