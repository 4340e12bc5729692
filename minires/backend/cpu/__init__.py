"""The C kernels on the CPU: the build that is loaded, its threads, and the memory it keeps."""

from minires.backend.cpu.machine import (
    ISA,
    cache_state,
    empty_cache,
    get_num_threads,
    library,
    set_cache_limit,
    set_num_threads,
)

__all__ = [
    "ISA",
    "cache_state",
    "empty_cache",
    "get_num_threads",
    "library",
    "set_cache_limit",
    "set_num_threads",
]
