"""What this machine is, and how fast it is at the two things that bound every network: multiplying and moving."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.worker import seconds_of


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> str:
    """Processor, cores, Python."""
    return f"{processor()}, {cores()} cores, {platform.system()}, Python {platform.python_version()}"


def processor() -> str:
    """Its name as Linux knows it; elsewhere what Python says."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text("utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def load() -> float:
    """How many processes wanted a core, on average in the last minute. Above 0, others disturb what is measured."""
    return round(os.getloadavg()[0], 2)


def machine_speed(threads: int = 1, times: int = 7) -> tuple[float, float]:
    """(operations per second of a large matrix product, bytes per second that a copy reads and writes).

    The product takes as many threads as NumPy's BLAS has, the copy those that are asked for.
    """
    import numpy as np

    a, b, product = (np.ones((2048, 2048), np.float32) for _ in range(3))
    large, copy = (np.ones(1 << 26, np.float32) for _ in range(2))
    parts = list(zip(np.array_split(copy, threads), np.array_split(large, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        moving = best_of(lambda: list(pool.map(lambda part: np.copyto(*part), parts)), times)
    operations = 2 * 2048**3 / best_of(lambda: np.matmul(a, b, out=product), times)
    return operations, 2 * large.nbytes / moving


def best_of(function: Callable[[], Any], times: int = 7) -> float:
    """The shortest of some runs, in seconds."""
    return min(seconds_of(function) for _ in range(times))
