"""What the C kernels run on: the build that was loaded, its threads, and the memory it keeps."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from minires.backend.cpu import isa
from minires.errors import DeviceError

ISA, _library = isa.load()
library: Any = _library  # the extension module; None where there is no C, and then the provider is not asked


def _usable_cores() -> int:
    """OMP_NUM_THREADS, or the cores that this process may run on."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(n: int) -> None:
    """Let kernels use `n` threads, the calling one included."""
    if library is not None:
        library.set_num_threads(n)


def get_num_threads() -> int:
    """How many threads kernels use."""
    return 1 if library is None else int(library.num_threads())


class CacheState(NamedTuple):
    """Large arrays, in bytes: those in use, those kept for the next, and the most that is kept."""

    in_use: int
    kept: int
    limit: int


def cache_state() -> CacheState:
    """What the kernels' memory holds."""
    return CacheState(0, 0, 0) if library is None else CacheState(*library.cache_state())


def empty_cache() -> None:
    """Give the memory that is kept for the next large array back to the system (torch.cuda.empty_cache).

    Kernels keep what is freed, up to a limit of 1 GiB (`set_cache_limit`; MINIRES_CACHE_MIB for a process).
    """
    if library is not None:
        library.empty_cache()


def set_cache_limit(n: int) -> None:
    """Keep at most `n` bytes of freed memory for the next large array; 0 keeps nothing."""
    if n < 0:
        raise ValueError(f"set_cache_limit: {n} bytes must not be negative")
    if library is not None:
        library.set_cache_limit(n)


def _start() -> None:
    set_num_threads(_usable_cores())
    mebibytes = os.environ.get("MINIRES_CACHE_MIB", "")
    if mebibytes:
        if not mebibytes.isdigit():
            raise DeviceError(f"MINIRES_CACHE_MIB={mebibytes} must be a whole number, of MiB")
        set_cache_limit(int(mebibytes) << 20)


_start()
