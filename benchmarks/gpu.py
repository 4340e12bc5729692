"""MiniRes and PyTorch side by side on a GPU, and the time of each kernel beside the least that the GPU allows.

    python benchmarks/gpu.py                          everything, as tables: half an hour or more
    python benchmarks/gpu.py --quick                  fewer and shorter measurements
    python benchmarks/gpu.py --only resnet18-train --only kernels
    python benchmarks/gpu.py --json                   the same as JSON; --markdown: as tables for a page

All contenders have the same weights and random images, and their outputs are compared before they are timed. They take
turns in one process, round after round, on one GPU. Times are device times by events: the time between two events
includes the gaps in which the GPU waits for the host. A ratio is taken within each round; the medians count. Without
PyTorch, or with one that sees no GPU, MiniRes runs alone. The exit code is 2 if there is no GPU to use, and a line says
why.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console

from benchmarks import inputs
from benchmarks.on_gpu import ours, report, roofline
from benchmarks.on_gpu.rounds import compare, one_line
from benchmarks.on_gpu.timing import FULL, QUICK, Effort, cupy_events, torch_events
from benchmarks.on_gpu.versions import pytorch, versions
from benchmarks.on_gpu.workloads import OURS, TORCH, WORKLOADS, Contender, Workload
from minires import cuda

KERNELS = "kernels"  # the name of the part that times single kernels
KERNELS_OF = ("resnet18", 256, 224)  # network, batch, size


class Parser(argparse.ArgumentParser):
    """An argument parser that answers a mistake with one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    names = [*(workload.name for workload in WORKLOADS), KERNELS]
    parser = Parser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=names, help="this part; may be given several times")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter measurements")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print tables for a page")
    options = parser.parse_args(arguments)
    options.only = options.only or names
    return options


def contenders(workload: Workload, torch: Any) -> list[Contender]:
    """PyTorch's contenders, if PyTorch is there, and ours, all with the same weights and images."""
    with tempfile.TemporaryDirectory() as folder:
        inputs.write(Path(folder), workload.model, workload.batch, workload.size, trained_norms=not workload.train)
        shared = inputs.read(Path(folder))
    found = ours.contenders(workload, shared)
    if torch is not None:
        found = [*importlib.import_module("benchmarks.on_gpu.pytorch").contenders(workload, shared), *found]
    return found


def measure_workload(workload: Workload, cupy: Any, torch: Any, effort: Effort) -> dict[str, Any]:
    """The results of all contenders of one workload."""
    events = {OURS: cupy_events(cupy)}
    if torch is not None:
        events[TORCH] = torch_events(torch)

    def release() -> None:
        cuda.empty_cache()
        if torch is not None:
            torch.cuda.empty_cache()

    return compare(workload, contenders(workload, torch), events, effort, release)


def measure_kernels(cupy: Any, torch: Any, effort: Effort) -> dict[str, Any]:
    """The limits of the GPU and a row for every kernel; a kernel that fails has its error in the row."""
    model, batch, size = KERNELS_OF
    effort = effort._replace(warm_up=min(effort.warm_up, 0.2))
    limits = roofline.measure_limits(cupy, torch, effort)
    cuda.empty_cache()
    rows: list[dict[str, Any]] = []
    for kernel in roofline.kernels(model, batch, size):
        try:
            rows += [{**row, "error": None} for row in roofline.shares(kernel, limits, cupy_events(cupy), effort)]
        except Exception as error:
            rows.append({"name": kernel.name, "shape": kernel.shape, "count": kernel.count, "precision": ""})
            rows[-1]["error"] = one_line(error)
        cuda.empty_cache()
    return {"model": model, "batch": batch, "size": size, "limits": limits._asdict(), "rows": rows}


def tables(found: dict[str, Any]) -> Iterator[report.Table]:
    """The tables of everything that was measured."""
    yield from map(report.workload_table, found["workloads"])
    if any(workload["targets"] for workload in found["workloads"]):
        yield report.target_table(found["workloads"])
    if found["kernels"] is not None:
        yield report.kernel_table(found["kernels"])


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measures what was asked for; prints to standard error what it is measuring."""
    cupy, (torch, notes) = cuda.require(), pytorch()
    effort = QUICK if options.quick else FULL
    workloads = []
    for workload in WORKLOADS:
        if workload.name in options.only:
            print(f"{workload.title}, batch {workload.batch} …", file=sys.stderr, flush=True)
            workloads.append(measure_workload(workload, cupy, torch, effort))
    kernels = None
    if KERNELS in options.only:
        print("kernels …", file=sys.stderr, flush=True)
        kernels = measure_kernels(cupy, torch, effort)
    about = {"versions": versions(torch), "notes": notes, "rounds": effort.rounds, "samples": effort.samples}
    return {**about, "workloads": workloads, "kernels": kernels}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for; returns the exit code."""
    options = parse(arguments)
    if not (available := cuda.is_available()):
        print(f"benchmarks/gpu.py: there is no GPU to use: {available.reason}", file=sys.stderr)
        return 2
    found = run(options)
    if options.json:
        print(json.dumps(found))
    elif options.markdown:
        print("\n".join(f"- {line}" for line in report.heading(found["versions"], found["notes"])), end="\n\n")
        print("\n".join(map(report.markdown, tables(found))))
    else:
        console = Console(highlight=False, markup=False)
        if not console.is_terminal:
            console = Console(highlight=False, markup=False, width=200)
        for line in report.heading(found["versions"], found["notes"]):
            console.print(line)
        for table in tables(found):
            report.show(table, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
