"""Step "kernels": the time of each kernel of a training step beside the least that this GPU allows."""

from __future__ import annotations

import sys

from benchmarks.on_gpu import roofline
from benchmarks.on_gpu.first_run.record import Record
from benchmarks.on_gpu.first_run.scale import Scale
from benchmarks.on_gpu.rounds import one_line
from benchmarks.on_gpu.timing import cupy_events
from benchmarks.on_gpu.versions import pytorch
from minires import cuda


def measure_all(record: Record, scale: Scale, seconds: float) -> None:
    """Record the limits of the GPU, then a row for each kernel, shape and precision. One that fails is status 1."""
    cupy, (torch, _) = cuda.require(), pytorch()
    events, (model, batch, size) = cupy_events(cupy), scale.kernels
    roofline.SIDE, roofline.COPIED = scale.side, scale.copied
    limits = roofline.measure_limits(cupy, torch, scale.effort)
    record.add("limits", model=model, batch=batch, size=size, limits=limits._asdict())
    cuda.empty_cache()
    failed = 0
    for kernel in roofline.kernels(model, batch, size):
        try:
            for row in roofline.shares(kernel, limits, events, scale.effort):
                record.add("row", **row, error=None)
        except Exception as error:  # of one kernel: the others are measured all the same
            told = {"name": kernel.name, "shape": kernel.shape, "count": kernel.count, "precision": ""}
            record.add("row", **told, error=one_line(error))
            failed += 1
        cuda.empty_cache()
    if failed:
        sys.exit(f"{failed} kernels fail")
