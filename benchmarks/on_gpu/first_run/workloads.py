"""Steps "cifar-train", "resnet18-one" and "resnet18-train": MiniRes beside PyTorch eager, with the memory left free.

A compiled PyTorch is left out: it takes minutes to compile.
"""

from __future__ import annotations

import gc
import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.on_gpu import ours, rounds
from benchmarks.on_gpu.first_run.record import Record
from benchmarks.on_gpu.first_run.scale import Scale
from benchmarks.on_gpu.timing import cupy_events, torch_events
from benchmarks.on_gpu.versions import pytorch
from benchmarks.on_gpu.workloads import COMPILED, OURS, TORCH, WORKLOADS, Contender, Workload
from minires import cuda


def cifar_train(record: Record, scale: Scale, seconds: float) -> None:
    """A training step of CIFAR's ResNet-20."""
    measure("cifar-train", record, scale)


def resnet18_one(record: Record, scale: Scale, seconds: float) -> None:
    """Inference of one image."""
    measure("resnet18-one", record, scale)


def resnet18_train(record: Record, scale: Scale, seconds: float) -> None:
    """A training step of ResNet-18."""
    measure("resnet18-train", record, scale)


def measure(name: str, record: Record, scale: Scale) -> None:
    """Let all contenders take turns; record each turn with the memory that is free after it, then the summary.

    Ends with status 1 if one of them fails, or computes something else than the others.
    """
    (workload,) = (workload for workload in WORKLOADS if workload.name == name)
    if name in scale.workloads:
        model, batch, size = scale.workloads[name]
        workload = workload._replace(model=model, batch=batch, size=size)
    cupy, (torch, notes) = cuda.require(), pytorch()
    for note in notes:
        record.add("note", text=note)
    events = {OURS: cupy_events(cupy)}
    if torch is not None:
        events[TORCH] = torch_events(torch)
    taking_part = contenders(workload, torch)
    times: dict[str, list[float]] = {each.name: [] for each in taking_part}
    results: dict[str, list[list[float]]] = {}
    errors: dict[str, str] = {}
    for number in range(scale.effort.rounds):
        for each in taking_part:
            if each.name in errors:
                continue
            milliseconds = None
            try:
                milliseconds, result = rounds.turn(each, events[each.library], scale.effort)
                times[each.name].append(milliseconds)
                results.setdefault(each.name, result)
            except Exception as error:  # whatever a library raises: the others go on, and it is told
                errors[each.name] = rounds.one_line(error)
            release(torch)
            told = {"contender": each.name, "milliseconds": milliseconds, "error": errors.get(each.name)}
            record.add("turn", round=number + 1, **told, free=cupy.cuda.runtime.memGetInfo()[0])
    found = rounds.summary(workload, taking_part, times, results, errors)
    record.add("summary", **found)
    if failed := [row["contender"] for row in found["rows"] if row["error"]]:
        sys.exit(f"no result of {', '.join(failed)}")


def contenders(workload: Workload, torch: Any) -> list[Contender]:
    """PyTorch eager, if it is there, and MiniRes, with the same weights and images."""
    with tempfile.TemporaryDirectory() as folder:
        inputs.write(Path(folder), workload.model, workload.batch, workload.size, trained_norms=not workload.train)
        shared = inputs.read(Path(folder))
    found = ours.contenders(workload, shared)
    if torch is None:
        return found
    theirs = importlib.import_module("benchmarks.on_gpu.pytorch").contenders(
        workload, shared, compiler=lambda model: model
    )
    return [*(each for each in theirs if each.mode != COMPILED), *found]


def release(torch: Any) -> None:
    """Give back all memory that nobody needs."""
    gc.collect()
    cuda.empty_cache()
    if torch is not None:
        torch.cuda.empty_cache()
