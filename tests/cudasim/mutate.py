"""Mutation test of the barriers: each `__syncthreads()` and `__syncwarp()` of the CUDA sources is deleted in turn, and
the checks of cases.py must fail in one of three orders of threads.

    python -m tests.cudasim.mutate [--only conv]     all barriers, with the result for each

A barrier whose absence has no effect is listed in HARMLESS with the reason. Each deletion is tested in a process of its
own, because a kernel without a barrier may read any memory.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from minires.backend.cuda import sources
from tests.backend.standin import Cupy
from tests.cudasim import build
from tests.cudasim.cases import CASES

ROOT = Path(__file__).resolve().parents[2]
ORDERS = ("0", "1", "7")  # ascending, descending, shuffled
_BARRIER = re.compile(r"\b__sync(?:threads|warp)\([^)]*\);")


class Barrier(NamedTuple):
    """The `number`-th barrier of a file in kernels/cuda."""

    file: str
    number: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def line(self) -> int:
        text = (sources.folder() / self.file).read_text("utf-8")
        return text[: _places(text)[self.number].start()].count("\n") + 1


# {barrier: why its absence has no effect}
HARMLESS: dict[Barrier, str] = {}


def _places(text: str) -> list[re.Match[str]]:
    """The matches of the barriers in a text, except those in comments."""
    comments = [range(*found.span()) for found in re.finditer(r"//[^\n]*|/\*.*?\*/", text, re.DOTALL)]
    return [found for found in _BARRIER.finditer(text) if not any(found.start() in comment for comment in comments)]


def barriers() -> list[Barrier]:
    """All barriers of the CUDA sources."""
    files = sorted([*sources.folder().glob("*.cu"), *sources.folder().glob("*.cuh")])
    return [Barrier(file.name, k) for file in files for k in range(len(_places(file.read_text("utf-8"))))]


def without(barrier: Barrier, folder: Path) -> list[str]:
    """Copy the sources to `folder` without that barrier. Returns the changed sources that have checks."""
    whole = {source: sources.text(source) for source in sources.names()}
    shutil.copytree(sources.folder(), folder, dirs_exist_ok=True)
    file = folder / barrier.file
    text = file.read_text("utf-8")
    place = _places(text)[barrier.number]
    file.write_text(f"{text[: place.start()]};{text[place.end() :]}", "utf-8")
    with _sources_in(folder):
        return [source for source in CASES if sources.text(source) != whole[source]]


@contextmanager
def _sources_in(folder: Path) -> Iterator[None]:
    """Within the block the provider reads its sources from `folder`."""
    places = sources._PLACES

    def move(to: tuple[Path, ...]) -> None:
        sources._PLACES = to
        sources.text.cache_clear()
        sources.signatures.cache_clear()

    move((folder,))
    try:
        yield
    finally:
        move(places)


def check(folder: Path, names: list[str]) -> str:
    """The first failure of the checks of these sources, with the sources in `folder`; empty if they pass."""
    with _sources_in(folder), pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", cupy := Cupy())
        for name in names:
            for (number, each), order in itertools.product(enumerate(CASES[name]), ORDERS):
                patch.setenv("CUDASIM_ORDER", order)
                try:
                    each(cupy)
                except Exception as error:
                    lines = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
                    return f"order {order}, check {number} of {name}: {type(error).__name__} {lines[:80]}"
    return ""


def notice(barrier: Barrier) -> str:
    """The failure that shows that `barrier` is missing; empty if there is none."""
    with tempfile.TemporaryDirectory(prefix="minires-mutant-") as name:
        folder = Path(name) / "sources"
        names = without(barrier, folder)
        # Its libraries are used once, so they are not kept.
        environment = {**os.environ, "CUDASIM_CACHE": str(Path(name) / "cache"), "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.cudasim.mutate", "--check", str(folder), *names]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        return f"the process ends with status {done.returncode}: {done.stderr[-300:]}"
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="files whose names begin so")
    parser.add_argument("--check", nargs="+", metavar=("FOLDER", "SOURCE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if build.unavailable():
        sys.exit(build.unavailable())
    if asked.check:
        folder, *names = asked.check
        complaint = check(Path(folder), names)
        print(complaint)
        sys.exit(3 if complaint else 0)
    missed = 0
    wanted = [barrier for barrier in barriers() if barrier.file.startswith(asked.only)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for barrier, noticed in zip(wanted, pool.map(notice, wanted), strict=True):
            missed += not noticed and barrier not in HARMLESS
            verdict = noticed or HARMLESS.get(barrier, "MISSED")
            print(f"{barrier!s:24} {verdict}", flush=True)
    sys.exit(f"{missed} of {len(wanted)} missed" if missed else 0)


if __name__ == "__main__":
    main()
