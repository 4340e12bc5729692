"""The methods of Tensor that give it another dtype or device, under torch's names. `ops/cast.py` computes them.

They stand in a class of their own, since within it `float`, `int` and `bool` are methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minires.core.operators import METHODS, tuple_of
from minires.errors import DtypeError

if TYPE_CHECKING:
    from minires.core.tensor import Tensor

# What torch calls a tensor of a dtype.
TYPES = {
    "HalfTensor": np.float16,
    "FloatTensor": np.float32,
    "DoubleTensor": np.float64,
    "ComplexFloatTensor": np.complex64,
    "ComplexDoubleTensor": np.complex128,
    "ByteTensor": np.uint8,
    "CharTensor": np.int8,
    "ShortTensor": np.int16,
    "IntTensor": np.int32,
    "LongTensor": np.int64,
    "BoolTensor": np.bool_,
}


class Conversions:
    """The part of `Tensor` that converts it. A gradient is converted back; integers have none."""

    if TYPE_CHECKING:  # Tensor has it
        dtype: Any

    __slots__ = ()

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """The tensor on another device, in another dtype or both, as torch.Tensor.to; itself if nothing changes.

        `to("cuda")`, `to(minires.float64)`, `to("cuda", minires.float64)`, `to(other)` (the device and dtype of another
        tensor), each by position or as device=, dtype= and other=. With copy=True it is always a copy.
        non_blocking=True permits to go on before a copy has arrived; memory_format names a layout in memory. Raises
        DeviceError, with the reason, for a device that cannot be used.
        """
        return METHODS["to"](self, *args, **kwargs)

    def cpu(self, memory_format: Any = None) -> Tensor:
        """The tensor in host memory."""
        return METHODS["to"](self, "cpu", memory_format=memory_format)

    def cuda(self, device: Any = None, non_blocking: Any = False) -> Tensor:
        """The tensor on a GPU: "cuda:1" or 1, by default the first. Raises DeviceError where there is none."""
        where = "cuda" if device is None else f"cuda:{device}" if isinstance(device, int) else device
        return METHODS["to"](self, where, non_blocking=non_blocking)

    def astype(self, dtype: Any) -> Tensor:
        """The tensor in another dtype."""
        return METHODS["astype"](self, dtype)

    def type(self, dtype: Any = None) -> Any:
        """The tensor in another dtype, which torch's name may say ("LongTensor"); without one, the name of its own."""
        if dtype is None:
            return "minires." + next((name for name, kind in TYPES.items() if self.dtype == kind), str(self.dtype))
        if isinstance(dtype, str):
            dtype = TYPES.get(dtype.rpartition(".")[2], dtype)
        return METHODS["astype"](self, dtype)

    def type_as(self, other: Tensor) -> Tensor:
        """The tensor in the dtype, and on the device, of `other`."""
        return METHODS["to"](self, other)

    def half(self, memory_format: Any = None) -> Tensor:
        """The tensor as float16."""
        return METHODS["to"](self, np.float16, memory_format=memory_format)

    def float(self, memory_format: Any = None) -> Tensor:
        """The tensor as float32."""
        return METHODS["to"](self, np.float32, memory_format=memory_format)

    def double(self, memory_format: Any = None) -> Tensor:
        """The tensor as float64."""
        return METHODS["to"](self, np.float64, memory_format=memory_format)

    def cfloat(self, memory_format: Any = None) -> Tensor:
        """The tensor as complex64."""
        return METHODS["to"](self, np.complex64, memory_format=memory_format)

    def cdouble(self, memory_format: Any = None) -> Tensor:
        """The tensor as complex128."""
        return METHODS["to"](self, np.complex128, memory_format=memory_format)

    def byte(self, memory_format: Any = None) -> Tensor:
        """The tensor as uint8."""
        return METHODS["to"](self, np.uint8, memory_format=memory_format)

    def char(self, memory_format: Any = None) -> Tensor:
        """The tensor as int8."""
        return METHODS["to"](self, np.int8, memory_format=memory_format)

    def short(self, memory_format: Any = None) -> Tensor:
        """The tensor as int16."""
        return METHODS["to"](self, np.int16, memory_format=memory_format)

    def int(self, memory_format: Any = None) -> Tensor:
        """The tensor as int32."""
        return METHODS["to"](self, np.int32, memory_format=memory_format)

    def long(self, memory_format: Any = None) -> Tensor:
        """The tensor as int64."""
        return METHODS["to"](self, np.int64, memory_format=memory_format)

    def bool(self, memory_format: Any = None) -> Tensor:
        """Where the tensor is not 0."""
        return METHODS["to"](self, np.bool_, memory_format=memory_format)

    # -- new tensors like this one ------------------------------------------------------------------------------------

    def new_tensor(self, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
        """A leaf with a copy of `data`, in this tensor's dtype and on its device unless others are given."""
        return METHODS["new_tensor"](self, data, dtype, device, requires_grad)

    def new_full(
        self, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: Any = False
    ) -> Tensor:
        """A leaf of that shape, filled with one number; dtype and device as in `new_tensor`."""
        return METHODS["new_full"](self, size, fill_value, dtype, device, requires_grad)

    def new_zeros(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
        """A leaf of zeros, whose shape is given as numbers or as one tuple; dtype and device as in `new_tensor`."""
        return METHODS["new_full"](self, tuple_of(size), 0, dtype, device, requires_grad)

    def new_ones(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
        """A leaf of ones, as `new_zeros`."""
        return METHODS["new_full"](self, tuple_of(size), 1, dtype, device, requires_grad)

    def new_empty(self, *size: Any, dtype: Any = None, device: Any = None, requires_grad: Any = False) -> Tensor:
        """A leaf that is to be written into, as `new_zeros`; its numbers are zeros until then."""
        return METHODS["new_full"](self, tuple_of(size), 0, dtype, device, requires_grad)


def refuse_memory_format(what: str, memory_format: Any) -> None:
    """Raise TypeError for a memory format of a whole model: which layout its images have, the kernels choose."""
    if memory_format is not None:
        raise TypeError(
            f"{what}: there is no memory_format, since the kernels choose the layout in memory: leave it out"
        )


def dtype_of(what: str, dtype: Any) -> np.dtype[Any]:
    """`dtype` as NumPy's. Raises DtypeError for what is none."""
    try:
        return np.dtype(dtype)
    except TypeError:
        raise DtypeError(f"{what}: {dtype!r} is not a dtype") from None
