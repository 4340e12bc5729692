"""Finds layers that a Module keeps in a plain list, tuple, set or dict, where they are neither trained nor saved."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from minires.nn.parameter import Parameter
from minires.nn.registration import Registration

LOOKED_AT = 1000  # elements of a container: a vocabulary in a dict must not slow `parameters()` down


def warn_of_unregistered(modules: Iterable[Registration]) -> None:
    """Warn, once for each attribute, of Modules and Parameters in plain containers of `modules` (a whole network).

    What the network also has as an attribute of its own, as in `self.blocks = [self.block1, self.block2]`, is no
    reason to warn.
    """
    everything = list(modules)
    suspects = [
        (module, name, parts)
        for module in everything
        for name, value in vars(module).items()
        if isinstance(value, (list, tuple, dict, set)) and name != "_forward_hooks" and (parts := list(_parts(value)))
    ]
    if not suspects:
        return
    known = {id(module) for module in everything}
    known |= {id(value) for module in everything for value in vars(module).values() if isinstance(value, Parameter)}
    for module, name, parts in suspects:
        told: set[str] = vars(module).setdefault("_told_of", set())
        hidden = [part for part in parts if id(part) not in known]
        if hidden and name not in told:
            told.add(name)
            warnings.warn(_message(module, name, hidden), stacklevel=4)


def _parts(container: Any, depth: int = 3) -> Iterator[Any]:
    """The Modules and Parameters in a container, and in containers in it."""
    for value in islice(container.values() if isinstance(container, dict) else container, LOOKED_AT):
        if isinstance(value, (Registration, Parameter)):
            yield value
        elif depth and isinstance(value, (list, tuple, dict, set)):
            yield from _parts(value, depth - 1)


def _message(module: Registration, name: str, hidden: list[Any]) -> str:
    container, part = vars(module)[name], hidden[0]
    kind = "Module" if isinstance(part, Registration) else "Parameter"
    remedy = f"nn.{kind}{'Dict' if isinstance(container, dict) else 'List'}"
    return (
        f"{type(module).__name__}.{name} is a {type(container).__name__} that holds a {type(part).__name__}: what is "
        f"in it is not trained, saved, moved or switched to eval mode. Use {remedy}, or assign each to an attribute"
    )
