"""Finds what looks like a part of a Module and is none, so that it is neither trained nor saved.

That is a layer in a plain list, tuple, set or dict; a layer that belongs to the class instead of the object; and a
Tensor that requires a gradient and is no Parameter.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from types import FunctionType, NoneType
from typing import Any

from minires.core.tensor import Tensor
from minires.nn.parameter import Buffer, Parameter
from minires.nn.registration import Registration

LOOKED_AT = 1000  # elements of a container: a vocabulary in a dict must not slow `parameters()` down
CONTAINERS = (list, tuple, dict, set, deque)
Suspect = tuple[Registration, str, Any, list[Any]]  # module, name, value (None: the class has it), parts in the value
HARMLESS = {bool, int, float, str, NoneType, FunctionType, Parameter, Buffer}  # the usual types, for speed


def warn_of_unregistered(modules: Iterable[Registration]) -> None:
    """Warn, once for each attribute, of what looks like a part and is none, in `modules` (a whole network).

    What the network also has as an attribute of its own, as in `self.blocks = [self.block1, self.block2]`, is no
    reason to warn.
    """
    everything = list(modules)
    suspects: list[Suspect] = []
    for module in everything:
        for name in _class_parts(type(module)):
            suspects.append((module, name, None, []))
        for name, value in vars(module).items():
            if type(value) in HARMLESS:
                continue
            if isinstance(value, CONTAINERS):
                parts = list(_parts(value)) if name != "_hooks" else []
                if parts:
                    suspects.append((module, name, value, parts))
            elif type(value) is Tensor and value.requires_grad and value.is_leaf:
                suspects.append((module, name, value, []))
    if suspects:
        _tell_of(suspects, everything)


def _parts(container: Any, depth: int = 3) -> Iterator[Any]:
    """The Modules and Parameters in a container, and in containers in it."""
    for value in islice(container.values() if isinstance(container, dict) else container, LOOKED_AT):
        if type(value) in HARMLESS and type(value) is not Parameter:
            continue
        if isinstance(value, (Registration, Parameter)):
            yield value
        elif depth and isinstance(value, CONTAINERS):
            yield from _parts(value, depth - 1)


def _tell_of(suspects: list[Suspect], everything: list[Registration]) -> None:
    """Warn of the suspects that are not known under another name."""
    known = {id(module) for module in everything}
    known |= {id(value) for module in everything for value in vars(module).values() if isinstance(value, Parameter)}
    for module, name, value, parts in suspects:
        hidden = [part for part in parts if id(part) not in known]
        if value is None:
            _tell(module, name, f"belongs to the class. Assign it in __init__, self.{name} = …")
        elif isinstance(value, Tensor):
            _tell(module, name, f"is a Tensor that requires a gradient, and no Parameter. Use nn.Parameter({name})")
        elif hidden:
            remedy = "Module" if isinstance(hidden[0], Registration) else "Parameter"
            remedy = f"nn.{remedy}{'Dict' if isinstance(value, dict) else 'List'}"
            holds = f"is a {type(value).__name__} that holds a {type(hidden[0]).__name__}"
            _tell(module, name, f"{holds}. Use {remedy}, or assign each to an attribute")


def _tell(module: Registration, name: str, what: str) -> None:
    """Warn, unless it has been said of this attribute of this module."""
    told: set[str] = vars(module).setdefault("_told_of", set())
    if name not in told:
        told.add(name)
        where = f"{type(module).__name__}.{name}"
        warnings.warn(f"{where} is not trained, saved, moved or switched to eval mode: it {what}", stacklevel=6)


_CLASS_PARTS: dict[type, tuple[str, ...]] = {}  # of the classes that have been asked for


def _class_parts(kind: type) -> tuple[str, ...]:
    """The names of the Modules and Parameters among the attributes of a class."""
    if kind not in _CLASS_PARTS:
        attributes = {name: value for base in reversed(kind.__mro__) for name, value in vars(base).items()}
        parts = tuple(name for name, value in attributes.items() if isinstance(value, (Registration, Parameter)))
        _CLASS_PARTS[kind] = parts
    return _CLASS_PARTS[kind]
