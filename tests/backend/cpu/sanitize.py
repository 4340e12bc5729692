"""`make sanitize`: the C kernels under AddressSanitizer and UndefinedBehaviorSanitizer.

The kernels are built with both in copies of the tree (the build in place is not changed). The fuzz test runs them for
SECONDS, and then the tests of the backend. These end the run with a report: an access outside a block or to a freed
one, an overflow, a shift by too many bits. Under AddressSanitizer memory.c does not recycle blocks, so that accesses
beyond their ends are found.

    baseline, avx2    the distributed builds 16 lanes          vectors and register blocks as wide as with AVX-512,
    which GCC composes of AVX2's: tests the logic of that build on processors without AVX-512

Needs Linux and GCC, whose runtime is loaded before Python.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
COPIED = ("minires", "kernels", "tests", "setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")
SECONDS = 60
FLAGS = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -Wno-psabi"
# Tests of the memory that is kept: under AddressSanitizer none is. (test_memory.py skips itself.)
RECYCLING = ("test_what_is_freed_is_used_again", "test_the_limit", "test_empty_cache")
IS_X86 = platform.machine() in ("x86_64", "AMD64")


class Build(NamedTuple):
    """A copy of the tree, and the build in it."""

    name: str
    kernels: str  # MINIRES_KERNELS
    flags: str


class Run(NamedTuple):
    """A program to run with the kernels of a build."""

    name: str
    build: str
    isa: str  # MINIRES_ISA; "" is the best
    arguments: list[str]


def builds() -> list[Build]:
    return [
        Build("plain", "baseline,avx2" if IS_X86 else "baseline", FLAGS),
        Build("wide", "baseline", f"{FLAGS} -DLANES=16 {'-mavx2 -mfma' if IS_X86 else ''}"),
    ]


def runs(seconds: float, seed: int) -> list[Run]:
    fuzz = ["-m", "tests.backend.cpu.fuzz", "--keep-going", "--seconds", str(seconds), "--seed", str(seed)]
    tests = ["-m", "pytest", "tests/backend", "-m", "not slow", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    no_c_kernels = ("cuda", "test_device.py", "test_cupy.py")
    tests += [f"--ignore=tests/backend/{name}" for name in no_c_kernels]
    tests += ["--capture=sys"]  # a sanitizer writes its report to the file descriptor: pytest must not keep it
    tests += ["-k", " and ".join(f"not {name}" for name in RECYCLING)]
    return [
        Run("tests on the best of them", "plain", "", tests),
        Run("fuzz on baseline", "plain", "baseline", fuzz),
        *([Run("fuzz on avx2", "plain", "avx2", fuzz)] if IS_X86 else []),
        Run("fuzz on 16 lanes", "wide", "baseline", fuzz),
    ]


def runtime(name: str) -> str:
    """The path of one of the compiler's libraries."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    found = subprocess.run([*compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    path = found.stdout.strip()
    if not os.path.isabs(path):
        sys.exit(f"make sanitize: {compiler[0]} has no {name}; it needs GCC on Linux, with its sanitizers")
    return path


def make(build: Build, folder: Path) -> subprocess.CompletedProcess[str]:
    """Copy the tree and compile its kernels."""
    copy = folder / build.name
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    environment = {**os.environ, "MINIRES_KERNELS": build.kernels, "MINIRES_CFLAGS": build.flags}
    return _python(["setup.py", "-q", "build_ext", "--inplace"], copy, environment)


def take(run: Run, folder: Path, preloaded: str) -> subprocess.CompletedProcess[str]:
    """Run the program with these libraries first, and with malloc, so that Python's allocations are checked too."""
    environment = {
        **os.environ,
        "CI": "true",  # the same examples of hypothesis each time
        "LD_PRELOAD": preloaded,
        # Python does not free everything at exit, so leaks are not reported.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(folder / run.build),
        "MINIRES_ISA": run.isa,
        "OPENBLAS_NUM_THREADS": "1",
    }
    return _python(run.arguments, folder / run.build, environment)


def _python(arguments: list[str], where: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    together = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run([sys.executable, *arguments], cwd=where, env=environment, text=True, check=False, **together)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each fuzz")
    parser.add_argument("--seed", type=int, default=0, help="of the first turn of each fuzz")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="programs at a time")
    wanted = parser.parse_args()
    # libstdc++ comes with it: at its start AddressSanitizer looks for the function that throws C++ exceptions, and
    # without it the first exception of a library that Python loads later (matplotlib) would end the process.
    preloaded = f"{runtime('libasan.so')} {runtime('libstdc++.so.6')}"
    start, failed = time.monotonic(), False

    def report(name: str, done: subprocess.CompletedProcess[str]) -> bool:
        lines = done.stdout.strip().splitlines()
        shown = lines if done.returncode else lines[-1:]
        print(f"=== {name}: {'FAILED' if done.returncode else 'passed'} ({time.monotonic() - start:.0f} s)", flush=True)
        print("\n".join(shown), flush=True)
        return done.returncode != 0

    with tempfile.TemporaryDirectory(prefix="minires-sanitize-") as name, ThreadPoolExecutor(wanted.jobs) as pool:
        folder = Path(name)
        making = {build.name: pool.submit(make, build, folder) for build in builds()}
        broken = [build for build, made in making.items() if report(f"build {build}", made.result())]
        if broken:
            sys.exit(1)
        taking = {run.name: pool.submit(take, run, folder, preloaded) for run in runs(wanted.seconds, wanted.seed)}
        for run, taken in taking.items():
            failed |= report(run, taken.result())
    sys.exit(failed)


if __name__ == "__main__":
    main()
