"""Speeds are numbers of operations or bytes over the shortest of several durations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minires.backend import cpu
from minires.inspection import machine


def test_speeds_are_work_over_time(monkeypatch):
    """A product of 100 × 100 is 2·10⁶ operations; 8 MB are read and written, 16 MB in all."""
    asked: list[int] = []

    def half_a_second(function: Any, runs: int) -> float:
        asked.append(runs)
        function()
        return 0.5

    monkeypatch.setattr(machine, "best_of", half_a_second)
    found = machine.measure(size=100, megabytes=8, runs=3, threads=2)
    assert found.numpy == pytest.approx(2e6 / 0.5 / 1e9)
    assert found.kernels == (None if cpu.library is None else found.numpy)
    assert found.copy == pytest.approx(2 * 8e6 / 0.5 / 1e9)
    assert asked == [3] * (2 if cpu.library is None else 3)


def test_the_best_of_several_runs_after_one_to_warm_up(monkeypatch):
    calls: list[int] = []
    durations = iter([5.0, 2.0, 3.0])
    monkeypatch.setattr(machine, "seconds", lambda function: (function(), next(durations))[1])
    assert machine.best_of(lambda: calls.append(1), 3) == 2.0
    assert len(calls) == 4


def test_a_duration_is_measured(monkeypatch):
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(clock))
    assert machine.seconds(lambda: None) == 2.5


def test_a_copy_is_made_by_all_threads(monkeypatch):
    seen: list[Any] = []
    monkeypatch.setattr(machine.np, "copyto", lambda target, source: seen.append((target.size, source.size)))
    monkeypatch.setattr(machine, "best_of", lambda function, runs: (function(), 1.0)[1])
    assert machine._copied(4000, 1, 4) == 8000
    assert seen == [(250, 250)] * 4


def test_this_machine_is_described():
    found = machine.describe()
    assert found.cores >= 1
    assert found.processor
    assert found.numpy == np.__version__
    assert (found.kernels is None) is (cpu.library is None)
    assert bool(found.gpus) is not bool(found.no_gpu)
    assert all(threads >= 1 for threads in found.blas.values())
