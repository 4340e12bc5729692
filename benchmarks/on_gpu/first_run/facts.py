"""Step "versions": the hardware, and what is installed."""

from __future__ import annotations

import subprocess
from importlib import metadata

import numpy as np

from benchmarks.on_gpu.first_run.plan import ROOT
from benchmarks.on_gpu.first_run.record import Record
from benchmarks.on_gpu.first_run.scale import Scale
from benchmarks.on_gpu.versions import pytorch, versions
from minires import cuda


def versions_of_all() -> dict[str, str]:
    """{name: version}, and the free memory of the GPU."""
    torch, notes = pytorch()
    free, total = cuda.require().cuda.runtime.memGetInfo()
    found = {**versions(torch), "commit": commit(), "NumPy": np.__version__, "pytest": metadata.version("pytest")}
    found |= {"hypothesis": installed("hypothesis"), "free memory": f"{free >> 20:,} of {total >> 20:,} MiB"}
    return found | ({"note": notes[0]} if notes else {})


def installed(package: str) -> str:
    """The version of a package, or that there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def commit() -> str:
    """The commit of this checkout, with a "+" if files have changed since; where there is no checkout, that."""
    commands = (["git", "rev-parse", "--short", "HEAD"], ["git", "status", "--porcelain", "--untracked-files=no"])
    try:
        head, changed = (
            subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return "not in a checkout of git"
    return head + "+" * bool(changed)


def versions_step(record: Record, scale: Scale, seconds: float) -> None:
    """Record the versions."""
    record.add("versions", **versions_of_all())
