"""The build of the C kernels that is loaded, its threads, and the memory that it keeps for reuse."""

from __future__ import annotations

import operator
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from minires.backend.cpu import isa

ISA, _library = isa.load()
library: Any = _library  # the extension module; None if it is not built, and then the CPU provider is not used


MAX_THREADS = 256  # of the pool (kernels/cpu/threads.c)


def _number(variable: str, setting: str, least: int, what: str) -> int | None:
    """The number in an environment variable; None if it is empty or, with a warning, if it is not such a number.

    A wrong setting must not make the import fail: it may be meant for other programs.
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
    """The number in OMP_NUM_THREADS, or else of the cores that this process may run on."""
    outermost = os.environ.get("OMP_NUM_THREADS", "").partition(",")[
        0
    ]  # "4,2" means 4 threads, each with 2 nested ones
    wanted = _number("OMP_NUM_THREADS", outermost, 1, "a number of threads, at least 1")
    if wanted is not None:
        return wanted
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(n: int) -> None:
    """Let the kernels use `n` threads, including the calling one, but at most MAX_THREADS."""
    if library is not None:
        library.set_num_threads(min(n, MAX_THREADS))


def get_num_threads() -> int:
    """The number of threads that the kernels use."""
    return 1 if library is None else int(library.num_threads())


class CacheState(NamedTuple):
    """Memory of large arrays, in bytes: in use, kept for reuse, and the limit of what is kept."""

    in_use: int
    kept: int
    limit: int


def cache_state() -> CacheState:
    """The state of the kernels' memory."""
    return CacheState(0, 0, 0) if library is None else CacheState(*library.cache_state())


_emptied_too: list[Callable[[], None]] = []


def also_empty(what: Callable[[], None]) -> None:
    """Let `empty_cache` call `what()` first: it drops what can be made again and holds arrays."""
    _emptied_too.append(what)


def empty_cache() -> None:
    """Return the memory that is kept for reuse to the system (cf. torch.cuda.empty_cache).

    The C kernels keep freed memory up to a limit of 1 GiB (`set_cache_limit`; MINIRES_CACHE_MIB for a process). It
    includes the buffers that calls of compiled models have left. Compiled models drop their plans with the packed
    weights, and plan anew at their next call.
    """
    for what in _emptied_too:
        what()
    free_kept_memory()


def free_kept_memory() -> None:
    """Return the memory that the C kernels keep for reuse to the system, and nothing else."""
    if library is not None:
        library.empty_cache()


def set_cache_limit(n: int) -> None:
    """Keep at most `n` bytes of freed memory for reuse; 0 keeps none.

    The packed weights in the plans of a compiled model are bounded by the same number, apart. Raises ValueError unless
    n is a whole number that is not negative.
    """
    if isinstance(n, bool) or not hasattr(n, "__index__") or operator.index(n) < 0:
        raise ValueError(f"set_cache_limit: {n!r} must be a whole number of bytes that is not negative")
    if library is not None:
        library.set_cache_limit(min(operator.index(n), sys.maxsize))


def _start() -> None:
    set_num_threads(_usable_cores())
    setting = os.environ.get("MINIRES_CACHE_MIB", "")
    mebibytes = _number("MINIRES_CACHE_MIB", setting, 0, "a whole number, of MiB")
    if mebibytes is not None:
        set_cache_limit(mebibytes << 20)


_start()
