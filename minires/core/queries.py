"""Questions about tensors and dtypes, under torch's names."""

from __future__ import annotations

from typing import Any

import numpy as np

from minires.core.dtypes import DType
from minires.core.tensor import Tensor

finfo = np.finfo
iinfo = np.iinfo


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a Tensor (torch.is_tensor)."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype of `input` is a real floating-point one (torch.is_floating_point)."""
    return bool(input.dtype.kind == "f")


def is_complex(input: Tensor) -> bool:
    """Whether the dtype of `input` is complex (torch.is_complex)."""
    return bool(input.dtype.kind == "c")


def numel(input: Tensor) -> int:
    """The number of elements (torch.numel)."""
    return input.numel()


def promote_types(type1: Any, type2: Any) -> DType:
    """The dtype of a result of these two (torch.promote_types): integers take the dtype of floating-point numbers."""
    dtypes = [np.dtype(type1), np.dtype(type2)]
    return np.result_type(*([dtype for dtype in dtypes if dtype.kind in "fc"] or dtypes))
