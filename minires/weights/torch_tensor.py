"""From a tensor's description in a checkpoint to an array: a strided view of its storage.

PyTorch stores blocks of elements, and tensors as windows on them. Transposed tensors, slices and tensors that share a
block come out as views too. The description is a claim of the file: it is believed once its last element lies inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from minires.errors import WeightsError
from minires.weights.elements import ITEM_SIZE, Array, decode
from minires.weights.messages import brief, reason
from minires.weights.torch_globals import Storage, TensorRecord

# An expanded tensor repeats elements of a small storage. Beyond this many elements, that is no tensor but an attempt
# to fill the memory of whoever copies it.
_MAX_EXPANDED = 2**26


def as_arrays(
    records: Mapping[str, TensorRecord], fetch: Callable[[Storage], Array], byteorder: str = "little"
) -> dict[str, Array]:
    """The arrays of `records`; `fetch` gives the bytes of a whole storage. Each one is fetched and decoded once."""
    decoded: dict[tuple[str, str], Array] = {}
    arrays = {}
    for name, record in records.items():
        storage, block = record.storage, (record.storage.key, record.dtype)
        if block not in decoded:
            raw = fetch(storage)
            whole = raw.size - raw.size % ITEM_SIZE[record.dtype]
            decoded[block] = decode(raw[:whole], record.dtype, byteorder)
        selected = slice(storage.start, storage.start + storage.numel) if storage.numel < storage.total else slice(None)
        try:
            arrays[name] = strided_view(decoded[block][selected], record)
        except WeightsError as error:
            raise WeightsError(f"tensor {brief(name)}: {error}") from error
    return arrays


def strided_view(elements: Array, record: TensorRecord) -> Array:
    """The window that `record` opens on `elements` (n,): shape record.size, read-only.

    The last element read is  offset + sum_d (size[d] - 1) * stride[d]  and has to be less than n.
    """
    size, stride = record.size, record.stride
    count = math.prod(size)
    last = record.offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count > 0 and last >= elements.size:
        raise WeightsError(f"it reaches element {brief(last)} of a storage of {elements.size}")
    if count > max(elements.size, _MAX_EXPANDED):
        raise WeightsError(f"it claims {brief(count)} elements of a storage of {elements.size}")
    start = record.offset if count > 0 else 0
    # Of a dimension of one element, or of an empty tensor, the stride says nothing: it may be any number.
    used = (step if n > 1 and count > 0 else 1 for n, step in zip(size, stride, strict=True))
    strides = tuple(step * elements.itemsize for step in used)
    try:
        return np.ndarray(size, elements.dtype, buffer=elements, offset=start * elements.itemsize, strides=strides)
    except (ValueError, OverflowError) as error:
        raise WeightsError(f"NumPy cannot hold it ({reason(error)})") from error
