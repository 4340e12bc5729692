"""Changes of dtype and of device as operations: the gradient is cast or sent back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from minires import backend
from minires.backend import Array
from minires.core import modes
from minires.core.conversions import dtype_of
from minires.core.creation import tensor
from minires.core.facts import FORMAT_AXES
from minires.core.function import Function
from minires.core.operators import method
from minires.core.settings import flag
from minires.core.tensor import Tensor
from minires.errors import DeviceError, DtypeError
from minires.ops.operands import check_real, check_tensor, lengths_of


class AsType(Function):
    """The same numbers in another dtype; the gradient is cast back."""

    saved_inputs = ()

    def __init__(self, dtype: Any) -> None:
        self.target = np.dtype(dtype)

    def forward(self, x: Array) -> Array:
        return backend.astype(x, self.target)

    def backward(self, g: Tensor) -> Tensor:
        return AsType(self.inputs[0].dtype)(g)


class ToDevice(Function):
    """The same numbers on another device; the gradient is sent back."""

    saved_inputs = ()

    def __init__(self, target: str) -> None:
        self.target = target

    def forward(self, x: Array) -> Array:
        return backend.to_device(x, self.target)

    def backward(self, g: Tensor) -> Tensor:
        return ToDevice(self.inputs[0].device)(g)


class Clone(Function):
    """A copy of x; the gradient passes unchanged."""

    saved_inputs = ()

    def forward(self, x: Array) -> Array:
        return x.copy()

    def backward(self, g: Tensor) -> Tensor:
        return g


def unshared(result: Tensor, input: Tensor) -> Tensor:
    """`result`, or a copy if it lies in the memory of `input`: for functions that always copy in torch.

    A change of the result in place must not reach the input, nor the other way round.
    """
    return Clone()(result) if backend.memory_owner(result.data) is backend.memory_owner(input.data) else result


class Relayout(Function):
    """The same numbers, whose axes lie in memory in the order `axes`, the slowest first."""

    saved_inputs = ()

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        inverse = tuple(sorted(range(len(self.axes)), key=self.axes.__getitem__))
        return backend.transpose(backend.transpose(x, self.axes).copy(), inverse)

    def backward(self, g: Tensor) -> Tensor:
        return g


@method("astype")
def astype(input: Tensor, dtype: Any) -> Tensor:
    """input in another dtype. An integer input has no gradient. Raises DtypeError if `dtype` is not a dtype."""
    try:
        dtype = np.dtype(dtype if dtype is not None else "None")  # NumPy would take None for float64
    except TypeError:
        raise DtypeError(f"astype: {dtype!r} is not a dtype") from None
    if dtype == input.dtype:
        return input
    if dtype.kind != "c":
        check_real(f"astype({dtype})", input)  # the imaginary part would be lost
    if dtype.kind in "fc":
        return AsType(dtype)(input)
    modes.note_read(input)
    return Tensor(backend.astype(input.data, dtype))


def device_and_dtype(device: Any, dtype: Any) -> tuple[str | None, Any]:
    """The arguments of `to`, whose first may be a device or a dtype: `to("cuda")`, `to(np.float64)`, `to("cpu", "f4")`.

    Raises DeviceError if it is neither.
    """
    if isinstance(device, int):
        device = f"cuda:{device}"
    if device is not None and not backend.is_device(device):
        device, dtype = None, device
    try:
        return device, None if dtype is None else np.dtype(dtype)
    except TypeError:
        raise DeviceError(f"to: {dtype!r} is neither a device ('cpu', 'cuda', 'cuda:N') nor a dtype") from None


@method("to")
def to(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """See Conversions.to."""
    memory_format = kwargs.pop("memory_format", None)
    device, dtype, is_copy = destination(*args, **kwargs)
    device = "cuda:0" if device == "cuda" else device
    result = input
    if device is not None and device != input.device:
        result = ToDevice(device)(input)
    if dtype is not None:
        result = astype(result, dtype)
    result = clone(input) if is_copy and result is input else result
    return result if memory_format is None else _in_format(result, memory_format)


def destination(*args: Any, **kwargs: Any) -> tuple[str | None, Any, bool]:
    """(device, dtype, whether it must be a copy) of a call of `to`, of a Tensor or a Module, in one of its three forms.

    They are to(device, dtype, …), to(dtype, …) and to(other, …), each followed by non_blocking and copy.
    """
    names = ["device", "dtype", "non_blocking", "copy"]
    if args and isinstance(args[0], Tensor):
        names = ["other", *names[2:]]
    elif args and args[0] is not None and not isinstance(args[0], int) and not backend.is_device(args[0]):
        is_two = len(args) == 2 and not isinstance(args[1], bool)  # to(dtype, device) is no form of torch's
        names = ["dtype", "device"] if is_two else ["dtype", *names[2:]]
    if len(args) > len(names):
        raise TypeError(f"to: takes {', '.join(names)}, got {len(args)} arguments")
    given = dict(zip(names, args, strict=False))
    if twice := given.keys() & kwargs.keys():
        raise TypeError(f"to: {min(twice)} is given twice")
    given |= kwargs
    if unknown := given.keys() - {"other", "device", "dtype", "non_blocking", "copy"}:
        raise TypeError(f"to: there is no argument {min(unknown)!r}")
    flag("to", "non_blocking", given.get("non_blocking", False))  # permission to hurry, of which no use is made
    is_copy = flag("to", "copy", given.get("copy", False))
    if "other" in given:
        check_tensor("to", given["other"])
        return given["other"].device, given["other"].dtype, is_copy
    return *device_and_dtype(given.get("device"), given.get("dtype")), is_copy


@method("clone")
def clone(input: Tensor, memory_format: Any = None) -> Tensor:
    """A copy that passes gradients on (torch.clone)."""
    check_tensor("clone", input)
    return _in_format(Clone()(input), memory_format)


@method("contiguous")
def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
    """See Facts.contiguous."""
    return _in_format(input, "contiguous_format" if memory_format is None else memory_format)


def _in_format(x: Tensor, memory_format: Any) -> Tensor:
    """x with the layout in memory that `memory_format` names; None and "preserve_format" leave it as it is."""
    if memory_format is None or memory_format == "preserve_format" or x.is_contiguous(memory_format):
        return x
    return Relayout(FORMAT_AXES.get(memory_format, tuple(range(x.ndim))))(x)


@method("new_tensor")
def new_tensor(like: Tensor, data: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    """See Conversions.new_tensor."""
    dtype, device = like.dtype if dtype is None else dtype, like.device if device is None else device
    return tensor(data, dtype=dtype, requires_grad=requires_grad, device=device)


@method("new_full")
def new_full(like: Tensor, size: Any, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    """See Conversions.new_full."""
    shape = lengths_of("new_full", tuple(size) if isinstance(size, Iterable) else (size,))
    dtype = like.dtype if dtype is None else dtype_of("new_full", dtype)
    array = np.full(shape, value.item() if isinstance(value, Tensor) else value, dtype)
    return Tensor(backend.to_device(array, like.device if device is None else device), requires_grad)
