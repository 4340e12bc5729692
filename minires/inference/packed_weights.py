"""Folded and packed weights: made once for the plans of all input shapes, and freed with the last plan that uses them.

The cache key of a weight is the memory it was made from; a bias or the vectors of a batch norm go by their numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

from minires.backend import Array

Key = tuple[Any, ...]


class FoldedWeights:
    """The weights of a convolution into which batch norm has been folded, in the layouts that plans need.

    The plain folded array is not kept unless it is one of these layouts: packed, ResNet-18 takes 47 MB less.

    Attributes:
        bias: (O,), or None.
        origin: the array from which the weights were made. It is kept alive, so that no other array can reuse its
            memory address.
    """

    def __init__(self, origin: Array, bias: Array | None) -> None:
        self.origin, self.bias = origin, bias
        self._layouts: dict[Key, Array] = {}

    def nbytes(self) -> int:
        """Bytes of all layouts."""
        return sum(int(array.nbytes) for array in self._layouts.values())

    def in_layout(self, layout: Key, make: Callable[[], Array]) -> Array:
        """The weights in a layout; the first request makes them."""
        if layout not in self._layouts:
            self._layouts[layout] = make()
        return self._layouts[layout]


class WeightCache:
    """Finds the weights that the plans of a compiled model share. The steps of the plans own them."""

    def __init__(self) -> None:
        self._folded: WeakValueDictionary[Key, FoldedWeights] = WeakValueDictionary()

    def folded(self, key: Key, origin: Array, bias: Array | None) -> FoldedWeights:
        """The weights for `key`: those of an earlier plan if they still exist, else new ones without a layout yet."""
        found = self._folded.get(key)
        if found is None:
            found = self._folded[key] = FoldedWeights(origin, bias)
        return found

    def nbytes(self) -> int:
        """Bytes of the weights of all plans together."""
        return sum(weights.nbytes() for weights in list(self._folded.values()))
