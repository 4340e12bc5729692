"""Whether a GPU can be used, the reason if it cannot, and the message when its memory is full.

CuPy may be absent. It may be there without a driver, with a driver that is too old, without a device, or with a device
that is too old for the kernels. None of these may break `import minires`, so CuPy is imported here, on first use, and
nowhere else.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

from minires.errors import DeviceError, OutOfMemoryError


class Availability:
    """Truthy if a GPU can be used; otherwise `reason` says why not."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason

    def __bool__(self) -> bool:
        return not self.reason

    def __repr__(self) -> str:
        return "available" if self else f"not available: {self.reason}"


MIN_CAPABILITY = 75  # compute capability ×10 that the kernels need: Turing, 2018


@cache
def _probe() -> tuple[Any, str]:
    """(cupy, "") or (None, the reason)."""
    try:
        import cupy
    except Exception as error:  # a broken CUDA installation can raise anything while CuPy loads
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            return None, "CuPy is not installed (pip install 'minires[cuda12x]' or 'minires[cuda13x]')"
        return None, f"CuPy does not load: {error}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CUDARuntimeError: no driver, driver too old, no device
        return None, f"CuPy finds no usable GPU: {error}{_advice(cupy, str(error))}"
    if not count:
        return None, "CuPy finds no GPU"
    reason = _cannot_compile(cupy)
    return (None, reason) if reason else (cupy, "")


def _cannot_compile(cupy: Any) -> str:
    """Which part of CUDA is missing without which CuPy compiles no kernel; empty if none is."""
    install = "pip install 'minires[cuda12x]' or 'minires[cuda13x]' brings"
    try:
        cupy.cuda.nvrtc.getVersion()  # loads the library
    except Exception as error:
        return f"CuPy finds no compiler for kernels (NVRTC, a part of CUDA): {_one_line(error)}; {install} it along"
    try:
        options_of_compiler = cupy._core.core.assemble_cupy_compiler_options
    except AttributeError:  # it is not public, and a future CuPy may not have it
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # under `python -W error` a warning of CuPy's is no missing header
            options_of_compiler(())  # CuPy calls this before each compilation
    except Exception as error:
        found = f"CuPy finds no headers of CUDA, without which it compiles no kernel: {_one_line(error)}"
        return f"{found}; {install} them along"
    return ""


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")


def _advice(cupy: Any, error: str) -> str:
    """What to do about a missing or outdated driver, for which CUDA has one error; empty for any other error."""
    if "InsufficientDriver" not in error:
        return ""
    try:
        needed, known = cupy.cuda.runtime.runtimeGetVersion(), cupy.cuda.runtime.driverGetVersion()
    except Exception:  # the installation is broken
        return "; update NVIDIA's driver"
    if not known:
        return "; there is no NVIDIA driver here: install it, where there is a GPU"
    return (
        f"; this CuPy is built for CUDA {version(needed)} and NVIDIA's driver knows CUDA {version(known)}: update "
        "the driver, or install the CuPy for its version (pip install 'minires[cuda12x]')"
    )


def version(number: int) -> str:
    """CUDA's version number as it is usually written: 13020 -> "13.2"."""
    return f"{number // 1000}.{number % 1000 // 10}"


def is_available() -> Availability:
    """Whether arrays can be on a GPU (torch.cuda.is_available); if not, the result's `reason` says why."""
    cupy, reason = _probe()
    return Availability(reason if cupy is None else _too_old(0))


def require(index: int = 0) -> ModuleType:
    """The cupy module. Raises DeviceError with the reason where GPU `index` cannot be used."""
    cupy, reason = _probe()
    if cupy is None:
        raise DeviceError(f"device 'cuda' cannot be used: {reason}")
    count = cupy.cuda.runtime.getDeviceCount()
    if index >= count:
        raise DeviceError(f"no GPU {index}: this machine has {count}")
    if reason := _too_old(index):
        raise DeviceError(f"device 'cuda:{index}' cannot be used: {reason}")
    return cupy


def device_index(device: str) -> int:
    """The number of the GPU that a device names: N for "cuda:N", 0 for "cuda"."""
    return int(device.partition(":")[2] or 0)


def _too_old(index: int) -> str:
    """Why the kernels do not run on GPU `index`; empty if they do."""
    capability = str(_probe()[0].cuda.Device(index).compute_capability)
    if int(capability) >= MIN_CAPABILITY:
        return ""
    return (
        f"it has compute capability {capability[:-1]}.{capability[-1]}, and MiniRes's kernels need "
        f"{MIN_CAPABILITY // 10}.{MIN_CAPABILITY % 10} (Turing, 2018) or newer"
    )


# Errors of the CUDA runtime, the driver and the libraries.
_OUT_OF_MEMORY = ("cudaErrorMemoryAllocation", "CUDA_ERROR_OUT_OF_MEMORY", "ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether CuPy raised `error` because the GPU's memory is full: CuPy's pool or CUDA itself could not allocate."""
    if not type(error).__module__.startswith("cupy"):
        return False
    return type(error).__name__ == "OutOfMemoryError" or any(name in str(error) for name in _OUT_OF_MEMORY)


@contextmanager
def explaining_out_of_memory(what: str) -> Iterator[None]:
    """Within the block CuPy's out-of-memory errors become OutOfMemoryError, with what failed and what to do."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError(explain_out_of_memory(what, error)) from None
        raise


def explain_out_of_memory(what: str, error: BaseException) -> str:
    """The message: what failed (CuPy says how many bytes it asked for), the state of the memory, and what to do."""
    return (
        f"{what}: the GPU's memory is full: {str(error).rstrip('.')}{_pool()}. A smaller batch needs less; "
        "minires.cuda.empty_cache() returns what is kept"
    )


def _pool() -> str:
    """How the GPU's memory is used, as a sentence; empty if CUDA cannot answer."""
    cupy = _probe()[0]
    try:
        pool = cupy.get_default_memory_pool()
        free, total = cupy.cuda.runtime.memGetInfo()
    except Exception:  # CUDA needs some memory of its own on each GPU before it answers
        return ""
    return (
        f". Arrays in use {_mebibytes(pool.used_bytes())}, kept for the next {_mebibytes(pool.free_bytes())}, "
        f"free on the GPU {_mebibytes(free)} of {_mebibytes(total)}"
    )


def empty_cache() -> None:
    """Return the memory that CuPy keeps for the next arrays to the GPU (torch.cuda.empty_cache).

    The memory of a CUDA graph that is still in use stays with it.
    """
    if is_available():
        cupy = require()
        cupy.get_default_memory_pool().free_all_blocks()
        free_retired_pools(cupy)


# (GPU, pool) of each CUDA graph that is gone. If a pool itself is gone, CuPy (14.1 and later) loses its free blocks.
_retired: list[tuple[int, Any]] = []
_freeing = threading.Lock()


def retire_pool(index: int, pool: Any) -> None:
    """Keep a memory pool of GPU `index` that no graph needs any more, until all its blocks have been given back.

    The garbage collector may call this at any time, so it does not call CUDA.
    """
    _retired.append((index, pool))


def free_retired_pools(cupy: Any) -> None:
    """Give the free blocks of all retired pools back to their GPUs (cudaFree waits for what still runs on them).

    A pool is kept while arrays of it are alive: velocities that outlive their graph, say.
    """
    with _freeing:
        for _ in range(len(_retired)):
            index, pool = _retired[0]  # it stays in the list if CUDA reports an error here
            with cupy.cuda.Device(index):
                pool.free_all_blocks()
                del _retired[0]
                if pool.total_bytes():
                    _retired.append((index, pool))


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
