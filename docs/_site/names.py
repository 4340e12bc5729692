"""The public names of MiniRes, and the place where each is documented.

A module's public names are its `__all__`, or, where it has none, what it defines without an underscore. Many names are
at several places, as in PyTorch: `minires.conv2d` is `minires.functional.conv2d`. The reference describes an object at
one of them and lists the others as further names of it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from types import ModuleType
from typing import Any

# An object is described where it is defined, if that is public, or else at the first of these places that has it.
FIRST = ("minires.functional", "minires.cuda", "minires.nn", "minires.optim")
LAST = (
    "minires.nn.functional",
    "minires.backend",
    "minires",
    "minires.autograd",
    "minires.utils",
    "minires.utils.data",
)


def public_names(module: ModuleType) -> list[str]:
    """The public names of one module, in its own order."""
    if listed := getattr(module, "__all__", None):
        return list(listed)
    return [name for name, value in vars(module).items() if not name.startswith("_") and _defined_in(module, value)]


def _defined_in(module: ModuleType, value: Any) -> bool:
    home = getattr(value, "__module__", None) or ""
    return callable(value) and f"{home}.".startswith(f"{module.__name__}.")


@functools.cache
def modules() -> dict[str, ModuleType]:
    """{name: module} of every module that is reached by public names, `minires` first."""
    found, waiting = {}, [("minires", importlib.import_module("minires"))]
    while waiting:
        place, module = waiting.pop(0)
        found[place] = module
        for name in public_names(module):
            value = getattr(module, name)
            if inspect.ismodule(value) and value.__name__.startswith("minires.") and f"{place}.{name}" not in found:
                waiting.append((f"{place}.{name}", value))
    return found


@functools.cache
def places() -> dict[int, list[str]]:
    """{id of a class or function: its public names, that which describes it first}."""
    found: dict[int, list[str]] = {}
    for place in sorted(modules(), key=_rank):
        for name in public_names(modules()[place]):
            value = getattr(modules()[place], name)
            if callable(value):
                known = found.setdefault(id(value), [])
                at_home = place == getattr(value, "__module__", None)
                known.insert(0 if at_home else len(known), f"{place}.{name}")
    return found


def _rank(place: str) -> int:
    if place in FIRST:
        return FIRST.index(place) - len(FIRST)
    return 1 + LAST.index(place) if place in LAST else 0
