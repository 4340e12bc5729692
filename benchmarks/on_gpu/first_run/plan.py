"""The steps of the first run, in order, with the seconds that each may take."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
MINUTES = 8.0  # of the whole run: the limits of all steps add up to it
SANITIZER = "sanitizer-"  # what the steps under compute-sanitizer begin with
REHEARSAL = "benchmarks.on_gpu.first_run.rehearsal"  # the module whose import puts the stand-in in CuPy's place
STEP = (sys.executable, "-m", "benchmarks.on_gpu.first_run.step")


class Step(NamedTuple):
    """A step.

    Attributes:
        command: of its process. None: the step is left out.
        seconds: after these the process is killed.
        left_out: why it is left out.
    """

    name: str
    title: str
    command: tuple[str, ...] | None
    seconds: float
    left_out: str = ""


def steps(out: Path, minutes: float, rehearse: bool) -> list[Step]:
    """All steps, for a run of so many minutes; they write what they find into the folder `out`."""
    planned = [
        ("versions", "Versions", 20),
        ("memory", "Memory of dropped graphs", 25),
        ("compile", "Kernels compiled", 80),
        ("tests", "Tests that need a GPU", 105),
        ("kernels", "Kernels beside the roofline", 50),
        ("cifar-train", "CIFAR ResNet-20, training", 35),
        ("resnet18-one", "ResNet-18, batch 1", 30),
        ("resnet18-train", "ResNet-18, training", 40),
        (f"{SANITIZER}racecheck", "Races in shared memory (racecheck)", 45),
        (f"{SANITIZER}memcheck", "Memory accesses (memcheck)", 45),
    ]
    found = []
    for name, title, seconds in planned:
        limit = seconds * minutes / MINUTES
        command = [*STEP, name, "--out", str(out), "--seconds", str(limit), *(["--rehearse"] if rehearse else [])]
        step = Step(name, title, tuple(command), limit)
        found.append(under_sanitizer(step) if name.startswith(SANITIZER) and not rehearse else step)
    return found


def under_sanitizer(step: Step) -> Step:
    """The step under NVIDIA's compute-sanitizer, which comes with the CUDA toolkit; left out where there is none."""
    usual = Path("/usr/local/cuda/bin/compute-sanitizer")
    sanitizer = shutil.which("compute-sanitizer") or (str(usual) if usual.exists() else None)
    if sanitizer is None:
        reason = "there is no compute-sanitizer (it comes with NVIDIA's CUDA toolkit)"
        return step._replace(command=None, left_out=reason)
    assert step.command is not None
    tool = ["--tool", step.name.removeprefix(SANITIZER), "--error-exitcode", "9"]
    return step._replace(command=(sanitizer, *tool, *step.command))
