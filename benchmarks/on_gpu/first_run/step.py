"""One step of the first run, in this process.

python3 -m benchmarks.on_gpu.first_run.step NAME --out DIR --seconds S [--rehearse]
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.on_gpu.first_run import plan
from benchmarks.on_gpu.first_run.record import Record
from benchmarks.on_gpu.first_run.scale import GPU, REHEARSAL, Scale

HERE = "benchmarks.on_gpu.first_run"

Run = Callable[[Record, Scale, float], None]

# name -> (module, function); functions are imported when they are run: some need PyTorch's or CuPy's libraries
STEPS = {
    "versions": ("facts", "versions_step"),
    "memory": ("memory", "check"),
    "compile": ("modules", "compile_all"),
    "tests": ("gpu_tests", "run_all"),
    "kernels": ("kernels", "measure_all"),
    "cifar-train": ("workloads", "cifar_train"),
    "resnet18-one": ("workloads", "resnet18_one"),
    "resnet18-train": ("workloads", "resnet18_train"),
    "sanitizer-racecheck": ("driver", "drive"),
    "sanitizer-memcheck": ("driver", "drive"),
}


def function_of(name: str) -> Run:
    """The function of a step."""
    module, function = STEPS[name]
    return getattr(importlib.import_module(f"{HERE}.{module}"), function)


def main() -> None:
    """Run the step that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", choices=STEPS)
    parser.add_argument("--out", type=Path, required=True, help="where its records go")
    parser.add_argument("--seconds", type=float, required=True, help="its limit, after which it is killed")
    parser.add_argument("--rehearse", action="store_true", help="tiny, on the stand-in for CuPy")
    asked = parser.parse_args()
    if asked.rehearse:
        importlib.import_module(plan.REHEARSAL)
    function_of(asked.name)(Record(asked.out, asked.name), REHEARSAL if asked.rehearse else GPU, asked.seconds)


if __name__ == "__main__":
    sys.exit(main())
