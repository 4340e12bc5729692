"""A forward pass noted down, and played again.

ReLU, max pooling and their kind choose: this element passes, that one does not. Within one set of choices a network is
smooth, and a difference of two points means something only if both made the same ones. So the first pass is noted
(`Listener`), other passes are compared with it (`Comparer`), or are made to choose likewise (`Repeater`): what that
computes is the smooth piece of the function on which the point lies, and at a tie the piece that the documented
convention names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minires.backend import Array, to_device
from minires.core.function import Function

MOST_CROSSINGS = 20  # remembered of one pass; a large step in a network crosses thousands


class DivergedError(Exception):
    """Another pass applied other operations: the function branches on its numbers in Python."""


@dataclass(frozen=True)
class Note:
    """What one operation chose: `branches` as the op declares them, None where it has no choice.

    narrows: its output is float32 though it was given float64.
    """

    op: str
    branches: Array | None
    narrows: bool = False


@dataclass(frozen=True)
class Crossing:
    """An element that took another branch than before: of which operation, from 0, and where in its choices."""

    number: int
    op: str
    element: tuple[int, ...]

    def __str__(self) -> str:
        where = f", element {self.element}" if self.element else ""
        return f"{self.op} (operation {self.number}{where})"


class Listener:
    """Computes as ever, and notes."""

    def __init__(self) -> None:
        self.notes: list[Note] = []

    def __call__(self, op: Function, arrays: Sequence[Array]) -> Array:
        branches = None if op.branches is None else op.branches(*arrays)
        output = op.forward(*arrays)
        narrows = getattr(output, "dtype", None) == np.float32 and any(array.dtype == np.float64 for array in arrays)
        self.notes.append(Note(op.name, branches, narrows))
        return output


class _Follower:
    """Goes through the notes as operations are applied."""

    def __init__(self, notes: Sequence[Note]) -> None:
        self.notes = notes
        self.number = -1

    def next(self, op: Function) -> Note:
        self.number += 1
        if self.number >= len(self.notes) or self.notes[self.number].op != op.name:
            raise DivergedError
        return self.notes[self.number]


class Repeater(_Follower):
    """Computes with the choices of the notes."""

    def __call__(self, op: Function, arrays: Sequence[Array]) -> Array:
        note = self.next(op)
        if note.branches is None or op.on_branches is None:
            return op.forward(*arrays)
        branches = note.branches
        return op.on_branches(to_device(branches, "cpu") if isinstance(arrays[0], np.ndarray) else branches, *arrays)


class Shaker(Repeater):
    """The same, with the last bits of each result at random, as if each operation had rounded otherwise."""

    def __init__(self, notes: Sequence[Note], rng: np.random.Generator) -> None:
        super().__init__(notes)
        self.rng = rng

    def __call__(self, op: Function, arrays: Sequence[Array]) -> Array:
        in_backward = self.number + 1 >= len(self.notes)  # beyond the forward pass that was noted
        output: Any = op.forward(*arrays) if in_backward else super().__call__(op, arrays)
        if not isinstance(output, (np.ndarray, np.floating)) or output.dtype.kind != "f":
            return output
        shaken = output * (1 + np.finfo(output.dtype).eps * self.rng.choice((-1.0, 1.0), output.shape))
        return shaken.astype(output.dtype)


class Comparer(_Follower):
    """Computes as ever, and notes who chose differently."""

    def __init__(self, notes: Sequence[Note]) -> None:
        super().__init__(notes)
        self.crossings: list[Crossing] = []

    def __call__(self, op: Function, arrays: Sequence[Array]) -> Array:
        note = self.next(op)
        if note.branches is not None and op.branches is not None and len(self.crossings) < MOST_CROSSINGS:
            now: Any = op.branches(*arrays)
            if now.shape != note.branches.shape:
                raise DivergedError
            for element in np.argwhere(to_device(now != note.branches, "cpu"))[:MOST_CROSSINGS]:
                self.crossings.append(Crossing(self.number, op.name, tuple(int(k) for k in element)))
        return op.forward(*arrays)
