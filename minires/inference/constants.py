"""Freezes the constants of a model: the values that its parameters had when it was compiled.

A compiled model uses these values for ever. The weights of a function, however, belong to its owner: an optimiser
writes into their arrays, and the function runs again for each new input shape. So each array from outside a run is
copied when an operation first reads it, everything is computed from the copy, and later runs use the same copy.

An array is recognised by its memory (`memory_key`), as long as the owner of that memory lives, and by its Tensor, which
gets another array if somebody writes into one that a graph needs. Arrays that the forward pass makes itself (a scalar,
a transposed weight) are new in each run, and forgotten after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from minires.backend import Array, array_module, memory_owner
from minires.core.readonly import ReadOnlyLock
from minires.core.tensor import Tensor

Statistics = tuple[Array, Array]  # mean and variance of a batch norm


def memory_key(array: Array) -> tuple[Any, ...]:
    """Identifies the memory that `array` is a view of (address, shape, strides, dtype), until that memory is freed."""
    where = array.__array_interface__["data"][0] if isinstance(array, np.ndarray) else int(array.data.ptr)
    return where, array.shape, array.strides, array.dtype.str


class _Known(NamedTuple):
    """A constant that later runs may read again."""

    tensor: ref[Tensor]
    owner: ref[Array]
    key: tuple[Any, ...]
    copy: Array


class Constants:
    """The frozen copies of a model's constants. Only one run at a time may use them.

    private: tensors that nobody else can change; they are used without copying.
    locks: what prevents that somebody changes them.
    """

    def __init__(self, private: Iterable[Tensor] = (), locks: Sequence[ReadOnlyLock] = ()) -> None:
        self._locks = locks
        self._private = {memory_key(tensor.data): (tensor.data, tensor.data) for tensor in private}
        self._known: dict[Any, _Known] = {}  # by the id of a living tensor; without one, by memory key
        self._statistics: dict[int, Statistics] = {}
        self._current: dict[tuple[Any, ...], tuple[Array, Array]] = {}  # of this run; keeps originals alive
        self._norms = 0  # number of batch norms in this run so far

    def start(self) -> None:
        """Begin a run."""
        self._current, self._norms = dict(self._private), 0
        alive = [(known, known.tensor(), known.owner()) for known in self._known.values()]
        self._known = {id(tensor): known for known, tensor, _ in alive if tensor is not None}
        self._known |= {known.key: known for known, tensor, owner in alive if tensor is None and owner is not None}
        for known, _, owner in alive:
            if owner is not None:
                self._current[known.key] = owner, known.copy
        for known, tensor, _ in alive:
            if tensor is not None:
                self._current[memory_key(tensor.data)] = tensor.data, known.copy

    def is_private(self, tensor: Tensor) -> bool:
        """Whether `tensor` is one that nobody else can change: a parameter or buffer of the compiled Module."""
        return memory_key(tensor.data) in self._private

    def finish(self) -> None:
        """End the run."""
        self._current = {}

    def frozen(self, array: Array) -> Array:
        """The copy of `array`, made when a run first read it."""
        return self._current.setdefault(memory_key(array), (array, array.copy()))[1]

    def remember(self, tensor: Tensor) -> None:
        """Keep the copy of the array of `tensor` for later runs."""
        known = self._known.get(id(tensor))
        where = memory_key(tensor.data)
        if where not in self._private and (known is None or known.tensor() is not tensor):
            if known is not None and known.owner() is not None:  # its tensor has died, and this one got the id
                self._known[known.key] = known
            self._known[id(tensor)] = _Known(
                ref(tensor), ref(memory_owner(tensor.data)), where, self.frozen(tensor.data)
            )

    def statistics(self, mean: Array, var: Array) -> Statistics:
        """The frozen mean and variance, (C,) each, of the next batch norm of a run.

        They arrive as copies, which do not show the layer they belong to. Known numbers have not changed. Unknown ones
        belong to a new layer, or to one that was trained further: it is recognised by its position among the norms.
        """
        given, position = (mean, var), self._norms
        self._norms += 1
        before = self._statistics.setdefault(position, given)
        if before[0].shape != mean.shape or any(_same(given, each) for each in self._statistics.values()):
            return given
        return before


def _same(a: Statistics, b: Statistics) -> bool:
    xp = array_module(a[0])
    return all(x.shape == y.shape and bool(xp.array_equal(x, y)) for x, y in zip(a, b, strict=True))
