"""The C kernels on the CPU: the build that is loaded, its threads, and the memory it keeps."""

from minires.backend.cpu.machine import (
    ISA,
    also_empty,
    cache_state,
    empty_cache,
    free_kept_memory,
    get_num_threads,
    library,
    set_cache_limit,
    set_num_threads,
)

__all__ = [
    "ISA",
    "also_empty",
    "cache_state",
    "empty_cache",
    "free_kept_memory",
    "get_num_threads",
    "library",
    "set_cache_limit",
    "set_num_threads",
]
