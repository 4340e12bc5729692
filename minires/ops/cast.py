"""Changes of dtype and of device as operations: the gradient is cast or sent back."""

from __future__ import annotations

from typing import Any

import numpy as np

from minires import backend
from minires.backend import Array
from minires.core import modes
from minires.core.function import Function
from minires.core.operators import method
from minires.core.tensor import Tensor
from minires.errors import DeviceError, DtypeError
from minires.ops.operands import check_real


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
    if device is not None and not backend.is_device(device):
        device, dtype = None, device
    try:
        return device, None if dtype is None else np.dtype(dtype)
    except TypeError:
        raise DeviceError(f"to: {dtype!r} is neither a device ('cpu', 'cuda', 'cuda:N') nor a dtype") from None


@method("to")
def to(input: Tensor, device: Any = None, dtype: Any = None) -> Tensor:
    """input on another device, in another dtype or both (torch.Tensor.to).

    Raises DeviceError, with the reason, where the device cannot be used.
    """
    device, dtype = device_and_dtype(device, dtype)
    device = "cuda:0" if device == "cuda" else device
    if device is not None and device != input.device:
        input = ToDevice(device)(input)
    return input if dtype is None else astype(input, dtype)


@method("clone")
def clone(input: Tensor) -> Tensor:
    """A copy that passes gradients on (torch.clone)."""
    return Clone()(input)
