"""A comparison of four gradient checkers on 80 wrong backward passes, and on 50 right ones that are hard to check.

    python -m benchmarks.gradchecks

Each case is written once, in NumPy. `checkers.py` passes it to MiniRes, PyTorch, HIPS autograd and a plain central
difference, each in the form that its documentation shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Array = np.ndarray
Backward = Callable[..., Sequence[Array | None]]


@dataclass(frozen=True)
class Case:
    """One operation and its backward, which may be wrong.

    Attributes:
        inputs: float64 or float32 arrays, all of them differentiated.
        forward: (*inputs, *extras) -> array. If it is analytic it takes complex arrays too: the tests use the complex
            step.
        backward: (gradient of the output, *inputs, *extras) -> one gradient an input; None where there is none.
        right: the correct backward, where `backward` is a mistake.
        branches: (*arrays) -> the branch that each non-smooth decision took; at a tie, that of the convention.
        on_branches: (branches, *arrays) -> what forward returns if these branches are taken: a smooth function.
        declared: whether MiniRes is told the branches. PyTorch and HIPS autograd have no such declaration.
        extras: (*inputs) -> further arguments, which are computed outside of the graph and have no gradient: constants
            of a closure, or what a stop-gradient cuts off.
        stops: whether the gradient stops at the extras on purpose, so that the right one treats them as constant.
            MiniRes is told so (`stop_gradients=True`); PyTorch and HIPS autograd have no such declaration.
        surrogate: (*inputs) -> the smooth function whose gradient a straight-through op passes on. MiniRes is told.
        name, note: the first two columns of the table.
    """

    inputs: tuple[Array, ...]
    forward: Callable[..., Array]
    backward: Backward
    right: Backward | None = None
    branches: Callable[..., Any] | None = None
    on_branches: Callable[..., Array] | None = None
    declared: bool = True
    extras: Callable[..., tuple[Array, ...]] = lambda *arrays: ()
    stops: bool = False
    surrogate: Callable[..., Array] | None = None
    name: str = ""
    note: str = ""

    def arguments(self, *inputs: Array) -> tuple[Array, ...]:
        """(*inputs, *extras), which forward and backward take."""
        return *inputs, *self.extras(*inputs)

    def whole(self, *inputs: Array) -> Array:
        """The function that is checked: forward with its extras."""
        return self.forward(*self.arguments(*inputs))


Build = Callable[[], Case]


def register(cases: dict[str, Build]) -> Callable[[Build], Build]:
    """A decorator that adds a function which builds a case to `cases`; its name and docstring become the case's.

    Each call builds a new case: some mistakes are a state that outlives a call, which checkers must not share.
    """

    def add(build: Build) -> Build:
        name = build.__name__.replace("_", "-")
        note = " ".join((build.__doc__ or "").split()).rstrip(".")

        def fresh() -> Case:
            return replace(build(), name=name, note=note)

        cases[name] = fresh
        return fresh

    return add


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Array:
    """`scale` times standard normal numbers; the same numbers for the same seed."""
    return scale * np.random.default_rng(seed).standard_normal(shape)
