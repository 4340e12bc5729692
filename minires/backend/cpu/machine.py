"""What the C kernels run on: the build that was loaded, its threads, and the memory it keeps."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any, NamedTuple

from minires.backend.cpu import isa

ISA, _library = isa.load()
library: Any = _library  # the extension module; None where there is no C, and then the provider is not asked


MOST_THREADS = 256  # of the pool (kernels/cpu/threads.c)


def _number(variable: str, setting: str, least: int, what: str) -> int | None:
    """What an environment variable says; None where it says nothing, or with a warning nothing that makes sense.

    An import must not fail for such a setting: it may be there for other programs.
    """
    setting = setting.strip()
    if not setting:
        return None
    if setting.isascii() and setting.isdecimal() and len(setting) <= 9 and int(setting) >= least:
        return int(setting)
    shown = setting if len(setting) <= 40 else f"{setting[:40]}…"
    warnings.warn(f"{variable}={shown} is ignored: it must be {what}", RuntimeWarning, stacklevel=2)
    return None


def _usable_cores() -> int:
    """OMP_NUM_THREADS, or the cores that this process may run on."""
    outermost = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]  # 4,2: 4, and within each of these 2
    wanted = _number("OMP_NUM_THREADS", outermost, 1, "a number of threads, at least 1")
    if wanted is not None:
        return wanted
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(n: int) -> None:
    """Let kernels use `n` threads, the calling one included; never more than MOST_THREADS."""
    if library is not None:
        library.set_num_threads(min(n, MOST_THREADS))


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
        library.set_cache_limit(min(n, sys.maxsize))


def _start() -> None:
    set_num_threads(_usable_cores())
    setting = os.environ.get("MINIRES_CACHE_MIB", "")
    mebibytes = _number("MINIRES_CACHE_MIB", setting, 0, "a whole number, of MiB")
    if mebibytes is not None:
        set_cache_limit(mebibytes << 20)


_start()
