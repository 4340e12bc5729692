"""Replacing a part of the engine, and putting back exactly what stood there.

A method lives in one place, its class. A function may have been imported by name into many modules, so it is looked for
in all of MiniRes; and again when it is put back, because a module that is imported meanwhile takes what it finds.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

from minires.backend import dispatch
from minires.backend.reference.provider import REFERENCE

Undo = Callable[[], None]
_ABSENT = object()


class Patch(Protocol):
    """One change to the engine."""

    def apply(self) -> Undo:
        """Make the change; what is returned takes it back."""


@dataclass(frozen=True)
class Attribute:
    """`owner.name` becomes `broken`: a method of a class, a setting of a module."""

    owner: Any
    name: str
    broken: Any

    def apply(self) -> Undo:
        """Set it; undo sets what stood there, or removes what was inherited before."""
        before = vars(self.owner).get(self.name, _ABSENT)  # not getattr: it would copy down what a base class has
        setattr(self.owner, self.name, self.broken)

        def undo() -> None:
            if before is _ABSENT:
                delattr(self.owner, self.name)
            else:
                setattr(self.owner, self.name, before)

        return undo


@dataclass(frozen=True)
class Everywhere:
    """The function `right` becomes `broken` in every module of MiniRes that has it, but for the laboratory itself."""

    right: Callable[..., Any]
    broken: Callable[..., Any]

    def apply(self) -> Undo:
        """Replace it; undo replaces it back."""
        _swap(self.right, self.broken)
        return lambda: _swap(self.broken, self.right)


def _swap(old: Any, new: Any) -> None:
    for module in _engine():
        for name, value in list(vars(module).items()):
            if value is old:
                setattr(module, name, new)


def _engine() -> Iterator[ModuleType]:
    for name, module in list(sys.modules.items()):
        if (name == "minires" or name.startswith("minires.")) and not name.startswith("minires.lab"):
            yield module


# The C kernels have no line that a switch could break: with this, `reference` computes everything, in every thread.
REFERENCE_ONLY = Attribute(dispatch, "PROVIDERS", [REFERENCE])

_lock = threading.RLock()
_active: list[tuple[object, Sequence[Patch]]] = []  # in the order in which they were switched on
_undo: list[Undo] = []


@contextmanager
def applied(patches: Sequence[Patch]) -> Iterator[None]:
    """Within the block the engine is changed, for the whole process.

    Blocks may be nested, overlap in several threads and end in any order: each end rebuilds the engine from the
    healthy one and the changes that are still switched on.
    """
    ticket = (object(), patches)
    try:
        with _lock:
            _active.append(ticket)
            _rebuild()
        yield
    finally:
        with _lock:
            _active.remove(ticket)
            _rebuild()


def _rebuild() -> None:
    while _undo:
        _undo.pop()()
    for _, patches in _active:
        for patch in patches:
            _undo.append(patch.apply())
