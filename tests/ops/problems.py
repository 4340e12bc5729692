"""How the inputs of an op are drawn: shapes, options and numbers, by hypothesis or by a seed.

A draw is written once (`minires` never sees it) and used three times: hypothesis searches it for a counterexample
against PyTorch, the finite-difference checks take a few fixed ones, and the oracle vectors store one or two of each op.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st

Item = TypeVar("Item")
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Problem:
    """What an op is asked: f(*inputs, *constants, **options)."""

    inputs: list[np.ndarray]  # float64; the op is differentiated by each
    constants: list[np.ndarray] = field(default_factory=list)  # indices, masks, running statistics
    options: dict[str, Any] = field(default_factory=dict)  # what JSON can hold


class Draw:
    """Choices, and numbers that follow from them."""

    def __init__(self, choose: Callable[[Sequence[Any]], Any]) -> None:
        self.choose = choose
        self.rng = np.random.default_rng(choose(range(1 << 16)))

    @classmethod
    def from_seed(cls, *seed: int) -> Draw:
        rng = np.random.default_rng(seed)
        return cls(lambda options: options[int(rng.integers(len(options)))])

    @classmethod
    def from_hypothesis(cls, data: st.DataObject) -> Draw:
        return cls(lambda options: data.draw(st.sampled_from(options)))

    def integer(self, low: int, high: int) -> int:
        """low … high, both possible."""
        return int(self.choose(range(low, high + 1)))

    def flag(self) -> bool:
        return bool(self.choose((False, True)))

    def pair(self, low: int, high: int) -> tuple[int, int]:
        return self.integer(low, high), self.integer(low, high)

    def shape(self, least: int = 0, most: int = 4, shortest: int = 1, longest: int = 3) -> Shape:
        return tuple(self.integer(shortest, longest) for _ in range(self.integer(least, most)))

    def broadcastable(self, count: int) -> list[Shape]:
        """`count` shapes that broadcast to a common one: axes dropped in front, or of length 1."""
        full = self.shape(0, 3)
        shapes = []
        for _ in range(count):
            kept = full[self.integer(0, len(full)) :]
            shapes.append(tuple(self.choose((n, n, 1)) for n in kept))
        return shapes

    def dims(self, ndim: int) -> int | list[int] | None:
        """All axes, one or several, counted from either end."""
        kind = self.choose(("all", "one", "several"))
        if kind == "all" or not ndim:
            return None
        if kind == "one":
            return self.integer(-ndim, ndim - 1)
        axes = [axis for axis in range(ndim) if self.flag()] or [0]
        return [axis - ndim * self.integer(0, 1) for axis in axes]

    def dim(self, ndim: int) -> int:
        return self.integer(-ndim, ndim - 1)

    # -- numbers --------------------------------------------------------------------------------------------------

    def normal(self, shape: Sequence[int]) -> np.ndarray:
        return np.asarray(self.rng.normal(size=shape))

    def positive(self, shape: Sequence[int]) -> np.ndarray:
        return np.asarray(self.rng.uniform(0.5, 2.0, shape))

    def apart(self, shape: Sequence[int]) -> np.ndarray:
        """Numbers in (−2, 2), all different by some margin and none close to 0: no kink or tie nearby."""
        size = int(np.prod(shape))
        return np.asarray(((self.rng.permutation(size) + 0.37) / max(size, 1) * 4 - 2).reshape(shape))

    def below(self, limit: int, shape: Sequence[int]) -> np.ndarray:
        """Indices 0 … limit − 1."""
        return np.asarray(self.rng.integers(0, limit, shape))


Strategy = Callable[[Draw], Problem]
