"""The .npz format: a zip archive with one .npy file for each array. `numpy.load` can read the files written here.

A .npy file is a short header (a Python literal with dtype, order and shape) and the elements. `numpy.load` is not used
for reading, because it allocates any size that a header claims before it reads the elements.
"""

from __future__ import annotations

import io
import tokenize
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from minires.errors import WeightsError
from minires.files import atomic_write
from minires.weights.elements import ITEM_SIZE, Array, decode, shaped
from minires.weights.messages import brief, reason
from minires.weights.zip_records import ZipRecords

_MAX_HEADER = 2**16
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
# The header is Python source, and Python's parser raises many kinds of errors.
_HEADER_ERRORS = (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError)


def recognises(records: ZipRecords) -> bool:
    """Whether the archive contains arrays."""
    return any(name.endswith(".npy") for name in records.names)


def read(records: ZipRecords) -> tuple[dict[str, Array], list[str]]:
    """(the arrays of an archive in its order, those that hold no numbers and are not read).

    Raises WeightsError if the archive is damaged or holds other files.
    """
    arrays, skipped = {}, []
    for name in records.names:
        if not name.endswith(".npy"):
            raise WeightsError(f"an npz archive with {brief(name)} in it, which is no array")
        try:
            array = _read_array(records.read(name))
        except WeightsError as error:
            raise WeightsError(f"{brief(name)}: {error}") from error
        if isinstance(array, np.dtype):
            skipped.append(f"{brief(name.removesuffix('.npy'))} (dtype {str(array)[:60]})")
        else:
            arrays[name.removesuffix(".npy")] = array
    return arrays, skipped


def _read_array(raw: Array) -> Array | np.dtype[Any]:
    """The array in the .npy file whose bytes are `raw` (n,) uint8; its dtype if that is none of numbers."""
    stream = io.BytesIO(raw[:_MAX_HEADER].tobytes())
    try:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADER_READERS:
            raise WeightsError(f"a .npy file of version {version}")
        shape, fortran_order, dtype = _HEADER_READERS[version](stream)
    except _HEADER_ERRORS as error:
        raise WeightsError(f"a .npy header that is damaged ({reason(error)})") from error
    if dtype.kind not in "biufc" or dtype.name not in ITEM_SIZE:
        return dtype
    elements = decode(raw[stream.tell() :], dtype.name, "big" if dtype.byteorder == ">" else "little")
    return shaped(elements, shape, "F" if fortran_order else "C")


def write(path: Path, arrays: dict[str, Array]) -> None:
    """Write arrays. The members have no date, so equal arrays give equal files."""
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
