"""Floor 0: arrays in, arrays out.

`contract` says what every kernel computes, once. `dispatch` is the only place where a provider is chosen.
`reference` is the provider that is always there: the im2col one would teach, on NumPy or CuPy arrays.
Nothing here knows of Tensors or gradients.
"""

from minires.backend import contract
from minires.backend.arrays import (
    Array,
    array_module,
    as_array,
    device_of,
    is_array,
    is_device,
    memory_owner,
    scalar,
    to_device,
)
from minires.backend.contract import *  # noqa: F403  (the contract's names are the backend's names)
from minires.backend.dispatch import CONTRACT, available_providers, provider_for, use_backend

__all__ = [
    "CONTRACT",
    "Array",
    "array_module",
    "as_array",
    "available_providers",
    "device_of",
    "is_array",
    "is_device",
    "memory_owner",
    "provider_for",
    "scalar",
    "to_device",
    "use_backend",
]
__all__ += contract.__all__
