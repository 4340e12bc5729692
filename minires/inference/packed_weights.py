"""Folded and packed weights: made once for the plans of all input shapes, and freed with the last plan that uses them.

The cache key of a weight is the memory it was made from; a bias or the vectors of a batch norm go by their numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from minires.backend import Array
from minires.backend.cpu import library

Key = tuple[Any, ...]


class FoldedWeights:
    """The weights of a convolution into which batch norm has been folded.

    Attributes:
        w: (O, C, kh, kw).
        bias: (O,), or None.
        origin: the array from which w was made. It is kept alive, so that no other array can reuse its memory address.
    """

    def __init__(self, origin: Array, w: Array, bias: Array | None) -> None:
        self.origin, self.w, self.bias = origin, w, bias
        self._packed: dict[int | str, Array] = {}

    def packed(self, algorithm: int) -> Array:
        """w in the layout that an algorithm of the C kernels needs."""
        return self.in_layout(algorithm, lambda: library.pack(self.w, algorithm))

    def in_layout(self, layout: int | str, pack: Callable[[], Array]) -> Array:
        """w in a layout; the first request makes it with `pack`."""
        if layout not in self._packed:
            self._packed[layout] = pack()
        return self._packed[layout]


class WeightCache:
    """Finds the weights that the plans of a compiled model share. The steps of the plans own them."""

    def __init__(self) -> None:
        self._folded: WeakValueDictionary[Key, FoldedWeights] = WeakValueDictionary()

    def folded(self, key: Key, origin: Array, w: Array, bias: Array | None) -> FoldedWeights:
        """The weights for `key`: those of an earlier plan if they still exist, else new ones from w and bias."""
        found = self._folded.get(key)
        if found is None:
            found = self._folded[key] = FoldedWeights(origin, w, bias)
        return found
