"""A copy of a model that shares the arrays of its weights, until somebody writes into them.

A compiled model answers for ever by the weights of the moment when it was compiled. Copying them doubles the memory of
a network. But whatever in MiniRes writes into a tensor (an optimiser, `load_state_dict`, running statistics) gives it a
new array where a `ReadOnlyLock` forbids to write into the present one. So the copy takes the same arrays and locks
them: they are its own from then on, and the model gets others when it is trained further. NumPy refuses other writes,
`parameter.data[...] = …`, as long as the compiled model lives. An array that lies in a file, mapped to be read, nobody
can write into.

An array is copied if a lock would not protect it: on a GPU, or if anything besides its tensor refers to it, such as a
view that can be written into.
"""

from __future__ import annotations

import copy
import sys

import numpy as np

from minires.backend import Array, memory_owner
from minires.core.readonly import ReadOnlyLock
from minires.core.sharing import sharing_of
from minires.core.tensor import Tensor
from minires.nn import Module


def snapshot(model: Module) -> tuple[Module, list[ReadOnlyLock]]:
    """A deep copy of `model` that shares what can be shared, and the locks that protect it; keep them with the copy."""
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}.values()
    shared: list[Array] = [tensor.data for tensor in tensors if _is_alone(tensor) or _is_mapped(tensor.data)]
    memo = {id(array): array for array in shared}
    return copy.deepcopy(model, memo), [ReadOnlyLock(array) for array in shared]


def _references(tensor: Tensor) -> int:
    """The number of references to the array of `tensor`, those of this call included."""
    return sys.getrefcount(tensor._data) if hasattr(sys, "getrefcount") else 0  # CPython's; without it nothing is alone


def _is_alone(tensor: Tensor) -> bool:
    """Whether the array of `tensor` owns its memory, is NumPy's, and only `tensor` refers to it."""
    is_owner = type(tensor._data) is np.ndarray and tensor._data.base is None
    return is_owner and sharing_of(tensor) is None and _references(tensor) == _OF_ONE_TENSOR


def _is_mapped(array: Array) -> bool:
    """Whether `array` lies in a file that is mapped to be read."""
    owner = memory_owner(array)
    return isinstance(owner, np.memmap) and owner.mode == "r"


_OF_ONE_TENSOR = _references(Tensor(np.zeros(1))) or -1
