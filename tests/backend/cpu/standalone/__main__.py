"""`make test-aarch64`: the C kernels built for another processor, and checked by a program that an emulator runs.

    python -m tests.backend.cpu.standalone --seconds 60              aarch64 (NEON), under qemu
    python -m tests.backend.cpu.standalone --target native           this machine's compiler and processor

The kernels are compiled as setup.py does it, without the bindings to Python; check.c in this folder is the program.
First every check must notice a wrong number. qemu runs the other processor's instructions with this one's memory, whose
order of loads and stores is stricter on x86: the thread pool's use of memory order is not tested by it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[4]
HERE = Path(__file__).resolve().parent
KERNELS = ROOT / "kernels" / "cpu"
WITH_PYTHON = ("arrays.c", "binding.c", "module.c")  # and bind_*.c: they include Python.h
# -O3 and the two about numbers are setup.py's. The checks are compiled with -O1: at -O3 GCC 12 for aarch64 fails.
FLAGS = ["-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-pthread", "-Wall", "-Wextra", f"-I{KERNELS}"]


class Target(NamedTuple):
    """A processor: the compiler for it, what runs its programs, and Debian's packages with both."""

    compiler: str
    emulator: tuple[str, ...]
    packages: str


TARGETS = {
    "aarch64": Target(
        "aarch64-linux-gnu-gcc", ("qemu-aarch64",), "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
    ),
    "native": Target("gcc", (), "gcc"),
}


def missing(target: Target) -> list[str]:
    """The programs that are not installed."""
    return [name for name in (target.compiler, *target.emulator[:1]) if shutil.which(name) is None]


def sources() -> list[Path]:
    """The kernels without the bindings, and the program that checks them."""
    kernels = [
        path for path in KERNELS.glob("*.c") if path.name not in WITH_PYTHON and not path.name.startswith("bind_")
    ]
    return sorted(kernels) + sorted(HERE.glob("*.c"))


def build(target: Target, folder: Path) -> Path:
    """The program. A warning is an error."""

    def compile_one(source: Path) -> Path:
        level, result = "-O1" if source.parent == HERE else "-O3", folder / f"{source.stem}.o"
        run([target.compiler, *FLAGS, "-Werror", level, "-c", str(source), "-o", str(result)])
        return result

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, sources()))
    program = folder / "check"
    run([target.compiler, "-static", "-pthread", *map(str, objects), "-o", str(program), "-lm"])
    return program


def run(command: list[str]) -> None:
    """Ends the program with the command's output if it fails."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout.strip()}\nfailed: {' '.join(command)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=list(TARGETS), default="aarch64")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="of the first check")
    wanted = parser.parse_args()
    target, start = TARGETS[wanted.target], time.monotonic()
    if absent := missing(target):
        install = f"on Debian and Ubuntu: apt install {target.packages}"
        parser.exit(2, f"make test-{wanted.target} needs {' and '.join(absent)}; {install}\n")
    with tempfile.TemporaryDirectory(prefix="minires-standalone-") as name:
        program = str(build(target, Path(name)))
        print(f"{wanted.target}: built in {time.monotonic() - start:.0f} s", flush=True)
        run([*target.emulator, program, "0", str(wanted.seed), "broken"])
        done = subprocess.run([*target.emulator, program, str(wanted.seconds), str(wanted.seed)], check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
