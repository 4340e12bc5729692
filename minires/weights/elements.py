"""Converts between bytes in a file and NumPy arrays.

Files contain little-endian elements (rarely big-endian) at any byte offset, sometimes of a type that NumPy lacks. All
readers convert bytes to arrays here, and all writers convert arrays to a form that they can write.
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

#: Bytes per element, by dtype name of PyTorch and NumPy. Only bfloat16 is not a NumPy dtype.
ITEM_SIZE: dict[str, int] = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "bool": 1, "complex64": 8, "complex128": 16,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint64": 8, "uint32": 4, "uint16": 2, "uint8": 1,
}  # fmt: skip


def decode(raw: Array, dtype: str, byteorder: str = "little") -> Array:
    """The elements (n,) of `dtype` in the bytes `raw` (n · itemsize,) uint8; read-only.

    The result is a view of `raw` if NumPy can use the bytes as they are, else a copy. Raises WeightsError if the bytes
    are not a whole number of elements.

    bfloat16 is the upper half of a float32, so appending 16 zero bits gives the same number:

        float32 bits = bfloat16 bits << 16
    """
    if raw.size % ITEM_SIZE[dtype]:
        raise WeightsError(f"{raw.size} bytes are no whole number of {dtype} elements")
    on_disk = np.dtype("uint16" if dtype == "bfloat16" else dtype).newbyteorder("<" if byteorder == "little" else ">")
    elements: Array
    if dtype == "bool":
        elements = raw != 0  # in NumPy, a byte other than 0 and 1 in a bool array is undefined behaviour
    else:
        elements = raw.view(on_disk)
        if not (elements.flags.aligned and elements.dtype.isnative):
            elements = elements.astype(on_disk.newbyteorder("="))
    if dtype == "bfloat16":
        elements = (elements.astype(np.uint32) << np.uint32(16)).view(np.float32)
    elements.flags.writeable = False
    return elements


def shaped(elements: Array, shape: Sequence[int], order: Literal["C", "F"] = "C") -> Array:
    """`elements` (n,) in the shape that a file claims. Raises WeightsError if its product is not n, or NumPy refuses.

    The product alone is not enough: (0, 2**62) has no elements, and a shape may have a hundred dimensions.
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
    """`value` as a NumPy array that is C-contiguous and little-endian, for writing.

    The order matters: the safetensors writer writes memory as it is, so a transposed or channels-last array would
    silently come back with wrong elements. (`np.ascontiguousarray` would turn 0-d into 1-d.) Raises WeightsError,
    naming the entry, if `value` is not an array or has a dtype that weight files do not have.
    """
    if hasattr(value, "__cuda_array_interface__") and hasattr(value, "get"):
        value = value.get()
    elif hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, Mapping) or not isinstance(value, np.ndarray | np.generic):
        raise WeightsError(f"entry {name!r} is a {type(value).__name__}, not an array")
    if isinstance(value, np.ma.MaskedArray):
        raise WeightsError(f"entry {name!r} is a masked array, whose mask would be lost: save array.filled(0.0)")
    array: Array = np.asarray(value)
    if array.dtype.kind not in "biufc" or array.dtype.name not in ITEM_SIZE:
        raise WeightsError(f"entry {name!r} has dtype {array.dtype}, which weight files do not hold; convert it first")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
