"""The constants of a model, as they were when it was compiled.

A compiled model answers by the weights of that moment. But the weights of a function stay with their owner: an
optimiser writes into their arrays, and for each new shape the function runs again. So an array that comes from outside
a run is copied when an operation first reads it, all is computed from the copy, and later runs are given the same copy.

An array is known by the memory it looks at (`memory_key`), for as long as that memory has its owner; and by its tensor,
which is given another array when somebody writes into one that a graph needs. What forward itself makes in each run (a
number, the transposed weight) is new each time, and forgotten with the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from minires.backend import Array, array_module
from minires.core.tensor import Tensor

Statistics = tuple[Array, Array]  # mean and variance of a batch norm


def memory_key(array: Array) -> tuple[Any, ...]:
    """Which numbers in memory `array` looks at, as long as that memory is not freed."""
    where = array.__array_interface__["data"][0] if isinstance(array, np.ndarray) else int(array.data.ptr)
    return where, array.shape, array.strides, array.dtype.str


def _owner(array: Array) -> Array:
    """The array that owns the memory `array` looks at."""
    while isinstance(array.base, type(array)):
        array = array.base
    return array


class _Known(NamedTuple):
    """A constant that may come again."""

    tensor: ref[Tensor]
    owner: ref[Array]
    memory_key: tuple[Any, ...]
    copy: Array


class Constants:
    """The copies. One run at a time uses them.

    private: tensors that nobody will ever change; they are taken as they are.
    """

    def __init__(self, private: Iterable[Tensor] = ()) -> None:
        self._private = {memory_key(tensor.data): (tensor.data, tensor.data) for tensor in private}
        self._known: dict[Any, _Known] = {}  # by the id of a living tensor; when it is gone, by memory_key
        self._statistics: dict[int, Statistics] = {}
        self._now: dict[tuple[Any, ...], tuple[Array, Array]] = {}  # in this run: (original, copy); it keeps the first
        self._norms = 0  # batch norms met in this run

    def start(self) -> None:
        """A run begins."""
        self._now, self._norms = dict(self._private), 0
        alive = [(known, known.tensor(), known.owner()) for known in self._known.values()]
        self._known = {id(tensor): known for known, tensor, _ in alive if tensor is not None}
        self._known |= {
            known.memory_key: known for known, tensor, owner in alive if tensor is None and owner is not None
        }
        for known, _, owner in alive:
            if owner is not None:
                self._now[known.memory_key] = owner, known.copy
        for known, tensor, _ in alive:
            if tensor is not None:
                self._now[memory_key(tensor.data)] = tensor.data, known.copy

    def finish(self) -> None:
        """The run is over."""
        self._now = {}

    def frozen(self, array: Array) -> Array:
        """The numbers of `array` as they were when it was first met."""
        return self._now.setdefault(memory_key(array), (array, array.copy()))[1]

    def remember(self, tensor: Tensor) -> None:
        """The array of `tensor` may come again in another run."""
        known = self._known.get(id(tensor))
        where = memory_key(tensor.data)
        if where not in self._private and (known is None or known.tensor() is not tensor):
            self._known[id(tensor)] = _Known(ref(tensor), ref(_owner(tensor.data)), where, self.frozen(tensor.data))

    def statistics(self, mean: Array, var: Array) -> Statistics:
        """Those of the next batch norm of a run, which come as copies that do not tell whose they are.

        Numbers that are known have not changed. Others are those of a layer that has been trained further, and it is
        known by its place among the batch norms; or of one that is met for the first time.
        """
        given, place = (mean, var), self._norms
        self._norms += 1
        before = self._statistics.setdefault(place, given)
        if before[0].shape != mean.shape or any(_same(given, each) for each in self._statistics.values()):
            return given
        return before


def _same(a: Statistics, b: Statistics) -> bool:
    xp = array_module(a[0])
    return all(x.shape == y.shape and bool(xp.array_equal(x, y)) for x, y in zip(a, b, strict=True))
