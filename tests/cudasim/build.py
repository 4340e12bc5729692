"""Compiles the text of CUDA kernels to a library that runs them on the CPU, with g++ and the headers in simulator/."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.cudasim import cache as store

SIMULATOR = Path(__file__).resolve().parent / "simulator"
KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\((?P<bound>[^(),]+)(?:,[^()]*)?\)\s*)?(?P<name>\w+)\s*\('
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_DYNAMIC = re.compile(r"\bextern\s+(__align__\s*\(\d+\)\s*)?__shared__")

# Reinterpreted pointers (float4) are legal CUDA: no strict aliasing. No contraction to fused multiply-add: the same
# bits on every machine.
FLAGS = ("-std=c++20", "-O2", "-g1", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing", "-ffp-contract=off")
FLAGS += ("-fcf-protection=none", "-w")  # gate.py checks warnings


class CompileException(Exception):
    """The kernels do not compile; the message is the compiler's log. Follows CuPy's class of that name."""


class Unavailable(RuntimeError):
    """The simulator cannot run on this machine."""


@cache
def unavailable() -> str:
    """Why the simulator cannot run here; empty if it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"the CUDA simulator needs x86-64 Linux, this is {platform.machine()} {sys.platform}"
    return "" if shutil.which("g++") else "the CUDA simulator needs g++ (Debian, Ubuntu: apt install g++)"


def kernels(text: str) -> dict[str, str]:
    """{kernel: the most threads that its blocks may have, an expression of C++}, in the order of the text."""
    return {kernel["name"]: kernel["bound"] or "1024" for kernel in KERNEL.finditer(_COMMENT.sub("", text))}


def library(text: str, options: tuple[str, ...]) -> Path:
    """The shared library of `text`, from the cache or compiled now. Raises CompileException, Unavailable."""
    if unavailable():
        raise Unavailable(unavailable())
    if _DYNAMIC.search(_COMMENT.sub("", text)):
        raise CompileException("the simulator has no dynamic shared memory: give the array a size")
    defines = [option for option in options if option.startswith(("-D", "-U"))]
    exports = "\n".join(f"CUDASIM_EXPORT({name}, {bound})" for name, bound in kernels(text).items())
    # In a namespace without a name, for else two libraries would share the static variables of a template of one name.
    source = f'#include "cudasim.h"\nnamespace {{\n#line 1 "kernels.cu"\n{text}\n}}\n{exports}\n'
    flags = [*FLAGS, *_fast_fma(), *os.environ.get("CUDASIM_FLAGS", "").split()]
    key = store.key(source, *defines, *flags, _simulator(), _compiler())
    return store.made(f"{key}.so", lambda path: _make(path, source, [*flags, *defines], flags))


def _make(path: Path, source: str, kernel_flags: list[str], flags: list[str]) -> None:
    scheduler = store.made(
        f"{store.key(*flags, _simulator(), _compiler())}.o",
        lambda draft: _run("g++", *flags, "-c", str(SIMULATOR / "scheduler.cpp"), "-o", str(draft)),
    )
    code, compiled = path.with_name("kernels.cpp"), path.with_name("kernels.o")  # the name that shared.ld knows
    code.write_text(source, "utf-8")
    _run("g++", *kernel_flags, f"-I{SIMULATOR}", "-c", str(code), "-o", str(compiled))
    linked = ["-shared", str(compiled), str(scheduler), "-T", str(SIMULATOR / "shared.ld"), "-o", str(path)]
    _run("g++", *flags, *linked)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileException(done.stderr)


@cache
def _simulator() -> str:
    """The text of all files in simulator/."""
    return "\0".join(path.read_text("utf-8") for path in sorted(SIMULATOR.iterdir()))


@cache
def _compiler() -> str:
    return subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout


@cache
def _fast_fma() -> tuple[str, ...]:
    """The flag that makes fmaf an instruction, if the processor has it; the library's function gives the same bits."""
    return ("-mfma",) if re.search(r"^flags\b.*\bfma\b", Path("/proc/cpuinfo").read_text(), re.MULTILINE) else ()
