"""The machine that a benchmark runs on, by `minires.inspection.machine`, in the form that benchmarks print.

It imports NumPy. A process that starts workers must not (see worker.peak_memory): it asks a worker.
"""

from __future__ import annotations

import os
import platform
from typing import Any

from minires.inspection import machine


def describe() -> dict[str, Any]:
    """The machine in words, the number of cores that this process may use, and the load before the run.

    The load is the number of processes that wanted a core, averaged over the last minute; None where the system does
    not say. Above 0, other programs disturb the measurement.
    """
    cores = machine.cores()
    return {
        "machine": f"{machine.processor()}, {cores} cores, {platform.system()}, Python {platform.python_version()}",
        "cores": cores,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def speed(threads: int) -> tuple[float, float]:
    """(operations per second of a large matrix product, bytes per second that a copy reads and writes).

    NumPy's BLAS computes the product with all threads that it has; `threads` threads share the copy.
    """
    found = machine.measure(size=2048, megabytes=256, runs=3, threads=threads)
    return 1e9 * found.numpy, 1e9 * found.copy
