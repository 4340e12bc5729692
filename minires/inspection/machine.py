"""Describes this machine, and measures the two speeds that bound every network: matrix products and memory copies.

`minires info` shows both. Each speed is the best of several runs, so it shows what the machine can do when it is idle.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minires import backend
from minires.backend import cpu, cuda
from minires.backend.cpu import isa, matmul

NOT_BUILT = (
    "not built: the reference kernels compute everything, slowly. Install a C compiler (Debian, Ubuntu: apt install "
    "gcc; macOS: xcode-select --install), then MiniRes again: with `make`, or with pip install --verbose "
    "--force-reinstall --no-deps, which shows why it fails where it still does"
)


@dataclass(frozen=True)
class Kernels:
    """The C kernels that are loaded.

    Attributes:
        isa: the instruction set for which they are built.
        available: all instruction sets that are built and that this processor supports; the best last.
        compiler: name and version of the compiler.
        cache_limit: the largest number of bytes of freed arrays that they keep for reuse.
    """

    isa: str
    available: tuple[str, ...]
    compiler: str
    cache_limit: int


@dataclass(frozen=True)
class Gpu:
    """A GPU that can be used.

    Attributes:
        capability: its compute capability.
        memory: its memory in bytes.
        driver: the newest CUDA version that NVIDIA's driver supports.
        cuda: the CUDA version for which CuPy was built.
    """

    name: str
    capability: str
    memory: int
    driver: str
    cuda: str
    cupy: str


@dataclass(frozen=True)
class Machine:
    """This machine, as `describe` returns it.

    Attributes:
        cores: the number of cores that this process may use.
        backends: the providers of kernels, in order of preference.
        backend: the provider for float32 arrays: the first one, or the one in MINIRES_BACKEND.
        kernels: the C kernels; None if they were not built.
        threads: the number of threads of the C kernels; 1 without them.
        blas: the BLAS libraries that NumPy uses, with their numbers of threads.
        omp_num_threads: the environment variable OMP_NUM_THREADS; None if it is not set.
        gpus: the GPUs that can be used.
        no_gpu: why there is none; empty if there is one.
    """

    python: str
    numpy: str
    system: str
    processor: str
    cores: int
    backends: tuple[str, ...]
    backend: str
    kernels: Kernels | None
    threads: int
    blas: dict[str, int]
    omp_num_threads: str | None
    gpus: tuple[Gpu, ...]
    no_gpu: str


@dataclass(frozen=True)
class Speed:
    """The speeds that `measure` returns, in units of 10⁹ per second.

    Attributes:
        kernels: operations of the C kernels' matrix product; None if the kernels were not built.
        numpy: operations of NumPy's matrix product.
        copy: bytes that a copy reads and writes.
    """

    kernels: float | None
    numpy: float
    copy: float


def describe() -> Machine:
    """Describe this machine, without measuring anything."""
    return Machine(
        python=platform.python_version(),
        numpy=np.__version__,
        system=f"{platform.system()} {platform.machine()}",
        processor=processor(),
        cores=cores(),
        backends=backend.available_providers(),
        backend=backend.provider_for("conv2d", np.empty(0, np.float32)).name,
        kernels=_kernels(),
        threads=cpu.get_num_threads(),
        blas=_blas(),
        omp_num_threads=os.environ.get("OMP_NUM_THREADS"),
        gpus=_gpus(),
        no_gpu=cuda.is_available().reason,
    )


def measure(size: int = 1024, megabytes: int = 128, runs: int = 7, threads: int | None = None) -> Speed:
    """Matrix products of float32 (size × size), and copies of an array that no cache holds by `threads` (all cores)."""
    operations = 2 * size**3 / 1e9
    x, y = np.random.default_rng(0).normal(size=(2, size, size)).astype(np.float32)
    return Speed(
        kernels=None if cpu.library is None else operations / best_of(lambda: matmul.matmul(x, y), runs),
        numpy=operations / best_of(lambda: np.matmul(x, y), runs),
        copy=_copied(megabytes * 1_000_000, runs, threads or cores()) / 1e9,
    )


def best_of(function: Callable[[], Any], runs: int) -> float:
    """The shortest duration of `runs` calls in seconds, after one call to warm up."""
    function()
    return min(seconds(function) for _ in range(runs))


def seconds(function: Callable[[], Any]) -> float:
    """The duration of one call in seconds."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The name of the processor, as far as the system knows it."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text("utf-8").splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        names = [subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()]
    return (names[0] if names else "") or platform.processor() or platform.machine()


def _kernels() -> Kernels | None:
    if cpu.library is None:
        return None
    compiler = cpu.library.COMPILER
    if compiler[:1].isdigit():  # GCC reports only its version, Clang also its name
        compiler = f"GCC {compiler}"
    return Kernels(cpu.ISA, tuple(isa.built()), compiler, cpu.cache_state().limit)


def _gpus() -> tuple[Gpu, ...]:
    if not cuda.is_available():
        return ()
    cupy = cuda.require()
    runtime = cupy.cuda.runtime
    versions = (cuda.version(runtime.driverGetVersion()), cuda.version(runtime.runtimeGetVersion()), cupy.__version__)
    found = []
    for index in range(runtime.getDeviceCount()):
        properties = runtime.getDeviceProperties(index)
        name, capability = properties["name"].decode(), f"{properties['major']}.{properties['minor']}"
        found.append(Gpu(name, capability, properties["totalGlobalMem"], *versions))
    return tuple(found)


def _blas() -> dict[str, int]:
    """{name and version: number of threads} of the BLAS libraries that this process has loaded."""
    from threadpoolctl import threadpool_info

    found = (library for library in threadpool_info() if library["user_api"] == "blas")
    return {f"{each['internal_api']} {each['version'] or ''}".strip(): each["num_threads"] for each in found}


def _copied(size: int, runs: int, threads: int) -> float:
    """Bytes read and written per second while `threads` threads copy `size` bytes."""
    source, target = (np.ones(size // 4, np.float32) for _ in range(2))
    parts = list(zip(*(np.array_split(array, threads) for array in (target, source)), strict=True))
    with ThreadPoolExecutor(len(parts)) as pool:
        return 2 * source.nbytes / best_of(lambda: list(pool.map(lambda part: np.copyto(*part), parts)), runs)
