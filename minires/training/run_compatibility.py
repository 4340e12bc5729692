"""What two runs must have in common so that one can continue the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from minires.data import Loader
from minires.data.samples import name_of
from minires.errors import MiniResError
from minires.nn import Module
from minires.optim import Optimizer, Schedule
from minires.training.checkpoint import Checkpoint


def compatibility_of(
    model: Module, optimizer: Optimizer, schedule: Schedule | None, loader: Loader, settings: dict[str, Any]
) -> dict[str, Any]:
    """The facts that must be equal for a resume, as values that JSON can hold; taken before the first step."""
    facts: dict[str, Any] = {
        "model": {"class": type(model).__name__},
        "optimizer": _optimizer(optimizer),
        "schedule": None if schedule is None else _schedule(schedule),
        "training data": {
            "name": name_of(loader.dataset),
            "images": len(loader.dataset),
            "batch size": loader.batch_size,
            "drop_last": loader.drop_last,
            "shuffle": loader.shuffle,
            "seed": loader.seed,
        },
        "training": settings,
    }
    if loader.augmentation is not None:
        facts["training data"]["augmentation"] = loader.augmentation.facts()
    return through_json(facts)


def check_same_run(saved: Checkpoint, compatibility: dict[str, Any], metadata: dict[str, Any], model: Module) -> None:
    """Raise MiniResError, listing the differences, unless the run with these facts can continue from `saved`."""
    found = [
        *differences(saved.compatibility, compatibility),
        *differences(_without_epochs(saved.metadata), _without_epochs(metadata)),
        *differences(_shapes(saved.model), _shapes(model.state_dict()), "model"),
    ]
    if found:
        raise MiniResError(
            f"the run cannot be resumed, because it was started with other settings ({abbreviated(found)}): restore "
            "them, or start a new run in another folder"
        )


def _without_epochs(metadata: dict[str, Any]) -> dict[str, Any]:
    """`metadata` without the number of epochs, which may grow: a schedule that depends on it shows the difference."""
    settings = metadata.get("settings")
    if not isinstance(settings, dict):
        return metadata
    return {**metadata, "settings": {name: value for name, value in settings.items() if name != "epochs"}}


def _shapes(state_dict: Mapping[str, Any]) -> dict[str, str]:
    """{name: shape and dtype} of a model's arrays or Tensors."""
    return {name: f"{tuple(value.shape)} {value.dtype}" for name, value in state_dict.items()}


def through_json(value: Any) -> Any:
    """`value` as it returns from a JSON file: tuples become lists. Raises TypeError for what JSON cannot hold."""
    try:
        return json.loads(json.dumps(value))
    except TypeError as error:
        raise TypeError(
            f"a checkpoint stores its metadata and settings as JSON, which cannot hold this: {error}"
        ) from None


def _optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """The settings of each group; "initial_lr" is left out, since the schedule has it."""
    groups = [
        {**_without_later(settings, optimizer.later_settings, "initial_lr"), "parameters": len(group["params"])}
        for settings, group in zip(optimizer.state_dict()["param_groups"], optimizer.param_groups, strict=True)
    ]
    return {"class": type(optimizer).__name__, "groups": groups}


def _without_later(settings: Mapping[str, Any], later: Mapping[str, Any], *others: str) -> dict[str, Any]:
    """Those settings that checkpoints of earlier versions have too, and what differs from what these versions did."""
    return {
        key: value for key, value in settings.items() if key not in others and (key not in later or value != later[key])
    }


def _schedule(schedule: Schedule) -> dict[str, Any]:
    """The schedule's settings; for a warm-up also those of the schedule that follows it."""
    settings = _without_later(schedule.state_dict(), schedule.later_state, "base_lrs", "after")
    facts = {"class": type(schedule).__name__, **settings}
    after = getattr(schedule, "after", None)
    return facts if after is None else {**facts, "after": _schedule(after)}


def differences(saved: Any, current: Any, where: str = "") -> list[str]:
    """One line for each difference between two JSON values: "optimizer groups 0 lr: 0.1 in the checkpoint, 0.2 now"."""
    if isinstance(saved, list) and isinstance(current, list) and len(saved) == len(current):
        saved, current = dict(enumerate(saved)), dict(enumerate(current))
    if isinstance(saved, dict) and isinstance(current, dict):
        keys = [*saved, *(key for key in current if key not in saved)]
        found = [differences(saved.get(key), current.get(key), f"{where} {key}".strip()) for key in keys]
        return [line for lines in found for line in lines]
    return [] if saved == current else [f"{where}: {_brief(saved)} in the checkpoint, {_brief(current)} now"]


def abbreviated(lines: list[str], most: int = 6) -> str:
    """The first `most` lines joined into one, with the number of those left out."""
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "; ".join([*lines[:most], *more])


def _brief(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
