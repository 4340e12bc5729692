"""Everything that a switch could change: each name of each module of the engine, each attribute of each class."""

from __future__ import annotations

import inspect
import sys
from typing import Any


def snapshot() -> dict[tuple[str, ...], Any]:
    """{(module, name) or (module, class, name): the object}, held so that ids cannot be reused."""
    found: dict[tuple[str, ...], Any] = {}
    for module_name, module in list(sys.modules.items()):
        if not (module_name == "minires" or module_name.startswith("minires.")) or module_name.startswith(
            "minires.lab"
        ):
            continue
        for name, value in vars(module).items():
            found[module_name, name] = value
            if inspect.isclass(value) and value.__module__ == module_name:
                found.update({(module_name, name, key): each for key, each in vars(value).items()})
    return found


def changes(before: dict[tuple[str, ...], Any], after: dict[tuple[str, ...], Any]) -> set[tuple[str, ...]]:
    """Where the two differ by identity."""
    return {key for key in before.keys() | after.keys() if before.get(key, before) is not after.get(key, after)}
