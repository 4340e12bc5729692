"""Functions that make leaf tensors of known numbers: zeros, ones, full, empty, eye, arange, linspace, and *_like."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minires import backend
from minires.core import modes
from minires.core.operators import tuple_of
from minires.core.settings import integer, plain
from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError


def default_dtype(dtype: Any) -> np.dtype[Any]:
    """`dtype`, or float32 for None, as in torch; NumPy would take float64. Raises DtypeError for what is no dtype."""
    try:
        return modes.default_dtype() if dtype is None else np.dtype(dtype)
    except TypeError as error:
        raise DtypeError(f"{dtype!r} is not a dtype: {error}") from error


def lengths(name: str, shape: Any) -> tuple[int, ...]:
    """The sizes of a call name(2, 3), or of name((2, 3)), also by the name `size`. Raises ShapeError for others."""
    sizes = tuple(plain(n) for n in tuple_of(shape))
    if not all(type(n) is int and n >= 0 for n in sizes):
        raise ShapeError(f"{name}: the sizes {sizes} must be integers of 0 or more")
    return sizes


def made(array: np.ndarray, device: str | None, requires_grad: bool) -> Tensor:
    """A leaf with this new array, brought to `device`."""
    return Tensor(array if device is None else backend.to_device(array, device), requires_grad)


def zeros(*size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor of zeros, float32 by default; the sizes are given as numbers or as one tuple (torch.zeros)."""
    return made(np.zeros(lengths("zeros", size), default_dtype(dtype)), device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor of ones, float32 by default; the sizes are given as numbers or as one tuple (torch.ones)."""
    return made(np.ones(lengths("ones", size), default_dtype(dtype)), device, requires_grad)


def empty(*size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor of whatever numbers its memory happens to hold, to be written into (torch.empty)."""
    return made(np.empty(lengths("empty", size), default_dtype(dtype)), device, requires_grad)


def full(
    size: Any, fill_value: Any, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A Tensor filled with one number, in its dtype: bool, int64 or float32 (torch.full)."""
    value = fill_value.item() if isinstance(fill_value, Tensor) else plain(fill_value)
    if dtype is None and isinstance(value, (bool, int)):
        dtype = bool if isinstance(value, bool) else np.int64
    shape = lengths("full", (size,) if isinstance(size, (int, np.integer)) else tuple(size))
    return made(np.full(shape, value, default_dtype(dtype)), device, requires_grad)


def eye(
    n: int, m: int | None = None, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """The n × m matrix with ones on its diagonal, by default square (torch.eye)."""
    rows, columns = integer("eye", "n", n, 0), integer("eye", "m", n if m is None else m, 0)
    return made(np.eye(rows, columns, dtype=default_dtype(dtype)), device, requires_grad)


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, … up to but without end (torch.arange); arange(end) starts at 0.

    int64 for integers, else float32, unless `dtype` is given. Raises ValueError for a step of 0, or one that leads
    away from the end.
    """
    if end is None:
        start, end = 0, start
    first, last, by = (each.item() if isinstance(each, Tensor) else plain(each) for each in (start, end, step))
    if not by or (last - first) / by < 0:
        raise ValueError(f"arange: a step of {by} does not lead from {first} to {last}")
    if dtype is None and all(isinstance(each, int) for each in (first, last, by)):
        dtype = np.int64
    count = (
        -((first - last) // by) if isinstance(first, int) and isinstance(last, int) and isinstance(by, int) else None
    )
    count = math.ceil((last - first) / by) if count is None else count
    return made((first + by * np.arange(count)).astype(default_dtype(dtype)), device, requires_grad)


def linspace(
    start: Any, end: Any, steps: int, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """`steps` numbers at equal distances, the first `start`, the last `end` (torch.linspace)."""
    first, last = (each.item() if isinstance(each, Tensor) else plain(each) for each in (start, end))
    numbers = np.linspace(first, last, integer("linspace", "steps", steps, 0))
    return made(numbers.astype(default_dtype(dtype)), device, requires_grad)


def like(
    make: Callable[..., Tensor],
    input: Any,
    dtype: Any,
    device: str | None,
    requires_grad: bool,
    size: Any = None,
    **options: Any,
) -> Tensor:
    """make(size, …), by default of input's shape, in input's dtype and on its device unless others are given."""
    if not isinstance(input, Tensor):
        raise DtypeError(f"{make.__name__}_like: needs a Tensor, got {type(input).__name__}")
    dtype = input.dtype if dtype is None else dtype
    device = input.device if device is None else device
    size = input.shape if size is None else size
    return make(size, dtype=dtype, device=device, requires_grad=requires_grad, **options)


def zeros_like(input: Tensor, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Zeros in the shape, the dtype and on the device of input (torch.zeros_like)."""
    return like(zeros, input, dtype, device, requires_grad)


def ones_like(input: Tensor, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Ones in the shape, the dtype and on the device of input (torch.ones_like)."""
    return like(ones, input, dtype, device, requires_grad)


def empty_like(input: Tensor, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """`empty` in the shape, the dtype and on the device of input (torch.empty_like)."""
    return like(empty, input, dtype, device, requires_grad)


def full_like(
    input: Tensor, fill_value: Any, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """One number in the shape, the dtype and on the device of input (torch.full_like)."""
    return like(full, input, dtype, device, requires_grad, fill_value=fill_value)
