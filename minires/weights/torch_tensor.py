"""Converts a tensor's description in a checkpoint to an array: a strided view of its storage.

PyTorch stores blocks of elements, and describes tensors as strided views of them. Transposed tensors, slices and
tensors that share a block become views here too. A description is used only if its last element is inside the block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from minires.errors import WeightsError
from minires.weights.elements import ITEM_SIZE, Array, decode
from minires.weights.messages import brief, reason
from minires.weights.torch_globals import Ignored, Storage, TensorRecord

# An expanded tensor repeats elements of a small storage. With more elements than this, it is an attempt to fill the
# memory of whoever copies it.
_MAX_EXPANDED = 2**26


def as_arrays(
    records: Mapping[str, TensorRecord | Ignored], fetch: Callable[[Storage], Array], byteorder: str = "little"
) -> dict[str, Array]:
    """The arrays of `records`, without those that are Ignored.

    `fetch` returns the bytes of a whole storage; each storage is fetched and decoded once.

    Raises WeightsError, naming the tensor, for a description that does not fit its storage.
    """
    decoded: dict[tuple[str, str], Array] = {}
    arrays = {}
    for name, record in records.items():
        if isinstance(record, Ignored):
            continue
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
    """The view of `elements` (n,) that `record` describes, of shape record.size, read-only.

    The index of the last element is offset + Σ_d (size[d] − 1) · stride[d]; it must be less than n, else WeightsError.
    """
    size, stride = record.size, record.stride
    count = math.prod(size)
    last = record.offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if count > 0 and last >= elements.size:
        raise WeightsError(f"it reaches element {brief(last)} of a storage of {elements.size}")
    if count > max(elements.size, _MAX_EXPANDED):
        raise WeightsError(f"it claims {brief(count)} elements of a storage of {elements.size}")
    start = record.offset if count > 0 else 0
    # The stride of a dimension of length 1, or of an empty tensor, has no meaning and may be any number.
    used = (step if n > 1 and count > 0 else 1 for n, step in zip(size, stride, strict=True))
    strides = tuple(step * elements.itemsize for step in used)
    try:
        return np.ndarray(size, elements.dtype, buffer=elements, offset=start * elements.itemsize, strides=strides)
    except (ValueError, OverflowError) as error:
        raise WeightsError(f"NumPy cannot hold it ({reason(error)})") from error
