"""Turns what users write (`x + 1`, `2 * x`, lists of dims) into what ops take: Tensors of one dtype, axes from 0 on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minires import backend
from minires.backend import Array
from minires.backend.foreign import native
from minires.core import modes
from minires.core.function import Function
from minires.core.operators import METHODS, Dim, Operand
from minires.core.tensor import Tensor
from minires.errors import DeviceError, DtypeError, ShapeError

_RANK = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}  # of the kinds of numbers


def as_tensor(value: Operand | Sequence[Any], like: Tensor) -> Tensor:
    """`value` as a Tensor on `like`'s device. A scalar, Python's or NumPy's, takes `like`'s dtype if it fits.

    So does a list of them. An array is copied, since its owner may write into it before backward. Raises DtypeError
    unless `value` consists of numbers.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.generic) or (type(value) is np.ndarray and not value.ndim):
        value = value.item()
    if isinstance(value, (bool, int, float, complex)):
        with np.errstate(over="ignore"):  # 1e40 becomes infinity in float32
            return Tensor(backend.scalar(value, _scalar_dtype(value, like.dtype), like.data))
    value = native("operand", value) if backend.is_array(value) else value
    array: Array = backend.array_module(value).array(value)  # a copy
    if array.dtype.kind not in "biufc":
        raise DtypeError(f"a {type(value).__name__} cannot be an operand: use numbers, arrays or Tensors")
    if isinstance(value, (list, tuple)) and array.size:
        some = (array.min(), array.max()) if array.dtype.kind in "biu" else (array.flat[0],)
        array = array.astype(np.result_type(*(_scalar_dtype(number.item(), like.dtype) for number in some)))
    return Tensor(array)


def _scalar_dtype(value: complex, dtype: np.dtype[Any]) -> Any:
    """`dtype` if it can hold `value`, else the default dtype of its kind (torch's rule for scalars)."""
    if isinstance(value, int) and not isinstance(value, bool):
        holds = dtype.kind in "fc" or (dtype.kind in "iu" and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)
        if not holds and not -(2**63) <= value < 2**63:
            raise DtypeError(f"the integer {value} does not fit int64; use a floating-point number")
        return dtype if holds else np.int64
    if isinstance(value, float):
        return dtype if dtype.kind in "fc" else np.float32
    if isinstance(value, complex):
        return dtype if dtype.kind == "c" else np.result_type(dtype, np.complex64)
    return dtype


def same_kind(x: Operand, y: Operand) -> tuple[Tensor, Tensor]:
    """Both operands as Tensors of their common dtype. Raises DtypeError unless one of them is a Tensor."""
    if not isinstance(x, Tensor):
        if not isinstance(y, Tensor):
            raise DtypeError(
                f"needs a Tensor, got {type(x).__name__} and {type(y).__name__}; make one with minires.tensor(...)"
            )
        x, is_written = as_tensor(x, y), True
    else:
        y, is_written = as_tensor(y, x), not isinstance(y, Tensor)
    if x.dtype == y.dtype:
        return x, y
    dtype = _promoted([x.dtype, y.dtype]) if is_written else common_dtype(x, y)
    return METHODS["astype"](x, dtype), METHODS["astype"](y, dtype)


def common_dtype(*tensors: Tensor) -> np.dtype[Any]:
    """The dtype to which the tensors are promoted.

    It is NumPy's promotion with two exceptions, which are torch's: integers are ignored beside floating-point numbers,
    of which NumPy would make float64; and a tensor () counts as a scalar, which only a higher kind of number makes
    count beside tensors that have axes.
    """
    dtypes, with_axes = [tensor.dtype for tensor in tensors], [tensor.dtype for tensor in tensors if tensor.ndim]
    rank, rank_with_axes = (max((_RANK[dtype.kind] for dtype in some), default=-1) for some in (dtypes, with_axes))
    if rank == rank_with_axes:
        dtypes = with_axes
        if rank == _RANK["i"]:  # but nothing is cut off: an integer that does not fit counts
            numbers = [each.item() for each in tensors if not each.ndim]
            dtypes = [*dtypes, *(np.dtype(_scalar_dtype(number, max(with_axes))) for number in numbers)]
    elif rank_with_axes == _RANK["f"]:  # beside a complex number ()
        dtypes = [*with_axes, np.dtype(np.complex64)]
    return _promoted(dtypes)


def _promoted(dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    return np.result_type(*([dtype for dtype in dtypes if dtype.kind in "fc"] or dtypes))


def check_broadcast(op: str, *tensors: Tensor) -> tuple[int, ...]:
    """The shape to which the tensors broadcast. Raises ShapeError, naming the op and the shapes, if there is none."""
    try:
        return np.broadcast_shapes(*[tensor.shape for tensor in tensors])
    except ValueError:
        shapes = " and ".join(str(tensor.shape) for tensor in tensors)
        raise ShapeError(
            f"{op}: shapes {shapes} do not broadcast: each pair of axes, from the last, must agree or be 1"
        ) from None


def check_tensor(op: str, x: Any) -> None:
    """Raise DtypeError unless x is a Tensor."""
    if not isinstance(x, Tensor):
        kind = type(x).__name__ if type(x).__name__ != "Tensor" else f"a Tensor of {type(x).__module__}"
        raise DtypeError(f"{op}: needs a Tensor, got {kind}; make one with minires.tensor(...)")


def check_device(op: str, *tensors: Tensor) -> None:
    """Raise DeviceError unless all tensors are on one device. A Function checks its inputs itself."""
    devices = [tensor.device for tensor in tensors]
    if len(set(devices)) > 1:
        raise DeviceError(f"{op}: tensors on different devices {devices}; move them with .to()")


def check_dtypes(op: str, **operands: Any) -> None:
    """Raise DtypeError, with their names, unless those of the operands that have a dtype have the same one."""
    dtypes = {name: operand.dtype for name, operand in operands.items() if hasattr(operand, "dtype")}
    if len(set(dtypes.values())) > 1:
        named = ", ".join(f"{name} is {dtype}" for name, dtype in dtypes.items())
        raise DtypeError(f"{op}: {named}; convert one with .astype()")


def check_floating(op: str, x: Tensor) -> None:
    """Raise DtypeError unless x is a Tensor of floating-point (or complex) numbers."""
    check_tensor(op, x)
    if x.dtype.kind not in "fc":
        raise DtypeError(f"{op}: needs floating-point numbers, got dtype {x.dtype}; convert with .astype(np.float32)")


def check_real(op: str, *tensors: Tensor) -> None:
    """Raise DtypeError for complex numbers, which have no order and no kinks, except in a complex step."""
    for x in tensors:
        if x.dtype.kind == "c" and not modes.is_complex_step():
            raise DtypeError(f"{op}: is not defined for complex numbers ({x.dtype}); use x.real, x.imag or abs(x)")


def binary(name: str, op: type[Function], x: Operand, y: Operand) -> Tensor:
    """op applied to two operands of a common dtype. Raises ShapeError unless they broadcast."""
    a, b = same_kind(x, y)
    check_broadcast(name, a, b)
    if op.branches is not None:
        check_real(name, a)
    return op()(a, b)


def unary(name: str, op: Function, x: Tensor) -> Tensor:
    """op applied to a Tensor of floating-point numbers. Raises DtypeError for others, as all functions of one do."""
    check_floating(name, x)
    if op.branches is not None:
        check_real(name, x)  # complex numbers have no kinks
    return op(x)


def axes_of(op: str, dim: Dim, ndim: int) -> tuple[int, ...]:
    """`dim` as a tuple of axes from 0 on; None means all. Raises ShapeError for unknown axes and repeated ones."""
    dims = tuple(range(ndim)) if dim is None else tuple(dim) if isinstance(dim, (tuple, Iterable)) else (dim,)
    for each in dims:
        if not _is_integer(each):
            raise ShapeError(f"{op}: dim {dim!r} must be an integer or several")
        if not -max(ndim, 1) <= each < max(ndim, 1):
            raise ShapeError(f"{op}: dim {each} does not exist in a tensor of {ndim} axes")
    axes = tuple(int(each) % max(ndim, 1) for each in dims) if ndim else ()
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{op}: dim {dim} names an axis twice")
    return axes


def lengths_of(op: str, shape: Sequence[int]) -> list[int]:
    """`shape` as a list of Python integers. Raises ShapeError for anything else, such as 2.5 or True."""
    if not all(_is_integer(n) for n in shape):
        raise ShapeError(f"{op}: the lengths {tuple(shape)} must be integers")
    return [int(n) for n in shape]


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def axis_of(op: str, dim: int, ndim: int) -> int:
    """`dim` as an axis from 0 on. Raises ShapeError if it does not exist."""
    if not _is_integer(dim):
        raise ShapeError(f"{op}: dim {dim!r} must be one integer")
    (axis,) = axes_of(op, dim, ndim) or (0,)
    return axis


def pair(op: str, name: str, value: int | Sequence[int]) -> tuple[int, int]:
    """`3`, `(3,)` or `(3, 5)` as (vertical, horizontal). Raises ShapeError for anything else."""
    if type(value) is int:  # the usual case, for speed
        return value, value
    values = tuple(value) if isinstance(value, Iterable) else (value,)
    values = values * 2 if len(values) == 1 else values
    if len(values) != 2 or not all(_is_integer(each) for each in values):
        raise ShapeError(f"{op}: {name} must be an integer or a pair of integers, got {value!r}")
    return int(values[0]), int(values[1])
