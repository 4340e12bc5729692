"""Arrays that NumPy accepts and the kernels do not: masked ones, matrices, foreign byte order, Python objects.

Each becomes a plain array, or is refused with the remedy: a mask, for example, would be lost without a word.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minires.backend.arrays import Array
from minires.errors import DtypeError

NUMBERS = "biufc"  # the kinds of dtypes that hold numbers: bool, integers, floating point, complex


def is_plain(array: Any) -> bool:
    """Whether `array` is a NumPy array of numbers as the kernels take it."""
    return type(array) is np.ndarray and array.dtype.isnative and array.dtype.kind in NUMBERS


def native(what: str, array: Any, target: Any = None) -> Array:
    """`array` in this machine's byte order and without a subclass of NumPy's; the same object if it is so already.

    Arrays of CuPy and memory maps stay as they are. Raises DtypeError, naming `what`, for masked arrays, for arrays
    that do not hold numbers, and for complex numbers where the caller will convert to `target`, a real dtype.
    """
    if array.dtype.kind == "c" and target is not None and np.dtype(target).kind != "c":
        raise DtypeError(f"{what}: {target} would lose the imaginary parts; take array.real or abs(array)")
    if is_plain(array):
        return array
    if array.dtype.kind not in NUMBERS:
        remedy = "; convert it with .astype(np.float32)" if array.dtype.kind == "O" else ""
        raise DtypeError(f"{what}: an array with dtype {array.dtype} does not hold numbers{remedy}")
    if isinstance(array, np.ma.MaskedArray):
        raise DtypeError(f"{what}: a masked array's mask would be lost; replace what is masked: array.filled(0.0)")
    if isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = np.asarray(array)  # the array of a matrix or another subclass
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
