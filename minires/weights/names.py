"""Finds the state dictionary in a checkpoint, and removes the prefixes of wrappers from its names.

Training scripts save different things: the state dictionary itself, or a dictionary that also holds the epoch, the best
accuracy and the optimiser; of the model, or of the DataParallel around it.
"""

from __future__ import annotations

from collections.abc import Mapping

from minires.errors import WeightsError
from minires.weights.elements import Array
from minires.weights.messages import brief
from minires.weights.torch_globals import TensorRecord

# Keys under which scripts store the state dictionary, the most common first.
_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "module", "weights", "params")
_WRAPPERS = ("module.", "_orig_mod.")


def find_state_dict(checkpoint: object) -> dict[str, TensorRecord]:
    """The tensors by name: those of the first nested dictionary with tensors under a usual key, else of `checkpoint`.

    Other entries (numbers, None) are left out. Raises WeightsError if there is no dictionary of tensors.
    """
    if not isinstance(checkpoint, dict):
        kind = "a tensor" if isinstance(checkpoint, TensorRecord) else brief(checkpoint)
        raise WeightsError(f"it holds {kind}, not a dictionary of tensors; save model.state_dict()")
    found = _search(checkpoint, set())
    if found is None:
        keys = ", ".join(brief(key) for key in list(checkpoint)[:8]) or "none"
        raise WeightsError(f"no state dictionary in it (its keys: {keys}); save model.state_dict()")
    unnamed = next((key for key, value in found.items() if isinstance(value, TensorRecord) and not _is_name(key)), None)
    if unnamed is not None:
        raise WeightsError(f"a tensor in it goes by {brief(unnamed)}, which is no parameter name")
    return {str(key): value for key, value in found.items() if isinstance(value, TensorRecord)}


def _search(candidate: dict[object, object], seen: set[int]) -> dict[object, object] | None:
    """Search depth first; `seen` keeps it linear, and finite if a file nests a dictionary in itself."""
    seen.add(id(candidate))
    for key in _KEYS:
        nested = candidate.get(key)
        if isinstance(nested, dict) and id(nested) not in seen and len(seen) < 100:
            found = _search(nested, seen)
            if found is not None:
                return found
    return candidate if any(isinstance(value, TensorRecord) for value in candidate.values()) else None


def _is_name(key: object) -> bool:
    return isinstance(key, str) and key != ""


def strip_wrapper_prefixes(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """`arrays` without the prefixes of wrappers, removed repeatedly while every name has one."""
    stripped = dict(arrays)
    while True:
        prefix = next((p for p in _WRAPPERS if all(n.startswith(p) and n != p for n in stripped)), None)
        if prefix is None or not stripped:
            return stripped
        stripped = {name[len(prefix) :]: array for name, array in stripped.items()}
