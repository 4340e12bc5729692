"""The compile gate: NVRTC compiles every CUDA source for each architecture, with every set of constants that the
provider uses. A warning of the compiler is an error, and so is a kernel that spills registers to memory.

    python -m tests.cudasim.gate [--only conv] [--arch 80 90]     a table of registers, shared memory, tensor cores

If a source has the constant TF32, its product (the first kernel of the text) must use tensor cores with TF32=1 and not
with TF32=0. The GPU's instructions show that.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from minires.backend.cuda import sources, tiles
from tests.cudasim import build, cache, nvrtc

ARCHITECTURES = (75, 80, 90, 100)
TENSOR_CORES = "HMMA.1688.F32.TF32"  # the instruction of mma.sync.m16n8k8, .tf32
# Unused variables: a source does not use all constants of a header.
SUPPRESSED = ("-diag-suppress=177",)
_KERNEL = re.compile(
    r"Compiling entry function '(?P<kernel>\w+)'.*?(?P<stack>\d+) bytes stack frame, "
    r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.DOTALL,
)


class Variant(NamedTuple):
    """A source with its constants, and the lowest architecture that it supports."""

    source: str
    constants: tuple[tuple[str, int], ...]
    least: int

    def __str__(self) -> str:
        return " ".join([self.source, *(f"{name}={value}" for name, value in self.constants)])


class Kernel(NamedTuple):
    """What the compiler reports of a kernel: registers of a thread; the other figures are bytes."""

    name: str
    registers: int
    shared: int
    stack: int  # arrays in memory, because a thread indexes them at run time
    spilled: int


class Result(NamedTuple):
    """The result for a variant on an architecture. tensor: {kernel: number of tensor-core instructions}."""

    variant: Variant
    architecture: int
    kernels: list[Kernel]
    tensor: dict[str, int]
    errors: list[str]


def variants() -> list[Variant]:
    """All variants that the provider uses; a source without constants is one variant."""
    # (source, constants, minimum compute capability ×10) each
    asked = [Variant(source, tuple(constants.items()), least) for source, constants, least in tiles.variants()]
    named = {variant.source for variant in asked}
    return asked + [Variant(source, (), 0) for source in sources.names() if source not in named]


def cases(architectures: tuple[int, ...] = ARCHITECTURES) -> Iterator[tuple[Variant, int]]:
    """Every variant with every architecture that it supports."""
    return ((each, architecture) for each in variants() for architecture in architectures if each.least <= architecture)


def check(code: str, variant: Variant, architecture: int) -> Result:
    """Compile, or read the result from the cache."""
    given = ("-std=c++17", *(f"-D{name}={value}" for name, value in variant.constants), *SUPPRESSED)
    arguments = nvrtc.options(architecture, given)
    looked_for = [*build.kernels(code)][:1] if "TF32" in dict(variant.constants) else []

    def make(path: Path) -> None:
        try:
            cubin, log = nvrtc.compiled(code, arguments)
        except nvrtc.CompileError as error:
            path.write_text(json.dumps({"error": str(error)}))
            return
        found = nvrtc.instructions(cubin) if looked_for else {}
        tensor = {name: sum(n for each, n in found[name].items() if each.startswith("HMMA")) for name in looked_for}
        exact = {name: found[name][TENSOR_CORES] for name in looked_for}
        path.write_text(json.dumps({"log": log, "tensor": tensor, "exact": exact}))

    key = cache.key(code, *arguments, nvrtc.versions(), Path(__file__).read_text("utf-8"))
    return _judged(variant, architecture, json.loads(cache.made(f"{key}.json", make).read_text()))


def _judged(variant: Variant, architecture: int, made: dict) -> Result:
    if "error" in made:
        return Result(variant, architecture, [], {}, [made["error"].strip()])
    kernels = resources(made["log"])
    errors = [f"{each.name} spills {each.spilled} bytes of registers" for each in kernels if each.spilled]
    errors += [line for line in made["log"].splitlines() if re.search(r"\bwarning (#|:)", line)]
    if not kernels:
        errors.append("the compiler names no kernel")
    tf32 = dict(variant.constants).get("TF32")
    for name, n in made["tensor"].items():
        if tf32 and not made["exact"][name]:
            errors.append(f"{name} is to use tensor cores and has no {TENSOR_CORES}")
        if not tf32 and n:
            errors.append(f"{name} is to be exact and has {n} tensor-core instructions")
    return Result(variant, architecture, kernels, made["tensor"], errors)


def resources(log: str) -> list[Kernel]:
    """The kernels in the report of `--ptxas-options=-v`."""
    kernels = []
    for each in _KERNEL.finditer(log):
        shared = re.search(r"(\d+) bytes smem", each["rest"])
        spilled = int(each["stores"]) + int(each["loads"])
        numbers = int(each["registers"]), int(shared[1]) if shared else 0, int(each["stack"]), spilled
        kernels.append(Kernel(each["kernel"], *numbers))
    return kernels


def run(wanted: list[tuple[Variant, int]]) -> Iterator[Result]:
    """The results, in order. NVRTC releases the GIL, so several threads compile."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda pair: check(sources.text(pair[0].source), *pair), wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="sources whose names begin so")
    parser.add_argument("--arch", type=int, nargs="*", default=ARCHITECTURES, help="compute capabilities ×10")
    asked = parser.parse_args()
    if nvrtc.unavailable():
        sys.exit(nvrtc.unavailable())
    failed = 0
    print(
        f"{'source and constants':48} {'sm':>3} {'kernel':24} {'registers':>9} {'shared':>7} {'stack':>6} {'tensor':>6}"
    )
    for result in run([pair for pair in cases(tuple(asked.arch)) if pair[0].source.startswith(asked.only)]):
        for kernel in result.kernels:
            numbers = f"{kernel.registers:9} {kernel.shared:7} {kernel.stack:6} {result.tensor.get(kernel.name, ''):>6}"
            print(f"{result.variant!s:48} {result.architecture:3} {kernel.name:24} {numbers}", flush=True)
        for error in result.errors:
            print(f"{result.variant!s:48} {result.architecture:3} FAILED: {error}", flush=True)
        failed += bool(result.errors)
    sys.exit(f"{failed} failed" if failed else 0)


if __name__ == "__main__":
    main()
