"""Replaces a part of the engine, and puts back exactly what was there.

A method has one place, its class. A function may have been imported by name into many modules, so it is searched for in
all of MiniRes. It is searched for again when it is put back: a module that is imported meanwhile has taken the broken
function.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from minires.backend import dispatch
from minires.backend.reference.provider import REFERENCE

Undo = Callable[[], None]
_ABSENT = object()


class Patch(Protocol):
    """One change to the engine."""

    def apply(self) -> Undo:
        """Makes the change and returns the function that takes it back."""


@dataclass(frozen=True)
class Attribute:
    """`owner.name` becomes `broken`: a method of a class, or a setting of a module."""

    owner: Any
    name: str
    broken: Any

    def apply(self) -> Undo:
        """Sets the attribute. Undo sets what was there, or removes the attribute if it was inherited."""
        before = vars(self.owner).get(self.name, _ABSENT)  # getattr would find what a base class has
        setattr(self.owner, self.name, self.broken)

        def undo() -> None:
            if before is _ABSENT:
                delattr(self.owner, self.name)
            else:
                setattr(self.owner, self.name, before)

        return undo


@dataclass(frozen=True)
class Everywhere:
    """The function `right` becomes `broken` in every module of MiniRes that has it, but not in the lab itself."""

    right: Callable[..., Any]
    broken: Callable[..., Any]

    def apply(self) -> Undo:
        """Replaces the function; undo replaces it back."""
        _swap(self.right, self.broken)
        return lambda: _swap(self.broken, self.right)


def _swap(old: Any, new: Any) -> None:
    for module_name, module in list(sys.modules.items()):
        if not f"{module_name}.".startswith("minires.") or module_name.startswith("minires.lab"):
            continue
        for name, value in list(vars(module).items()):
            if value is old:
                setattr(module, name, new)


# A mistake in a reference kernel is seen only where no C kernel computes: with this patch none does, in any thread.
REFERENCE_ONLY = Attribute(dispatch, "PROVIDERS", [REFERENCE])

_lock = threading.RLock()
_active: list[tuple[object, Sequence[Patch]]] = []  # in the order in which the blocks began
_undo: list[Undo] = []


@contextmanager
def applied(patches: Sequence[Patch]) -> Iterator[None]:
    """Within the block the engine is changed, for the whole process.

    Blocks may be nested, overlap in several threads and end in any order: each end restores the right engine and
    applies the patches of the blocks that are still open.
    """
    block = (object(), patches)
    try:
        with _lock:
            _active.append(block)
            _rebuild()
        yield
    finally:
        with _lock:
            _active.remove(block)
            _rebuild()


def _rebuild() -> None:
    while _undo:
        _undo.pop()()
    for _, patches in _active:
        for patch in patches:
            _undo.append(patch.apply())
