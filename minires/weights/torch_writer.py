"""Writes PyTorch's zip format, so that `torch.load(path, weights_only=True)` reads the file.

The pickle is an OrderedDict {name: torch._utils._rebuild_tensor_v2(storage, 0, shape, stride, False, OrderedDict())}.
It is written instruction by instruction, because the `pickle` module would import PyTorch to name its functions.
`torch_zip` describes the members of the archive.
"""

from __future__ import annotations

import math
import pickle
import pickletools
import zipfile
from pathlib import Path

from minires.files import atomic_write
from minires.weights.elements import Array

_ALIGNMENT = 64  # the elements of a storage begin at a multiple, as torch.save writes them: they can be memory-mapped
_ZIP64_BYTES = 20  # the field that `zipfile` adds to a member's header for sizes beyond 4 GiB

_STORAGES = {
    "float64": "DoubleStorage", "float32": "FloatStorage", "float16": "HalfStorage",
    "int64": "LongStorage", "int32": "IntStorage", "int16": "ShortStorage", "int8": "CharStorage",
    "uint8": "ByteStorage", "bool": "BoolStorage",
    "complex64": "ComplexFloatStorage", "complex128": "ComplexDoubleStorage",
}  # fmt: skip


def write(path: Path, arrays: dict[str, Array]) -> None:
    """Write contiguous little-endian arrays. The members have no date, so equal arrays give equal files."""
    folder = "archive"
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(f"{folder}/data.pkl"), _pickle(arrays))
        archive.writestr(zipfile.ZipInfo(f"{folder}/byteorder"), b"little")
        for key, array in enumerate(arrays.values()):
            member = zipfile.ZipInfo(f"{folder}/data/{key}")
            member.file_size = array.nbytes
            member.extra = _padding(file.tell(), member)
            with archive.open(member, "w", force_zip64=_is_large(array.nbytes)) as stream:
                stream.write(array.reshape(-1).view("uint8").data)
        archive.writestr(zipfile.ZipInfo(f"{folder}/version"), b"3\n")


def _is_large(size: int) -> bool:
    return size >= 2**31


def _padding(position: int, member: zipfile.ZipInfo) -> bytes:
    """An extra field, as torch.save names it, after which the member's bytes begin at a multiple of the alignment."""
    header = 30 + len(member.filename.encode()) + _ZIP64_BYTES * _is_large(member.file_size) + 4
    length = -(position + header) % _ALIGNMENT
    return b"FB" + length.to_bytes(2, "little") + b"Z" * length


def _pickle(arrays: dict[str, Array]) -> bytes:
    """The pickle of the state dictionary, in protocol 2."""
    items = [_value(name) + _tensor(str(key), array) for key, (name, array) in enumerate(arrays.items())]
    return b"\x80\x02" + _ORDERED_DICT + b"(" + b"".join(items) + b"u."  # MARK, the items, SETITEMS, STOP


def _tensor(key: str, array: Array) -> bytes:
    """Instructions that push the tensor of storage `key`."""
    dtype = array.dtype.name
    # Not NumPy's strides: those of an axis of length 1 have no meaning, and may be negative.
    strides = tuple(math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim))
    if dtype in _STORAGES:
        storage, count, function, last = f"torch {_STORAGES[dtype]}", array.size, "_rebuild_tensor_v2", b""
    else:  # unsigned integers of 16 bits and more: bytes, and the dtype as the last argument
        storage, count, function = "torch.storage UntypedStorage", array.nbytes, "_rebuild_tensor_v3"
        last = _global(f"torch {dtype}")
    reference = _tuple(_value("storage"), _global(storage), _value(key), _value("cpu"), _value(count))
    arguments = (_value(0), _value(array.shape), _value(strides), _value(False), _ORDERED_DICT, last)
    return _global(f"torch._utils {function}") + _tuple(reference + b"Q", *arguments) + b"R"  # Q: BINPERSID, R: REDUCE


def _value(plain: object) -> bytes:
    """Instructions that push text, an integer or a tuple of integers."""
    return pickletools.optimize(pickle.dumps(plain, protocol=2))[2:-1]  # without PROTO and STOP


def _global(name: str) -> bytes:
    module, attribute = name.split(" ")
    return f"c{module}\n{attribute}\n".encode()


def _tuple(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


_ORDERED_DICT = _global("collections OrderedDict") + b")R"  # OrderedDict()
