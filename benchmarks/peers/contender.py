"""What every file of this folder hands over: a task that can be timed, and what it computed, to be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.suites import FIRST_STEPS


class Contender(NamedTuple):
    """A library, ready to run; both ways it has run already, so its threads and caches are there."""

    version: str
    task: Callable[[], Any]  # once: a batch inferred, or a training step
    result: list[list[float]]  # logits, or the losses of the first steps


def inferring(version: str, infer: Callable[[], Any]) -> Contender:
    """`infer` returns logits as an array."""
    return Contender(version, infer, infer().tolist())


def training(version: str, step: Callable[[], Any]) -> Contender:
    """`step` returns its loss as something with item()."""
    return Contender(version, step, [[step().item() for _ in range(FIRST_STEPS)]])
