"""FoldedWeights and packed weights: made once for the plans of all shapes, and gone with the last plan that reads them.

They are told apart by what they were made of: the weight by where it lies in memory, the vectors of a bias or a batch
norm by their numbers.
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
        origin: the array that w was made of. It is kept, so that no other can come to lie where it lies.
    """

    def __init__(self, origin: Array, w: Array, bias: Array | None) -> None:
        self.origin, self.w, self.bias = origin, w, bias
        self._packed: dict[int | str, Array] = {}

    def packed(self, algorithm: int) -> Array:
        """w as the C kernels' algorithm wants it."""
        return self.once(algorithm, lambda: library.pack(self.w, algorithm))

    def once(self, layout: int | str, pack: Callable[[], Array]) -> Array:
        """w in a layout, which `pack` makes where it was not asked for before."""
        if layout not in self._packed:
            self._packed[layout] = pack()
        return self._packed[layout]


class WeightCache:
    """Those of all plans of a compiled model. The plans' steps own them; here they are only found again."""

    def __init__(self) -> None:
        self._folded: WeakValueDictionary[Key, FoldedWeights] = WeakValueDictionary()

    def folded(self, key: Key, origin: Array, w: Array, bias: Array | None) -> FoldedWeights:
        """The weights made of what `key` says: those of an earlier plan, or new ones of w and bias."""
        found = self._folded.get(key)
        if found is None:
            found = self._folded[key] = FoldedWeights(origin, w, bias)
        return found
