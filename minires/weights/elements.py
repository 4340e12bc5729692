"""Elements on disk and in memory: the dtypes that weight files use, and what NumPy calls them.

Files hold little-endian elements (rarely big-endian), at any byte offset, and sometimes of a type that NumPy does
not have. Every reader turns bytes into arrays here, every writer arrays into something it can dump.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from minires.errors import WeightsError
from minires.weights.messages import brief, reason

Array = NDArray[Any]

#: Bytes per element, by the name PyTorch and NumPy share. bfloat16 alone is not a NumPy dtype.
ITEM_SIZE: dict[str, int] = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint64": 8,
    "uint32": 4,
    "uint16": 2,
    "uint8": 1,
    "bool": 1,
    "complex64": 8,
    "complex128": 16,
}


def decode(raw: Array, dtype: str, byteorder: str = "little") -> Array:
    """The elements (n,) of `dtype` that the bytes `raw` (n * itemsize,) uint8 hold; read-only.

    A view of `raw` where the bytes are already what NumPy wants, a copy otherwise.

    bfloat16 is the upper half of a float32, so 16 zero bits after it give the same number:

        float32 bits = bfloat16 bits << 16
    """
    if raw.size % ITEM_SIZE[dtype]:
        raise WeightsError(f"{raw.size} bytes are no whole number of {dtype} elements")
    on_disk = np.dtype("uint16" if dtype == "bfloat16" else dtype).newbyteorder("<" if byteorder == "little" else ">")
    elements: Array
    if dtype == "bool":
        elements = raw != 0  # a byte such as 7 inside a bool array is undefined behaviour in NumPy
    else:
        elements = raw.view(on_disk)
        if not (elements.flags.aligned and elements.dtype.isnative):
            elements = elements.astype(on_disk.newbyteorder("="))
    if dtype == "bfloat16":
        elements = (elements.astype(np.uint32) << np.uint32(16)).view(np.float32)
    elements.flags.writeable = False
    return elements


def shaped(elements: Array, shape: Sequence[int], order: Literal["C", "F"] = "C") -> Array:
    """`elements` (n,) in the shape that a file claims, whose product has to be n. Raises WeightsError.

    The product does not say all: (0, 2**62) makes no elements, and a shape may have a hundred dimensions.
    """
    if math.prod(shape) != elements.size or any(n < 0 for n in shape):
        raise WeightsError(
            f"{elements.size} elements do not make an array of shape ({', '.join(map(brief, shape[:8]))})"
        )
    try:
        return elements.reshape(shape, order=order)
    except (ValueError, OverflowError, TypeError) as error:
        raise WeightsError(f"NumPy cannot hold it ({reason(error)})") from error


def as_stored(value: object, name: str) -> Array:
    """`value` as the array that goes into the file: in NumPy's memory, C-contiguous, little-endian.

    The order matters: the safetensors writer dumps memory as it lies, so a transposed or channels-last array would
    come back with its elements in the wrong places, silently. (`np.ascontiguousarray` would turn 0-d into 1-d.)
    """
    if hasattr(value, "__cuda_array_interface__") and hasattr(value, "get"):
        value = value.get()
    elif hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, Mapping) or not isinstance(value, np.ndarray | np.generic):
        raise WeightsError(f"entry {name!r} is a {type(value).__name__}, not an array")
    array: Array = np.asarray(value)
    if array.dtype.kind not in "biufc" or array.dtype.name not in ITEM_SIZE:
        raise WeightsError(f"entry {name!r} has dtype {array.dtype}, which weight files do not hold; convert it first")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
