"""What all ranks must have in common before they start, and model weights that they get from rank 0."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minires.backend import to_device
from minires.distributed.communicator import Communicator
from minires.errors import DistributedError

MOST = 6  # differences in a message


def require_same(comm: Communicator, facts: Mapping[str, Any]) -> None:
    """Raise DistributedError, on every rank, unless all ranks give the same facts; it names fact, ranks and values.

    facts: {name: value that JSON can hold}. Collective.
    """
    of_ranks = comm.gather_objects({name: json.dumps(value) for name, value in _single(facts)})
    hosts = comm.gather_objects(comm.host)
    found = []
    for name in dict.fromkeys(name for each in of_ranks for name in each):
        values = [each.get(name, "nothing") for each in of_ranks]
        others = [rank for rank, value in enumerate(values) if value != values[0]]
        if others:
            other = values[others[0]]
            named = ", ".join(f"{rank} ({hosts[rank]})" for rank in others)
            found.append(f"{name}: {_brief(values[0])} on rank 0, {_brief(other)} on rank {named}")
    if found:
        more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
        raise DistributedError(f"the ranks do not fit each other: {'; '.join(found[:MOST])}{more}")


def _single(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(name, value) of each fact, those in dicts and lists one by one: "training data seed", 5."""
    if isinstance(value, (list, tuple)) and value:
        value = dict(enumerate(value))
    if isinstance(value, Mapping) and value:
        for key, part in value.items():
            yield from _single(part, f"{name} {key}".strip())
    else:
        yield name, value


def versions() -> dict[str, str]:
    """{name: version} of what computes: MiniRes as the digest of its code, since a version may have several states."""
    state = hashlib.sha256()
    root = Path(__file__).parent.parent
    for path in sorted(root.rglob("*.py")):
        state.update(path.relative_to(root).as_posix().encode())
        state.update(path.read_bytes())
    return {"the code of MiniRes": state.hexdigest()[:16], "NumPy": np.__version__}


def digest(arrays: Mapping[str, Any]) -> str:
    """A short text that depends on every bit of the arrays, for `require_same`."""
    state = hashlib.sha256()
    for name, value in arrays.items():
        array = np.ascontiguousarray(to_device(getattr(value, "data", value), "cpu"))
        state.update(f"{name} {array.dtype} {array.shape}".encode())
        state.update(array.tobytes())
    return state.hexdigest()[:16]


def broadcast_model(model: Any, comm: Communicator) -> None:
    """Give every rank the parameters and buffers of rank 0. Collective.

    Raises DistributedError, naming ranks, if the models differ in names, shapes or dtypes.
    """
    state = model.state_dict()
    require_same(comm, {"the model": {name: f"{value.shape} {value.dtype}" for name, value in state.items()}})
    if comm.size > 1:
        for value in state.values():
            value.assign_(comm.broadcast(value.data))


def average_buffers(model: Any, comm: Communicator) -> None:
    """Replace the running statistics of a model by their means over the ranks. Collective.

    That is for batch norm without synchronisation, whose statistics are those of each rank's images. Buffers of
    integers are counts, and the same everywhere.
    """
    if comm.size > 1:
        for buffer in model.buffers():
            if buffer.dtype.kind == "f":
                buffer.assign_(comm.all_reduce(buffer.data) / comm.size)


def _brief(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
