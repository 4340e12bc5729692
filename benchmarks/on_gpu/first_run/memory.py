"""Step "memory": whether graphs that are dropped give all their memory back to the GPU."""

from __future__ import annotations

import gc
import sys
from typing import Any

import numpy as np

from benchmarks.on_gpu.first_run.record import Record
from benchmarks.on_gpu.first_run.scale import Scale
from minires import cuda
from minires.backend.cuda.graph import Workspace

GRAPHS = 4
MIB = 1 << 20


def check(record: Record, scale: Scale, seconds: float) -> None:
    """Capture, replay and drop graphs; record the free memory after each, and the verdict. A leak is status 1.

    The first graph may leave something behind for good (CUDA's own modules and tables); the later ones must not.
    Others may use the GPU, so half an array is allowed.
    """
    cupy, size = cuda.require(), scale.megabytes * MIB
    x = cupy.zeros(size // 4, np.float32)
    free: list[int] = []
    for number in range(GRAPHS):
        taken = use_a_graph(cupy, x)
        gc.collect()
        cuda.empty_cache()
        free.append(cupy.cuda.runtime.memGetInfo()[0])
        record.add("memory", graph=number + 1, taken=taken, free=free[-1])
    lost = free[0] - free[-1]
    text = f"{lost / MIB:,.1f} MiB lost with {GRAPHS - 1} graphs"
    record.add("verdict", good=bool(lost < size // 2), text=text)
    if lost >= size // 2:
        sys.exit(f"a leak: {text}")


def use_a_graph(cupy: Any, x: Any) -> int:
    """Capture and replay some work on `x`; returns how many bytes that took from the GPU."""
    before = cupy.cuda.runtime.memGetInfo()[0]
    workspace = Workspace("cuda")

    def work() -> Any:
        return ((x + 1) * 2 - 1) * 3

    with workspace.entered():
        work()
    graph, y = workspace.capture(work, "it")
    with graph.turn():
        graph.replay()
        if float(y[0]) != 3.0:
            raise AssertionError(f"the graph computes {float(y[0])}, not 3")
    return before - cupy.cuda.runtime.memGetInfo()[0]
