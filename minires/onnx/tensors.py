"""Tensors in an ONNX file as NumPy arrays: checked against what the file holds before anything is allocated."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from minires.errors import DataError

# The number of a dtype in the standard (TensorProto.DataType) -> NumPy's.
DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("float32"),
    2: np.dtype("uint8"),
    3: np.dtype("int8"),
    4: np.dtype("uint16"),
    5: np.dtype("int16"),
    6: np.dtype("int32"),
    7: np.dtype("int64"),
    9: np.dtype("bool"),
    10: np.dtype("float16"),
    11: np.dtype("float64"),
    12: np.dtype("uint32"),
    13: np.dtype("uint64"),
}
# Where a tensor keeps its numbers if not as raw bytes, by dtype.
_FIELDS = {1: "float_data", 7: "int64_data", 11: "double_data", 12: "uint64_data", 13: "uint64_data"}
_MOST_AXES = 32


def dtype_of(number: int, where: str) -> np.dtype[Any]:
    """NumPy's dtype for the standard's number. Raises DataError, saying where, for one that NumPy has not."""
    if number not in DTYPES:
        raise DataError(
            f"{where} is of dtype {dtype_name(number)}: MiniRes computes with {', '.join(map(str, DTYPES.values()))}"
        )
    return DTYPES[number]


def dtype_name(number: int) -> str:
    """The standard's name of a dtype."""
    import onnx

    return {value: name for name, value in onnx.TensorProto.DataType.items()}.get(number, str(number))


def array_of(tensor: Any, folder: Path | None) -> np.ndarray:
    """The numbers of a TensorProto, read-only. `folder`: where external data may lie; None: nowhere.

    Raises DataError if the tensor claims another number of elements than there are, or if its data lie outside of the
    folder.
    """
    name = f"the tensor {tensor.name[:80]!r}"
    dtype, shape = dtype_of(tensor.data_type, name), tuple(tensor.dims)
    if len(shape) > _MOST_AXES or any(n < 0 for n in shape):
        raise DataError(f"{name} has the impossible shape {shape[: _MOST_AXES + 1]}")
    elements = math.prod(shape)
    if tensor.data_location == tensor.EXTERNAL:
        array = _external(tensor, name, dtype, elements, folder)
    elif tensor.HasField("raw_data"):
        _check_count(name, shape, elements * dtype.itemsize, len(tensor.raw_data), "bytes")
        array = np.frombuffer(tensor.raw_data, dtype.newbyteorder("<")).astype(dtype, copy=False)
    else:
        values = getattr(tensor, _FIELDS.get(tensor.data_type, "int32_data"))
        _check_count(name, shape, elements, len(values), "elements")
        array = np.array(values, np.float32 if tensor.data_type == 1 else None)
        # float16 is stored as the integer of its bits
        array = array.astype(np.uint16).view(np.float16) if dtype == np.float16 else array.astype(dtype)
    array = array.reshape(shape)
    array.flags.writeable = False
    return array


def _check_count(name: str, shape: tuple[int, ...], wanted: int, there: int, unit: str) -> None:
    if wanted != there:
        raise DataError(f"{name} of shape {shape} needs {wanted:,} {unit}, and the file holds {there:,}")


def _external(tensor: Any, name: str, dtype: np.dtype[Any], elements: int, folder: Path | None) -> np.ndarray:
    """The numbers of a tensor in a file of their own, which must lie in the folder of the model, or below it."""
    facts = {entry.key: entry.value for entry in tensor.external_data}
    if folder is None:
        raise DataError(f"{name} lies in a file of its own: give the path of the model, not its bytes")
    location = facts.get("location", "")
    path = _inside(folder, location, name)
    try:
        offset = int(facts.get("offset") or 0)
        length = int(facts["length"]) if facts.get("length") else elements * dtype.itemsize
    except ValueError:
        raise DataError(f"{name}: offset and length of its data must be numbers") from None
    size = path.stat().st_size
    if length != elements * dtype.itemsize or offset < 0 or offset + length > size:
        raise DataError(
            f"{name} needs {elements * dtype.itemsize:,} bytes, claims {length:,} from byte {offset:,} on, and "
            f"{location} holds {size:,}"
        )
    if not elements:
        return np.zeros(0, dtype)
    return np.fromfile(path, dtype.newbyteorder("<"), elements, offset=offset).astype(dtype, copy=False)


def _inside(folder: Path, location: str, name: str) -> Path:
    """The path of external data. Raises DataError unless it is a file in the folder of the model or below it."""
    try:
        path = (folder / location).resolve()
        is_inside = path.is_relative_to(folder.resolve())
        there = is_inside and path.is_file()
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, or a circle of links
        is_inside, there = True, False
    if not is_inside:
        raise DataError(f"{name} claims data outside of the model's folder, in {location[:200]!r}: they are not read")
    if not location or not there:
        raise DataError(f"{name} has its data in {location[:200]!r}, which is not there: put it beside the model")
    return path
