"""MiniRes and PyTorch side by side on a GPU, and how near each kernel comes to what the GPU allows.

    python benchmarks/gpu.py                          everything, as tables: half an hour or more
    python benchmarks/gpu.py --quick                  fewer and shorter measurements
    python benchmarks/gpu.py --only resnet18-train --only kernels
    python benchmarks/gpu.py --json                   the same as JSON; --markdown: as tables for a page

All contenders have the same weights and random images, and their outputs are compared before they are timed. They take
turns in one process, round after round, on one GPU. Device time by events: what lies between two events includes the
gaps in which the GPU waits for the host. A ratio is taken within each round; medians count. Without PyTorch, or with
one that sees no GPU, MiniRes runs alone. Exit code 2: there is no GPU to use, and a line says why.
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
from benchmarks.on_gpu.works import OURS, TORCH, WORKS, Contender, Work
from minires import cuda

KERNELS = "kernels"  # the name of the part that is about single kernels
KERNELS_OF = ("resnet18", 256, 224)  # network, batch, size


class Parser(argparse.ArgumentParser):
    """A mistake is answered with one line, not with the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    names = [*(work.name for work in WORKS), KERNELS]
    parser = Parser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=names, help="this part; may be given several times")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter measurements")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print tables for a page")
    options = parser.parse_args(arguments)
    options.only = options.only or names
    return options


def contenders(work: Work, torch: Any) -> list[Contender]:
    """PyTorch's, if it is there, and ours, with weights and images of their own making."""
    with tempfile.TemporaryDirectory() as folder:
        inputs.write(Path(folder), work.model, work.batch, work.size, lived_in=not work.train)
        shared = inputs.read(Path(folder))
    found = ours.contenders(work, shared)
    if torch is not None:
        found = [*importlib.import_module("benchmarks.on_gpu.pytorch").contenders(work, shared), *found]
    return found


def measure_work(work: Work, cupy: Any, torch: Any, effort: Effort) -> dict[str, Any]:
    """All contenders of one work."""
    events = {OURS: cupy_events(cupy)}
    if torch is not None:
        events[TORCH] = torch_events(torch)

    def release() -> None:
        cuda.empty_cache()
        if torch is not None:
            torch.cuda.empty_cache()

    return compare(work, contenders(work, torch), events, effort, release)


def measure_kernels(cupy: Any, torch: Any, effort: Effort) -> dict[str, Any]:
    """The roofs, and every kernel under them; one that fails is told."""
    model, batch, size = KERNELS_OF
    effort = effort._replace(warm_up=min(effort.warm_up, 0.2))
    limits = roofline.roofs(cupy, torch, effort)
    cuda.empty_cache()
    rows: list[dict[str, Any]] = []
    for kernel in roofline.kernels(model, batch, size):
        try:
            rows += [{**row, "error": None} for row in roofline.shares(kernel, limits, cupy_events(cupy), effort)]
        except Exception as error:
            rows.append({"name": kernel.name, "shape": kernel.shape, "count": kernel.count, "precision": ""})
            rows[-1]["error"] = one_line(error)
        cuda.empty_cache()
    return {"model": model, "batch": batch, "size": size, "roofs": limits._asdict(), "rows": rows}


def tables(found: dict[str, Any]) -> Iterator[report.Table]:
    """All that there is to show."""
    yield from map(report.of_work, found["works"])
    if any(work["targets"] for work in found["works"]):
        yield report.of_targets(found["works"])
    if found["kernels"] is not None:
        yield report.of_kernels(found["kernels"])


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what was asked for; what is under way is told on standard error."""
    cupy, (torch, notes) = cuda.require(), pytorch()
    effort = QUICK if options.quick else FULL
    works = []
    for work in WORKS:
        if work.name in options.only:
            print(f"{work.title}, batch {work.batch} …", file=sys.stderr, flush=True)
            works.append(measure_work(work, cupy, torch, effort))
    kernels = None
    if KERNELS in options.only:
        print("kernels …", file=sys.stderr, flush=True)
        kernels = measure_kernels(cupy, torch, effort)
    about = {"versions": versions(torch), "notes": notes, "rounds": effort.rounds, "samples": effort.samples}
    return {**about, "works": works, "kernels": kernels}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; returns the exit code."""
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
