"""Step "compile": all modules of kernels, on all cores, with what each kernel takes of a multiprocessor."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from benchmarks.on_gpu.first_run.plan import REHEARSAL
from benchmarks.on_gpu.first_run.record import Record
from benchmarks.on_gpu.first_run.scale import Scale
from benchmarks.on_gpu.rounds import one_line
from minires import cuda
from minires.backend.cuda import launch, sources, tiles

Constants = dict[str, int]
MEMORY_OF_A_PROCESS = 1 << 30  # bytes of the GPU's memory that CUDA may take for a process


def modules(capability: int) -> Iterator[tuple[str, Constants]]:
    """(source, constants) of each module that this GPU may be asked for; capability: its compute capability ×10."""
    products = list(tiles.variants())
    yield from ((source, constants) for source, constants, least in products if least <= capability)
    yield from ((source, {}) for source in sources.names() if source not in {name for name, _, _ in products})


def compile_all(record: Record, scale: Scale, seconds: float) -> None:
    """Compile each module in some process, and record its seconds and its kernels. Ends with status 1 if one fails."""
    rehearse = "tests.backend.standin" in sys.modules
    cupy = cuda.require()
    asked = sorted(modules(int(cupy.cuda.Device().compute_capability)), key=lambda module: len(sources.text(module[0])))
    asked = asked[: scale.modules][::-1]  # the longest first
    fitting = cupy.cuda.runtime.memGetInfo()[0] // MEMORY_OF_A_PROCESS
    processes = max(1, min(len(asked), os.cpu_count() or 1, fitting))
    begun, failed = time.monotonic(), 0
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), prepare, (rehearse,)) as pool:
        futures = {pool.submit(compile_one, *module): module for module in asked}
        for future in as_completed(futures):
            source, constants = futures[future]
            try:
                found = future.result()
            except BrokenProcessPool as error:  # a compiler that crashes ends its process, and with it the pool
                found = {"seconds": 0.0, "kernels": [], "error": one_line(error)}
            record.add("module", source=source, constants=constants, **found)
            failed += found["error"] is not None
    record.add("compiled", modules=len(asked), processes=processes, seconds=time.monotonic() - begun)
    if failed:
        sys.exit(f"{failed} of {len(asked)} modules do not compile")


def prepare(rehearse: bool) -> None:
    """Begin a process of the pool."""
    if rehearse:
        importlib.import_module(REHEARSAL)
    cuda.require()


def compile_one(source: str, constants: Constants) -> dict[str, Any]:
    """The seconds of a module and what CUDA says of its kernels; or the error."""
    cupy, begun = cuda.require(), time.monotonic()
    try:
        attributes = {
            kernel: launch._function(cupy.RawModule, source, kernel, 0, tuple(sorted(constants.items()))).attributes
            for kernel in sources.signatures(source)
        }
    except Exception as error:  # whatever it is: the other modules are compiled all the same
        return {"seconds": time.monotonic() - begun, "kernels": [], "error": one_line(error)}
    kernels = [{"name": kernel, **resources(each)} for kernel, each in attributes.items()]
    return {"seconds": time.monotonic() - begun, "kernels": kernels, "error": None}


def resources(attributes: dict[str, int]) -> dict[str, int]:
    """Registers of a thread, bytes of local memory (spilled registers, indexed arrays), of shared memory; threads."""
    names = {"registers": "num_regs", "local": "local_size_bytes", "shared": "shared_size_bytes"}
    names["threads"] = "max_threads_per_block"
    return {name: attributes[key] for name, key in names.items()}
