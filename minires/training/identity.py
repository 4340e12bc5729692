"""What two runs must have in common for the one to go on where the other stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from minires.data import Loader
from minires.nn import Module
from minires.optim import Optimizer, Schedule


def identify(
    model: Module, optimizer: Optimizer, schedule: Schedule | None, loader: Loader, settings: dict[str, Any]
) -> dict[str, Any]:
    """JSON-ready facts about a run that is about to start, before its first step changes them."""
    facts = {
        "model": {"class": type(model).__name__},
        "optimizer": _optimizer(optimizer),
        "schedule": None if schedule is None else _schedule(schedule),
        "training data": {
            "name": loader.dataset.name,
            "images": len(loader.dataset),
            "batch size": loader.batch_size,
            "drop_last": loader.drop_last,
            "shuffle": loader.shuffle,
            "seed": loader.seed,
        },
        "training": settings,
    }
    return as_read_back(facts)


def shapes(state_dict: Mapping[str, Any]) -> dict[str, str]:
    """What the arrays or Tensors of a model are: {name: shape and dtype}."""
    return {name: f"{tuple(value.shape)} {value.dtype}" for name, value in state_dict.items()}


def as_read_back(value: Any) -> Any:
    """`value` as it comes back from a file: tuples as lists."""
    return json.loads(json.dumps(value))


def _optimizer(optimizer: Optimizer) -> dict[str, Any]:
    groups = [
        {**settings, "parameters": len(group["params"])}
        for settings, group in zip(optimizer.state_dict()["param_groups"], optimizer.param_groups, strict=True)
    ]
    return {"class": type(optimizer).__name__, "groups": groups}


def _schedule(schedule: Schedule) -> dict[str, Any]:
    """Its settings; of a warm-up also those of the schedule that comes after."""
    settings = {key: value for key, value in vars(schedule).items() if key not in ("optimizer", "after")}
    facts = {"class": type(schedule).__name__, **settings}
    after = getattr(schedule, "after", None)
    return facts if after is None else {**facts, "after": _schedule(after)}


def differences(saved: Any, current: Any, where: str = "") -> list[str]:
    """Where two JSON-ready values differ, a line each: "optimizer groups 0 lr: 0.1 in the checkpoint, 0.2 now"."""
    if isinstance(saved, list) and isinstance(current, list) and len(saved) == len(current):
        saved, current = dict(enumerate(saved)), dict(enumerate(current))
    if isinstance(saved, dict) and isinstance(current, dict):
        keys = [*saved, *(key for key in current if key not in saved)]
        found = [differences(saved.get(key), current.get(key), f"{where} {key}".strip()) for key in keys]
        return [line for lines in found for line in lines]
    return [] if saved == current else [f"{where}: {_brief(saved)} in the checkpoint, {_brief(current)} now"]


def abridged(lines: list[str], most: int = 6) -> str:
    """The first `most` lines as one, and how many more there are."""
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "; ".join([*lines[:most], *more])


def _brief(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
