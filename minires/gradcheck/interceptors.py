"""Interceptors of forward passes: they record the branches that one pass takes, and compare or replay them in others.

ReLU, max pooling and other ops that are not smooth choose a branch for each element. On one set of branches a network
is smooth, and a difference of two points means something only if both took the same ones. So the first pass is recorded
(`BranchRecorder`), and other passes are compared with it (`BranchComparator`) or made to take the same branches
(`BranchReplayer`). A replay computes the smooth piece of the function on which the point lies; at a tie, that is the
piece of the documented convention.

Each is a `compute` of `modes.intercepting`: it is called with an op and its input arrays and returns the output array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minires.backend import Array, to_device
from minires.core.function import Function
from minires.ops.cast import AsType

MOST_CROSSINGS = 20  # kept of one pass: a large step in a network crosses thousands of branches


class DivergedError(Exception):
    """Another pass applied other operations: the function branches on its numbers in Python."""


class ImaginaryLostError(Exception):
    """An operation made real numbers of complex ones, so that a complex step says nothing of what follows."""


@dataclass(frozen=True)
class BranchRecord:
    """The branches that one operation took.

    Attributes:
        op: the operation's name.
        branches: as the op declares them; None if it is smooth.
        narrows: whether its output is float32 though an input was float64.
        straight: whether it is a straight-through operation, which declares a surrogate.
    """

    op: str
    branches: Array | None
    narrows: bool = False
    straight: bool = False


@dataclass(frozen=True)
class Crossing:
    """An element that took another branch than before.

    Attributes:
        number: of the operation, counted from 0.
        op: the operation's name.
        element: the element's index in the operation's branches.
    """

    number: int
    op: str
    element: tuple[int, ...]

    def __str__(self) -> str:
        where = f", element {self.element}" if self.element else ""
        return f"{self.op} (operation {self.number}{where})"


def is_promotion(op: Function, arrays: Sequence[Array]) -> bool:
    """Whether it is a cast that keeps all digits, as of a float32 constant that meets float64 numbers.

    Passes in other dtypes apply fewer or more of them, so that they are not counted among the operations.
    """
    if not isinstance(op, AsType):
        return False
    given = arrays[0].dtype
    return given.kind not in "fc" or np.finfo(given).eps >= np.finfo(op.target).eps


def forward_without_loss(op: Function, arrays: Sequence[Array]) -> Array:
    """`op.forward`. Raises ImaginaryLostError if it makes real numbers of complex ones."""
    output = op.forward(*arrays)
    kind = getattr(getattr(output, "dtype", None), "kind", "")
    if kind == "f" and any(array.dtype.kind == "c" for array in arrays):
        raise ImaginaryLostError
    return output


class BranchRecorder:
    """Computes by `op.forward` and records the branches of each operation."""

    def __init__(self) -> None:
        self.records: list[BranchRecord] = []

    def __call__(self, op: Function, arrays: Sequence[Array]) -> Array:
        if is_promotion(op, arrays):
            return op.forward(*arrays)
        branches = None if op.branches is None else op.branches(*arrays)
        output = op.forward(*arrays)
        narrows = getattr(output, "dtype", None) == np.float32 and any(array.dtype == np.float64 for array in arrays)
        self.records.append(BranchRecord(op.name, branches, narrows, hasattr(op, "surrogate")))
        return output


class _Follower:
    """Goes through the records of an earlier pass as operations are applied. Raises DivergedError if they differ."""

    def __init__(self, records: Sequence[BranchRecord]) -> None:
        self.records = records
        self.number = -1

    def next(self, op: Function) -> BranchRecord:
        self.number += 1
        if self.number >= len(self.records) or self.records[self.number].op != op.name:
            raise DivergedError
        return self.records[self.number]


class BranchReplayer(_Follower):
    """Computes by `op.on_branches`, on the branches that were recorded."""

    def __call__(self, op: Function, arrays: Sequence[Array]) -> Array:
        if is_promotion(op, arrays):
            return op.forward(*arrays)
        branches = self.next(op).branches
        if branches is None or op.on_branches is None:
            return forward_without_loss(op, arrays)
        return op.on_branches(to_device(branches, "cpu") if isinstance(arrays[0], np.ndarray) else branches, *arrays)


class RoundingPerturber(BranchReplayer):
    """A replay that changes the last bit of each result at random, as if each operation had rounded otherwise."""

    def __init__(self, records: Sequence[BranchRecord], rng: np.random.Generator) -> None:
        super().__init__(records)
        self.rng = rng

    def __call__(self, op: Function, arrays: Sequence[Array]) -> Any:
        if is_promotion(op, arrays):
            return op.forward(*arrays)
        in_backward = self.number + 1 >= len(self.records)  # after the forward pass that was recorded
        output: Any = op.forward(*arrays) if in_backward else super().__call__(op, arrays)
        if not isinstance(output, (np.ndarray, np.floating)) or output.dtype.kind != "f":
            return output
        perturbed = output * (1 + np.finfo(output.dtype).eps * self.rng.choice((-1.0, 1.0), output.shape))
        return perturbed.astype(output.dtype)


class BranchComparator(_Follower):
    """Computes by `op.forward` and collects the elements that take another branch than was recorded."""

    def __init__(self, records: Sequence[BranchRecord]) -> None:
        super().__init__(records)
        self.crossings: list[Crossing] = []

    def __call__(self, op: Function, arrays: Sequence[Array]) -> Array:
        if is_promotion(op, arrays):
            return op.forward(*arrays)
        recorded = self.next(op).branches
        if recorded is not None and op.branches is not None and len(self.crossings) < MOST_CROSSINGS:
            now: Any = op.branches(*arrays)
            if now.shape != recorded.shape:
                raise DivergedError
            for element in np.argwhere(to_device(now != recorded, "cpu"))[:MOST_CROSSINGS]:
                self.crossings.append(Crossing(self.number, op.name, tuple(int(k) for k in element)))
        return op.forward(*arrays)
