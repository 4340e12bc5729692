"""`minires.cuda`: whether a GPU can be used, and its memory. The kernels that run on it are `provider.py`'s.

Importing this package loads neither CuPy nor a kernel.
"""

from minires.backend.cuda.device import (
    Availability,
    device_index,
    empty_cache,
    explain_out_of_memory,
    explaining_out_of_memory,
    is_available,
    is_out_of_memory,
    require,
    version,
)

__all__ = [
    "Availability",
    "device_index",
    "empty_cache",
    "explain_out_of_memory",
    "explaining_out_of_memory",
    "is_available",
    "is_out_of_memory",
    "require",
    "version",
]
