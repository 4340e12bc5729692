"""torch's names of dtypes. A dtype is NumPy's: `minires.float32 == np.float32`, and each stands for the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from minires.errors import DtypeError

DType = np.dtype[Any]

float16: DType = np.dtype("float16")
float32: DType = np.dtype("float32")
float64: DType = np.dtype("float64")
complex64: DType = np.dtype("complex64")
complex128: DType = np.dtype("complex128")
uint8: DType = np.dtype("uint8")
uint16: DType = np.dtype("uint16")
uint32: DType = np.dtype("uint32")
uint64: DType = np.dtype("uint64")
int8: DType = np.dtype("int8")
int16: DType = np.dtype("int16")
int32: DType = np.dtype("int32")
int64: DType = np.dtype("int64")
bool: DType = np.dtype("bool")

dtype = np.dtype
half, float, double = float16, float32, float64
short, int, long = int16, int32, int64
cfloat, cdouble = complex64, complex128


def get_default_dtype() -> DType:
    """float32, the dtype of Python's floats (torch.get_default_dtype)."""
    return float32


def set_default_dtype(d: Any) -> None:
    """Accept float32, which is the default (torch.set_default_dtype). Raises DtypeError for any other dtype."""
    if np.dtype(d) != float32:
        raise DtypeError(
            f"set_default_dtype: the default stays float32; for {np.dtype(d)} give dtype= where tensors are made, and "
            f"write model.to(minires.{np.dtype(d)})"
        )


__all__ = [
    "bool",
    "cdouble",
    "cfloat",
    "complex64",
    "complex128",
    "double",
    "dtype",
    "float",
    "float16",
    "float32",
    "float64",
    "get_default_dtype",
    "half",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "long",
    "set_default_dtype",
    "short",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]
