"""What every file of this folder provides: a task that can be timed, and a result that can be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.suites import FIRST_STEPS


class Contender(NamedTuple):
    """A library that is ready to run. It has run before, so that its threads and caches exist.

    Attributes:
        task: runs one batch through the network, or makes one training step.
        result: the logits, or the losses of the first training steps.
    """

    version: str
    task: Callable[[], Any]
    result: list[list[float]]


def inferring(version: str, infer: Callable[[], Any]) -> Contender:
    """A contender at inference; `infer` returns logits as an array."""
    return Contender(version, infer, infer().tolist())


def training(version: str, step: Callable[[], Any]) -> Contender:
    """A contender at training; `step` returns its loss as an object with item()."""
    return Contender(version, step, [[step().item() for _ in range(FIRST_STEPS)]])
