"""Device time by events: the time that the GPU needs for a task, with the gaps in which it waits for the host."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

SHORTEST = 5.0  # milliseconds between two events, at least: shorter tasks are done several times


class Events(NamedTuple):
    """The events of a library. An event has a method record(), which marks the current place in its stream.

    Attributes:
        make: returns a new event.
        elapsed: returns the milliseconds between two events.
        wait: returns when the GPU has done everything that it was asked for.
    """

    make: Callable[[], Any]
    elapsed: Callable[[Any, Any], float]
    wait: Callable[[], Any]


def cupy_events(cupy: Any) -> Events:
    """Events of CuPy's current stream."""
    return Events(cupy.cuda.Event, cupy.cuda.get_elapsed_time, cupy.cuda.Device().synchronize)


def torch_events(torch: Any) -> Events:
    """Events of PyTorch's current stream."""
    return Events(lambda: torch.cuda.Event(enable_timing=True), lambda a, b: a.elapsed_time(b), torch.cuda.synchronize)


class Effort(NamedTuple):
    """How thorough a measurement is.

    Attributes:
        rounds: the number of rounds in which all contenders take turns.
        samples: the number of samples of a contender in a round; their median counts.
        warm_up: seconds for which a task runs untimed before, so that clocks rise and caches fill.
    """

    rounds: int
    samples: int
    warm_up: float


FULL, QUICK = Effort(rounds=5, samples=20, warm_up=1.0), Effort(rounds=2, samples=5, warm_up=0.1)


def measure(task: Callable[[], Any], events: Events, effort: Effort) -> float:
    """The milliseconds of a call: the median of some samples, which follow each other without a pause."""
    once = warm_up(task, events, effort.warm_up)
    calls = max(1, math.ceil(SHORTEST / max(once, 1e-3)))
    marks = [events.make() for _ in range(effort.samples + 1)]
    marks[0].record()
    for mark in marks[1:]:
        for _ in range(calls):
            task()
        mark.record()
    events.wait()
    return statistics.median(events.elapsed(start, end) / calls for start, end in pairwise(marks))


def warm_up(task: Callable[[], Any], events: Events, seconds: float) -> float:
    """Calls the task for so many seconds, at least twice; returns the milliseconds of the last call."""
    begun = time.perf_counter()
    task()
    while True:
        start, end = events.make(), events.make()
        start.record()
        task()
        end.record()
        events.wait()
        if time.perf_counter() - begun >= seconds:
            return events.elapsed(start, end)
