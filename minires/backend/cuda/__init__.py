"""`minires.cuda`: whether a GPU can be used, and its memory. `provider.py` collects the kernels.

Importing this package imports neither CuPy nor a kernel.
"""

from typing import TYPE_CHECKING, NoReturn

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

if not TYPE_CHECKING:  # a type checker would take every name to be there

    def __getattr__(name: str) -> NoReturn:
        from minires.missing import no_attribute

        raise no_attribute("cuda", name, __all__)
