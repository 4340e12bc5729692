"""The kernels: functions that take arrays and return arrays, and know nothing of Tensors or gradients.

`contract` states what each kernel computes. `dispatch` is the only place that chooses a provider. There are three
providers: `reference` is always there and works on any array; `cpu` and `cuda` are fast.
"""

from minires.backend.arrays import Array, array_module, as_array, device_of, is_array, memory_owner, scalar, to_device
from minires.backend.contract import *  # noqa: F403  (the contract's names are the backend's names)
from minires.backend.devices import device, is_device
from minires.backend.dispatch import CONTRACT, available_providers, provider_for, use_backend

__all__ = [
    "CONTRACT",
    "Array",
    "array_module",
    "as_array",
    "available_providers",
    "device",
    "device_of",
    "is_array",
    "is_device",
    "memory_owner",
    "provider_for",
    "scalar",
    "to_device",
    "use_backend",
]
__all__ += CONTRACT
