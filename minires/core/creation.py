"""Making leaf tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from minires import backend
from minires.core.random import default_generator
from minires.core.tensor import Tensor
from minires.errors import DtypeError


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False, device: str | None = None) -> Tensor:
    """A leaf Tensor with a copy of `data`: numbers, nested lists, an array, or another Tensor (torch.tensor).

    Python floats become float32; arrays keep their dtype. Raises DtypeError for what is not numbers.
    """
    if isinstance(data, Tensor):
        data = data.data
    elif hasattr(data, "__array__") and not backend.is_array(data):
        data = np.asarray(data)  # NumPy's scalars, PyTorch's tensors: like arrays, they keep their dtype
    is_array = backend.is_array(data)
    try:
        array = np.array(data, dtype=dtype) if not is_array else data.copy() if dtype is None else data.astype(dtype)
    except (ValueError, OverflowError, TypeError) as error:  # ragged lists, numbers too large, no dtype
        raise DtypeError(f"tensor: cannot make an array of this: {error}") from error
    if not is_array and dtype is None and array.dtype == np.float64:
        array = array.astype(np.float32)
    if array.dtype.kind not in "biufc":
        raise DtypeError(f"tensor: {type(data).__name__} with dtype {array.dtype} does not hold numbers")
    if device is not None:
        array = backend.to_device(array, device)
    return Tensor(array, requires_grad)


def _shape(shape: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], (int, np.integer)) else shape


def zeros(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """A Tensor of zeros (torch.zeros)."""
    return Tensor(np.zeros(_shape(shape), dtype), requires_grad)


def ones(*shape: Any, dtype: Any = np.float32, requires_grad: bool = False) -> Tensor:
    """A Tensor of ones (torch.ones)."""
    return Tensor(np.ones(_shape(shape), dtype), requires_grad)


def randn(
    *shape: Any, dtype: Any = np.float32, requires_grad: bool = False, generator: np.random.Generator | None = None
) -> Tensor:
    """Standard normal numbers from `generator`, or the thread's default (torch.randn)."""
    generator = default_generator() if generator is None else generator
    return Tensor(generator.standard_normal(_shape(shape)).astype(dtype), requires_grad)


def rand(
    *shape: Any, dtype: Any = np.float32, requires_grad: bool = False, generator: np.random.Generator | None = None
) -> Tensor:
    """Uniform numbers in [0, 1) from `generator`, or the thread's default (torch.rand)."""
    generator = default_generator() if generator is None else generator
    return Tensor(generator.random(_shape(shape)).astype(dtype), requires_grad)
