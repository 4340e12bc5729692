"""The safetensors format: a JSON header with the position of each array, then the arrays.

    header length (uint64, little-endian)  header: {name: {"dtype", "shape", "data_offsets"}, ...}  bytes of the arrays

The safetensors library validates the header (offsets in range, no holes or overlaps, sizes that match the shapes). The
bytes are then mapped here, because the library cannot return bfloat16, which NumPy lacks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from minires.errors import WeightsError
from minires.files import atomic_write
from minires.weights.elements import Array, decode, shaped
from minires.weights.messages import brief, printable, reason

_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "C64": "complex64", "BOOL": "bool",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
}  # fmt: skip

_MAX_HEADER = 100_000_000  # the library's own limit

# The prefix of the arrays that a training run stores beside its weights (`minires.training.checkpoint`). Like the other
# entries of a nested PyTorch checkpoint, they are not among the weights that `read` returns.
TRAINING_STATE = "minires.training/"


def recognises(content: Array) -> bool:
    """Whether the bytes `content` (n,) uint8 begin like a safetensors file."""
    return content[8:9].tobytes() == b"{" and _header_length(content) <= _MAX_HEADER


def _header_length(content: Array) -> int:
    return int.from_bytes(content[:8].tobytes(), "little")


def read(path: Path, content: Array) -> tuple[dict[str, Array], list[str]]:
    """(the arrays, what NumPy cannot hold) of the file at `path`, whose bytes are `content` (n,) uint8.

    Raises WeightsError if it is damaged.
    """
    _validate(path)
    start = 8 + _header_length(content)
    header: dict[str, Any] = json.loads(content[8:start].tobytes())
    header.pop("__metadata__", None)
    arrays, skipped = {}, []
    for name, entry in header.items():
        if name.startswith(TRAINING_STATE):
            continue
        if entry["dtype"] not in _DTYPES:
            skipped.append(f"{brief(name)} ({printable(str(entry['dtype']))}, which NumPy cannot hold)")
            continue
        begin, end = entry["data_offsets"]
        elements = decode(content[start + begin : start + end], _DTYPES[entry["dtype"]])
        arrays[name] = shaped(elements, entry["shape"])
    return arrays, skipped


def _validate(path: Path) -> None:
    """Let the library check the header against the file."""
    safetensors = _library()
    try:
        with safetensors.safe_open(path, framework="numpy"):
            pass
    except safetensors.SafetensorError as error:
        raise WeightsError(f"a safetensors file that is truncated or damaged ({reason(error)})") from error


def _library() -> Any:
    try:
        import safetensors
    except ImportError as error:
        raise WeightsError("this format needs a library: pip install safetensors") from error
    return safetensors


def write(path: Path, arrays: dict[str, Array], metadata: dict[str, str] | None = None) -> None:
    """Write contiguous little-endian arrays, and `metadata`. Raises WeightsError for a dtype that the format lacks."""
    safetensors = _library()
    from safetensors.numpy import save

    try:
        content = save(arrays, metadata={"format": "pt", **(metadata or {})})  # PyTorch's libraries expect "format"
    except safetensors.SafetensorError as error:
        raise WeightsError(f"the safetensors format cannot hold it ({reason(error)})") from error
    with atomic_write(path) as file:
        file.write(content)
