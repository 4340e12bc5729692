"""The methods of Tensor that tell how its array lies in memory, under torch's names. None of them computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minires.core.operators import METHODS
from minires.errors import ShapeError

if TYPE_CHECKING:
    from minires.core.function import Function
    from minires.core.tensor import Tensor

# torch's memory formats: which axis lies slowest in memory, which next, and so on.
FORMAT_AXES = {"channels_last": (0, 2, 3, 1)}
MEMORY_FORMATS = ("preserve_format", "contiguous_format", *FORMAT_AXES)
preserve_format, contiguous_format, channels_last = MEMORY_FORMATS


class Facts:
    """The part of `Tensor` that tells of its array."""

    if TYPE_CHECKING:  # Tensor has them
        _data: Any
        shape: Any
        dtype: Any
        ndim: Any
        device: Any
        node: Any

        def numel(self) -> int: ...

    __slots__ = ()

    itemsize = property(lambda self: int(self.dtype.itemsize), doc="Bytes of one element.")
    nbytes = property(lambda self: self.numel() * int(self.dtype.itemsize), doc="Bytes of all elements.")
    is_cuda = property(lambda self: self.device != "cpu", doc="Whether the array is on a GPU.")
    is_cpu = property(lambda self: self.device == "cpu", doc="Whether the array is in host memory.")

    @property
    def grad_fn(self) -> Function | None:
        """The node that computed this tensor, None for a leaf; it is called `node` as well."""
        return self.node

    def element_size(self) -> int:
        """Bytes of one element."""
        return int(self.dtype.itemsize)

    def nelement(self) -> int:
        """Number of elements."""
        return self.numel()

    def ndimension(self) -> int:
        """Number of axes."""
        return int(self.ndim)

    def get_device(self) -> int:
        """The number of the GPU; −1 for host memory."""
        return -1 if self.device == "cpu" else int(self.device.index)

    def is_floating_point(self) -> bool:
        """Whether the dtype is a real floating-point one."""
        return bool(self.dtype.kind == "f")

    def is_complex(self) -> bool:
        """Whether the dtype is complex."""
        return bool(self.dtype.kind == "c")

    def is_signed(self) -> bool:
        """Whether the dtype has negative numbers."""
        return bool(self.dtype.kind in "ifc")

    def stride(self, dim: int | None = None) -> Any:
        """How many elements lie from one index to the next, for all axes or one."""
        strides = tuple(step // self.dtype.itemsize for step in self._data.strides)
        return strides if dim is None else strides[dim]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in memory without gaps, in row-major order, or as "channels_last" says.

        Raises ShapeError for "channels_last" and other than four axes, ValueError for an unknown format.
        """
        if memory_format in (None, "contiguous_format"):
            return bool(self._data.flags.c_contiguous)
        if memory_format not in FORMAT_AXES:
            raise ValueError(f"memory_format = {memory_format!r} must be one of {', '.join(MEMORY_FORMATS)}")
        axes = FORMAT_AXES[memory_format]
        if self.ndim != len(axes):
            raise ShapeError(f"memory_format: {memory_format} needs {len(axes)} axes, got shape {self.shape}")
        return bool(self._data.transpose(axes).flags.c_contiguous)

    def contiguous(self, memory_format: Any = None) -> Tensor:
        """The tensor with its elements in row-major order in memory: itself, or a copy. `view` never needs it here."""
        return METHODS["contiguous"](self, memory_format)

    def _repr_html_(self) -> str:
        """Shape, dtype, origin and a table of numbers, as notebooks show a tensor."""
        from minires.core.display import tensor_html

        return tensor_html(self)

    def data_ptr(self) -> int:
        """The address of the first element. Two tensors with one address share memory."""
        return int(self._data.ctypes.data if isinstance(self._data, np.ndarray) else self._data.data.ptr)
