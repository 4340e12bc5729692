"""Functions of arrays that do not depend on the library, NumPy or CuPy: namespace, device, transfer.

This module does not import CuPy to recognise its arrays: a program that has one has imported CuPy.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from minires.backend.capturing import refuse_while_capturing
from minires.backend.devices import CPU, device, gpu, is_device
from minires.errors import DeviceError

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]  # or a cupy.ndarray, which has the same interface
else:
    Array = Any
CupyArray = Any  # CuPy has no type information; for functions that use what only its arrays have


def array_module(array: object) -> ModuleType:
    """The module `numpy` or `cupy`, whichever `array` belongs to."""
    if isinstance(array, np.ndarray):
        return np
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(array, cupy.ndarray):
        return cupy
    return np


def is_array(value: object) -> bool:
    """Whether `value` is an array of NumPy or CuPy."""
    if isinstance(value, np.ndarray):
        return True
    cupy = sys.modules.get("cupy")  # not array_module(), since every op asks this of all its settings
    return cupy is not None and isinstance(value, cupy.ndarray)


def as_array(value: Any, like: Array) -> Array:
    """`value` as an array on the device of `like`. Reductions of NumPy return a scalar in place of an array ()."""
    return value if is_array(value) else array_module(like).asarray(value)


def scalar(value: Any, dtype: Any, like: Array) -> Array:
    """`value` as an array () on the device of `like`. On a GPU a kernel writes it, which is faster than a copy."""
    xp = array_module(like)
    return np.asarray(value, dtype) if xp is np else xp.full((), value, dtype)


def device_of(array: Any) -> device:
    """ "cpu", or "cuda:N" for a CuPy array on GPU N."""
    is_numpy = isinstance(array, np.ndarray) or array_module(array) is np  # the first is the quick answer
    return CPU if is_numpy else gpu(int(array.device.id))


def memory_owner(array: Array) -> Array:
    """The array that owns the memory of `array`: itself, or the one that it is a view of."""
    while isinstance(array.base, type(array)):
        array = array.base
    return array


def keep_dims(y: Array, shape: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    """`y`, reduced over `axes` of `shape`, with these axes at length 1."""
    return y.reshape([1 if axis in axes else n for axis, n in enumerate(shape)])


def to_device(array: Any, device: str) -> Array:
    """`array` on `device`, the same object if it is there already. Raises DeviceError if the device cannot be used."""
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
