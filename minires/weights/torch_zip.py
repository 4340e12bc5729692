"""PyTorch's zip format, which `torch.save` writes since version 1.6 (2020).

    <name>/data.pkl     the pickle, in which tensors refer to storages by key
    <name>/data/<key>   the elements of one storage, uncompressed and aligned, so they can be memory-mapped
    <name>/byteorder    "little" or "big"; absent in older files, which are little-endian

The checksum of every member that is read is verified.
"""

from __future__ import annotations

import io

from minires.errors import WeightsError
from minires.weights.elements import ITEM_SIZE, Array
from minires.weights.messages import brief
from minires.weights.names import find_state_dict, placeholders
from minires.weights.torch_globals import Storage
from minires.weights.torch_tensor import as_arrays
from minires.weights.unpickle import MAX_BYTES, Machine
from minires.weights.zip_records import ZipRecords


def recognises(records: ZipRecords) -> bool:
    """Whether the archive contains a PyTorch pickle."""
    return any(_is_pickle(name) for name in records.names)


def _is_pickle(name: str) -> bool:
    return name.count("/") == 1 and name.endswith("/data.pkl")


def read(records: ZipRecords, key: str | None) -> tuple[dict[str, Array], list[str]]:
    """(the tensors of the checkpoint's state dictionary, or of the one under `key`; what is not read).

    Raises WeightsError if the archive is damaged or unusual.
    """
    pickles = [name for name in records.names if _is_pickle(name)]
    if len(pickles) != 1:
        raise WeightsError(f"a zip archive with {len(pickles)} checkpoints in it")
    folder = pickles[0].removesuffix("/data.pkl")
    if f"{folder}/constants.pkl" in records:
        raise WeightsError("a TorchScript archive; load it with torch.jit and save model.state_dict() instead")

    pickle = records.read(pickles[0])
    if pickle.size > MAX_BYTES:
        raise WeightsError(f"its pickle of {pickle.size:,} bytes is too large for a list of tensors")
    checkpoint = Machine().run(io.BytesIO(pickle.tobytes()))
    tensors = find_state_dict(checkpoint, key)

    def fetch(storage: Storage) -> Array:
        raw = records.read(f"{folder}/data/{storage.key}")
        needed = storage.total * ITEM_SIZE[storage.dtype]
        if not needed <= raw.size < needed + 16:  # untyped bytes need not end on a whole element
            raise WeightsError(f"storage {brief(storage.key)} has {raw.size} bytes, its tensors need {brief(needed)}")
        return raw[:needed]

    return as_arrays(tensors, fetch, _byteorder(records, folder)), placeholders(checkpoint, tensors)


def _byteorder(records: ZipRecords, folder: str) -> str:
    name = f"{folder}/byteorder"
    order = records.read(name)[:16].tobytes() if name in records else b"little"
    if order not in (b"little", b"big"):
        raise WeightsError(f"its byte order is {order!r}, neither little nor big")
    return order.decode()
