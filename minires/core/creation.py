"""Functions that make leaf tensors: from data, filled with a number, or drawn at random."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from minires import backend
from minires.backend import Array
from minires.backend.foreign import native
from minires.core.operators import tuple_of
from minires.core.random import default_generator
from minires.core.tensor import Tensor
from minires.errors import DtypeError


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
        array = array.astype(np.float32)
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


def zeros(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """A Tensor of zeros; the shape is given as numbers or as one tuple (torch.zeros)."""
    return Tensor(np.zeros(tuple_of(shape), _default(dtype)), requires_grad)


def ones(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """A Tensor of ones; the shape is given as numbers or as one tuple (torch.ones)."""
    return Tensor(np.ones(tuple_of(shape), _default(dtype)), requires_grad)


def randn(
    *shape: Any, dtype: Any = np.float32, requires_grad: bool = False, generator: np.random.Generator | None = None
) -> Tensor:
    """A Tensor of standard normal numbers, drawn from `generator` or the thread's default (torch.randn)."""
    dtype = _floating("randn", dtype)
    generator = default_generator() if generator is None else generator
    return Tensor(generator.standard_normal(tuple_of(shape)).astype(dtype), requires_grad)


def rand(
    *shape: Any, dtype: Any = np.float32, requires_grad: bool = False, generator: np.random.Generator | None = None
) -> Tensor:
    """A Tensor of uniform numbers in [0, 1), drawn from `generator` or the thread's default (torch.rand)."""
    dtype = _floating("rand", dtype)
    generator = default_generator() if generator is None else generator
    return Tensor(below(1.0, np.asarray(generator.random(tuple_of(shape))), dtype), requires_grad)


def _default(dtype: Any) -> Any:
    return np.float32 if dtype is None else dtype  # as in torch; NumPy would take float64


def _floating(function: str, dtype: Any) -> np.dtype[Any]:
    """`dtype`, or float32. Raises DtypeError unless it is floating-point: integers from [0, 1) would all be 0."""
    dtype = np.dtype(_default(dtype))
    if dtype.kind != "f":
        raise DtypeError(f"{function}: draws floating-point numbers, not {dtype}; convert with .astype()")
    return dtype


def below(limit: float, numbers: np.ndarray, dtype: Any) -> np.ndarray:
    """`numbers`, all less than `limit`, in `dtype`. What would be rounded up to it becomes the number before it."""
    rounded = numbers.astype(dtype)
    dtype = rounded.dtype.type
    return np.minimum(rounded, np.nextafter(dtype(limit), dtype(-np.inf)), out=rounded)
