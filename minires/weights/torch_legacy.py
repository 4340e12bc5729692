"""PyTorch's legacy format, which `torch.save` wrote before 2020; most published CIFAR checkpoints still have it.

Five pickles one after the other, then the storages:

    magic number | protocol version 1001 | system info | the checkpoint | list of storage keys
    for each key, in that order:  element count (int64)  elements

Everything is little-endian. Nothing is aligned, so most storages are copied instead of mapped.
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

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001


def read(content: Array, key: str | None) -> tuple[dict[str, Array], list[str]]:
    """(the tensors of the state dictionary, or of the one under `key`; what is not read) of the bytes (n,) uint8.

    Raises WeightsError if the file is damaged.
    """
    stream = io.BytesIO(content[:MAX_BYTES].tobytes())  # the pickles are at the start, so the storages are not copied
    if Machine().run(stream) != MAGIC_NUMBER:
        raise WeightsError("it is a pickle, but not one that torch.save wrote")
    if Machine().run(stream) != PROTOCOL_VERSION:
        raise WeightsError("a PyTorch checkpoint of an unknown version")
    Machine().run(stream)  # system info: the sizes of the writer's integers
    machine = Machine()
    checkpoint = machine.run(stream)
    tensors = find_state_dict(checkpoint, key)
    if machine.unknown_storages:  # the storages after them cannot be located
        unknown = ", ".join(sorted(set(machine.unknown_storages.values()))[:8])
        raise WeightsError(f"it holds elements of a type whose size is not known here ({unknown})")
    keys = Machine().run(stream)
    blocks = _locate(content, stream.tell(), keys, machine.storages)
    return as_arrays(tensors, lambda storage: blocks[storage.key]), placeholders(checkpoint, tensors)


def _locate(content: Array, position: int, keys: object, storages: dict[str, Storage]) -> dict[str, Array]:
    """{key: bytes} of the storages, which follow each other from `position` to the end of the file."""
    named = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not isinstance(keys, list) or not named or sorted(keys) != sorted(storages):
        raise WeightsError("its list of storages is not that of its tensors")
    blocks = {}
    for key in keys:
        storage = storages[key]
        count = int.from_bytes(content[position : position + 8].tobytes(), "little", signed=True)
        if count != storage.total:
            raise WeightsError(f"storage {brief(key)} has {brief(count)} elements, but its tensors say {storage.total}")
        start, position = position + 8, position + 8 + count * ITEM_SIZE[storage.dtype]
        if position > content.size:
            raise WeightsError(f"the file is truncated: storage {brief(key)} ends beyond its end")
        blocks[key] = content[start:position]
    if position != content.size:
        raise WeightsError(f"{content.size - position:,} bytes follow its last storage")
    return blocks
