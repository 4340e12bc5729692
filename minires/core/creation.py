"""Functions that make leaf tensors of data: tensor, which copies, as_tensor, from_numpy and from_dlpack."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from minires import backend
from minires.backend import Array
from minires.backend.foreign import native
from minires.core import modes
from minires.core.interchange import CPU, CUDA, PINNED, share
from minires.core.tensor import Tensor
from minires.errors import DeviceError, DtypeError


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, device: str | None = None) -> Tensor:
    """A leaf Tensor with a copy of `data`: numbers, nested lists, an array, or another Tensor (torch.tensor).

    Without `dtype`, Python floats become float32 and arrays keep their dtype. Without `device`, an array stays where it
    is, and other data goes to the CPU. Raises DtypeError for what does not hold numbers, DeviceError for a device that
    cannot be used.
    """
    if isinstance(data, Tensor):
        data = data.data
    elif hasattr(data, "__array__") and not backend.is_array(data):
        data = np.asarray(data)  # a NumPy scalar or a PyTorch tensor keeps its dtype, as an array does
    is_array = backend.is_array(data)
    if isinstance(data, (list, tuple)):
        _refuse_masked(data)
    try:
        data = native("tensor", data, dtype) if is_array else data
        array = np.array(data, dtype=dtype) if not is_array else data.copy() if dtype is None else _cast(data, dtype)
    except DtypeError:
        raise
    except (ValueError, OverflowError, TypeError) as error:  # a ragged list, a number too large, an unknown dtype
        raise DtypeError(f"tensor: cannot make an array of this: {error}") from error
    if not is_array and dtype is None and array.dtype == np.float64:
        array = array.astype(modes.default_dtype())
    if array.dtype.kind not in "biufc":
        raise DtypeError(f"tensor: {type(data).__name__} with dtype {array.dtype} does not hold numbers")
    if device is not None:
        array = backend.to_device(array, device)
    return Tensor(array, requires_grad)


def _refuse_masked(data: Sequence[Any]) -> None:
    """Raise DtypeError for a list of masked arrays, whose masks NumPy would drop."""
    masked = sys.modules.get("numpy.ma")  # whoever has a masked array has imported it
    if masked is not None and masked.MaskedArray in map(type, data):
        native("tensor", next(each for each in data if type(each) is masked.MaskedArray))


def _cast(array: Array, dtype: Any) -> Array:
    """`array` in another dtype. Raises DtypeError for numbers that it cannot hold; fractions are cut off."""
    xp = backend.array_module(array)
    with np.errstate(all="ignore"):
        result = array.astype(dtype)
        if result.dtype.kind in "iu":
            limits = np.iinfo(result.dtype)
            fits = (array >= limits.min) & (array <= limits.max)  # False for NaN
        else:
            fits = xp.isfinite(result) | ~xp.isfinite(array)
    if not fits.all():
        raise DtypeError(f"tensor: {array[~fits].ravel()[0]} does not fit dtype {result.dtype}")
    return result


def as_tensor(data: Any, dtype: Any = None, device: str | None = None) -> Tensor:
    """`data` as a Tensor, without a copy where none is needed (torch.as_tensor).

    A Tensor of that dtype on that device is returned as it is; an array is wrapped, as `from_numpy` does; anything else
    is copied, as `tensor` does.
    """
    if isinstance(data, Tensor):
        return data if dtype is None and device is None else data.to(device, dtype)
    if not backend.is_array(data):
        return tensor(data, dtype, device=device)
    wrapped = Tensor(data)
    return wrapped if dtype is None and device is None else wrapped.to(device, dtype)


def from_numpy(ndarray: Any) -> Tensor:
    """A Tensor that shares the memory of a NumPy array, so that each sees the other's changes (torch.from_numpy).

    A view of another array is copied, since its owner could change it unnoticed between forward and backward. While a
    live graph needs the numbers, the array is read-only. Raises DtypeError for anything but an array of numbers.
    """
    if not isinstance(ndarray, np.ndarray):
        raise DtypeError(f"from_numpy: needs a NumPy array, got {type(ndarray).__name__}; tensor() takes other data")
    return Tensor(ndarray)


def from_dlpack(ext_tensor: Any, *, copy: bool | None = None) -> Tensor:
    """A Tensor in the memory of another library's array, so that each sees the other's changes (torch.from_dlpack).

    ext_tensor: an array of PyTorch, NumPy, CuPy, JAX, or anything else with `__dlpack__`, on the CPU or an NVIDIA GPU.
    With copy=True it is copied, with copy=False never. Raises DtypeError for what does not hold numbers that NumPy has,
    DeviceError for another kind of device, BufferError if copy=False and a copy is needed.
    """
    if not hasattr(ext_tensor, "__dlpack__") or not hasattr(ext_tensor, "__dlpack_device__"):
        name = type(ext_tensor).__name__
        raise DtypeError(f"from_dlpack: a {name} has no __dlpack__; make a Tensor with minires.tensor(...)")
    kind = int(ext_tensor.__dlpack_device__()[0])
    if kind == CUDA:
        from minires.backend import cuda

        taken = cuda.require(int(ext_tensor.__dlpack_device__()[1])).from_dlpack(ext_tensor)
        return Tensor(taken.copy() if copy else taken)
    if kind not in (CPU, PINNED):
        raise DeviceError(f"from_dlpack: arrays on DLPack device {kind} cannot be used: move it to the CPU before")
    try:
        array: Array = np.from_dlpack(ext_tensor, copy=copy)
    except (BufferError, RuntimeError, TypeError) as error:
        if copy is False and isinstance(error, BufferError):
            raise
        raise DtypeError(f"from_dlpack: NumPy cannot take this array: {error}") from error
    if copy or not array.size or min(array.strides, default=0) < 0:  # DLPack's strides are not negative
        return Tensor(np.array(array))
    array = _lockable(array) if array.flags.writeable else array
    share(array)
    found = Tensor(np.empty(0, array.dtype))
    found._data = array  # the constructor would copy a view that can be written into
    return found


def _lockable(array: Array) -> Array:
    """The same memory in an array whose writeable flag can be set again, which NumPy refuses above a capsule."""
    import ctypes

    extent = sum((n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)) + array.itemsize
    memory = (ctypes.c_byte * extent).from_address(array.ctypes.data)
    memory._keeps_alive = array  # the memory is the other library's
    return np.ndarray(array.shape, array.dtype, memory, 0, array.strides)
