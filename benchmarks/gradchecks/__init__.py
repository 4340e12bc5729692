"""Four gradient checkers on the same backward passes: 40 that are wrong and 20 that are right but hard to check.

    python -m benchmarks.gradchecks

A case is written once, in plain NumPy; `checkers.py` hands it to MiniRes, PyTorch, HIPS autograd and a plain central
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
        inputs: float64 arrays, all of them differentiated.
        forward: (*arrays) -> array. The analytic ones take complex arrays too, which is how the tests know the truth.
        backward: (gradient of the output, *arrays) -> one gradient an input; None where there is none.
        right: the correct backward, where `backward` is a mistake.
        branches: (*arrays) -> which branch each non-smooth decision took; at a tie, the documented convention.
        on_branches: (branches, *arrays) -> what forward returns, as if these branches had been taken; smooth.
        declared: whether MiniRes is told the branches. PyTorch and HIPS autograd have no place for them.
        name, note: what the table says.
    """

    inputs: tuple[Array, ...]
    forward: Callable[..., Array]
    backward: Backward
    right: Backward | None = None
    branches: Callable[..., Any] | None = None
    on_branches: Callable[..., Array] | None = None
    declared: bool = True
    name: str = ""
    note: str = ""


Build = Callable[[], Case]


def register(cases: dict[str, Build]) -> Callable[[Build], Build]:
    """Decorator: adds a function that builds a case to `cases`; its name and docstring are the case's.

    Each call builds a fresh one: some mistakes are a state that outlives a call, and no checker may meet another's.
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
    """`scale` times standard normal numbers, the same ones each time."""
    return scale * np.random.default_rng(seed).standard_normal(shape)
