"""Finds the state dictionary in a checkpoint, and removes the prefixes of wrappers from its names.

Training scripts save different things: the state dictionary itself, or a dictionary that also holds the epoch, the best
accuracy and the optimiser; of the model, or of the DataParallel around it; of the weights, or of their running average.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from minires.errors import WeightsError
from minires.weights.messages import brief
from minires.weights.torch_globals import GLOBALS, Ignored, TensorRecord

# Keys under which scripts store the state dictionary, the most common first.
_KEYS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "module", "weights", "params")
_WRAPPERS = ("module.", "_orig_mod.")
# Wrappers that may stand around a part of a network: their names begin with _, which no layer's does.
_INNER_WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_COUNT = "n_averaged"  # torch.optim.swa_utils.AveragedModel: how many models the average is of

Value = TypeVar("Value")
Entries = Mapping[str, TensorRecord | Ignored]  # the tensors of a state dictionary; Ignored: one that cannot be read


def find_state_dict(checkpoint: object, key: str | None = None) -> dict[str, TensorRecord | Ignored]:
    """The tensors by name: those of the first nested dictionary with tensors under a usual key, else of `checkpoint`.

    With `key`, those of the dictionary that `checkpoint` holds under `key`, or if it has none, the tensors whose names
    begin with `key` and a dot, without it. Other entries (numbers, None) are left out. Raises WeightsError if there is
    no dictionary of tensors.
    """
    if not isinstance(checkpoint, dict):
        raise WeightsError(f"it holds {_kind(checkpoint)}, not a dictionary of tensors; save model.state_dict()")
    if key is not None and key in checkpoint:
        nested = checkpoint[key]
        found = _search(nested, set()) if isinstance(nested, dict) else None
        if found is None:
            raise WeightsError(f"what it holds under {brief(key)} has no tensors{_advice(checkpoint)}")
        return _named(found)
    found = _search(checkpoint, set())
    if found is None:
        keys = ", ".join(map(brief, list(checkpoint)[:8])) or "none"
        raise WeightsError(f"no state dictionary in it (its keys: {keys}){_advice(checkpoint)}")
    return _named(found) if key is None else under(_named(found), key, _advice(checkpoint))


def _named(found: Mapping[object, object]) -> dict[str, TensorRecord | Ignored]:
    """The tensors of a state dictionary. Raises WeightsError for a tensor without a proper name."""
    unnamed = next((key for key, value in found.items() if isinstance(value, TensorRecord) and not _is_name(key)), None)
    if unnamed is not None:
        raise WeightsError(f"a tensor in it goes by {brief(unnamed)}, which is no parameter name")
    return {str(key): value for key, value in found.items() if isinstance(value, TensorRecord | Ignored)}


def _kind(value: object) -> str:
    if isinstance(value, Ignored):
        return f"an object of {brief(value.name)}, of which nothing was run"
    return "a tensor" if isinstance(value, TensorRecord) else brief(value)


def _advice(checkpoint: Mapping[object, object]) -> str:
    """Which keys lead to tensors, and how to read them; else what to save instead."""
    nested = {key: value for key, value in checkpoint.items() if isinstance(value, dict) and isinstance(key, str)}
    keys = [key for key, value in list(nested.items())[:100] if _search(value, set()) is not None]
    if not keys:
        first = next((value for value in checkpoint.values() if isinstance(value, Ignored)), None)
        return ("" if first is None else f"; it holds {_kind(first)}") + "; save model.state_dict()"
    others = f" (tensors are under {', '.join(map(brief, keys[:8]))})" if len(keys) > 1 else ""
    return f"; to read the tensors under {brief(keys[0])}: weights.load(path, key={brief(keys[0])}){others}"


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


def placeholders(checkpoint: object, chosen: Mapping[str, object]) -> list[str]:
    """What is not read, each as "'args' (argparse.Namespace)": placeholders of unknown names, and those in `chosen`.

    `chosen` is the state dictionary. The walk is iterative and visits each container once.
    """
    unread = [(name[:60], value.name) for name, value in chosen.items() if isinstance(value, Ignored)]
    found = {entry: brief(entry[0]) for entry in unread}
    seen: set[int] = set()
    pending: list[tuple[tuple[str, ...], Any]] = [((), checkpoint)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, Ignored) and value.name not in GLOBALS:
            found.setdefault((path[-1], value.name), brief(".".join(path)))
        if isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            items = list(value.items() if isinstance(value, dict) else enumerate(value))
            # Bounded, so that the paths in a deep nest or under long keys stay short.
            pending += [((*path, str(key)[:60]) if len(path) < 3 else path, item) for key, item in reversed(items)]
    return [f"{where} ({name})" for (_, name), where in found.items()]


def under(entries: Mapping[str, Value], key: str, otherwise: str = "") -> dict[str, Value]:
    """The entries whose names begin with `key` and a dot, without it. Raises WeightsError, with the parts there are."""
    prefix = f"{key}."
    found = {name.removeprefix(prefix): value for name, value in entries.items() if name.startswith(prefix)}
    if not found or "" in found:
        parts = ", ".join(map(brief, list(dict.fromkeys(name.partition(".")[0] for name in entries))[:12]))
        raise WeightsError(f"nothing in it goes by {brief(key)}: its names begin with {parts}{otherwise}")
    return found


def strip_prefix(state_dict: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """`state_dict` with `prefix` removed from the names that begin with it; other names stay as they are.

    For instance strip_prefix(weights.load(path), "backbone."). Raises WeightsError if no name begins with it, or if two
    names would become one.
    """
    stripped = {name.removeprefix(prefix): value for name, value in state_dict.items()}
    if prefix in state_dict or not any(name.startswith(prefix) for name in state_dict):
        begin = ", ".join(map(brief, list(state_dict)[:3]))
        raise WeightsError(f"strip_prefix: no name begins with {brief(prefix)}; the first are {begin}")
    if len(stripped) < len(state_dict):
        clash = next(name for name in state_dict if name.startswith(prefix) and name.removeprefix(prefix) in state_dict)
        raise WeightsError(f"strip_prefix: without {brief(prefix)}, {brief(clash)} has the name of another array")
    return stripped


def strip_wrapper_prefixes(arrays: Mapping[str, Value]) -> dict[str, Value]:
    """`arrays` without the names of wrappers: at the start if every name has it, inside wherever it stands.

    The counter of an averaged model is left out, so that its names are those of the model. Names stay as they are where
    two of them would become one.
    """
    stripped = dict(arrays)
    if (
        _COUNT in stripped
        and len(stripped) > 1
        and all(name.startswith("module.") for name in stripped if name != _COUNT)
    ):
        stripped.pop(_COUNT, None)
    while stripped:
        prefix = next((p for p in _WRAPPERS if all(n.startswith(p) and n != p for n in stripped)), None)
        if prefix is None:
            break
        stripped = {name[len(prefix) :]: array for name, array in stripped.items()}
    without = {_without_inner(name): array for name, array in stripped.items()}
    return without if len(without) == len(stripped) and "" not in without else stripped


def _without_inner(name: str) -> str:
    for wrapper in _INNER_WRAPPERS:
        name = name.removeprefix(wrapper).replace(f".{wrapper}", ".")
    return name
