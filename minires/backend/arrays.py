"""What the engine asks of an array: its namespace, its device, and how to move it.

CuPy is never imported before it is needed: an array is recognised as CuPy's only if CuPy is already loaded.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

from minires.backend.capturing import refuse_while_capturing
from minires.errors import DeviceError

Array = Any  # a numpy.ndarray or a cupy.ndarray; Python has no common type for the two


def array_module(array: Array) -> ModuleType:
    """numpy or cupy, whichever made `array`."""
    if isinstance(array, np.ndarray):
        return np
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(array, cupy.ndarray):
        return cupy
    return np


def is_array(value: object) -> bool:
    """Whether `value` is an array of one of the two libraries."""
    return isinstance(value, np.ndarray) or array_module(value) is not np


def as_array(value: Any, like: Array) -> Array:
    """`value` as an array on `like`'s device: NumPy reductions return scalars where arrays are meant."""
    return value if is_array(value) else array_module(like).asarray(value)


def scalar(value: Any, dtype: Any, like: Array) -> Array:
    """`value` as an array () on `like`'s device. On a GPU a kernel writes it: a copy from host memory takes longer."""
    xp = array_module(like)
    return np.asarray(value, dtype) if xp is np else xp.full((), value, dtype)


def device_of(array: Array) -> str:
    """ "cpu", or "cuda:N" for a CuPy array on GPU N."""
    return "cpu" if array_module(array) is np else f"cuda:{array.device.id}"


def is_device(name: object) -> bool:
    """Whether `name` is spelled like a device: "cpu", "cuda" or "cuda:N"."""
    if not isinstance(name, str):
        return False
    kind, _, index = name.partition(":")
    return name == "cpu" or (kind == "cuda" and ((not index and ":" not in name) or index.isdigit()))


def to_device(array: Array, device: str) -> Array:
    """`array` on `device`; the same object if it is there already. Raises DeviceError with the reason it cannot be."""
    if not is_device(device):
        raise DeviceError(f"unknown device {device!r}: use 'cpu', 'cuda' or 'cuda:N'")
    if device == "cpu":
        if array_module(array) is np:
            return array
        refuse_while_capturing("an array is copied from the GPU to host memory")
        return array.get()
    from minires.backend import cuda

    index = cuda.device_index(device)
    cupy = cuda.require(index)
    if array_module(array) is cupy and array.device.id == index:
        return array
    refuse_while_capturing(
        "an array is copied from host memory to the GPU, once and not at each replay (the random numbers of dropout, "
        "matrices or indices that NumPy makes in the model's forward)"
    )
    with cuda.explaining_out_of_memory(f"to({device!r})"), cupy.cuda.Device(index):
        return cupy.asarray(array)
