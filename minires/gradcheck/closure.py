"""What a function uses besides its arguments: the Modules and Tensors of its closure, its globals and its object.

They are constants of a check. Where f is evaluated in another dtype than its own, as float64 or complex, they must be
of that dtype too.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from minires.core.tensor import Tensor
from minires.nn.module import Module

DEPTH = 4  # of containers and objects inside one another
MOST_OBJECTS = 2000


def constants_of(f: Any) -> tuple[list[Module], list[Tensor]]:
    """The Modules that f uses, and the Tensors that belong to none of them."""
    modules: dict[int, Module] = {}
    tensors: dict[int, Tensor] = {}
    seen: dict[int, Any] = {}
    waiting = [(each, DEPTH) for each in _used_by(f)]
    while waiting and len(seen) < MOST_OBJECTS:
        value, depth = waiting.pop()
        if id(value) in seen or isinstance(value, (ModuleType, type, str, bytes, int, float)):
            continue
        seen[id(value)] = value
        if isinstance(value, Module):
            modules[id(value)] = value
        elif isinstance(value, Tensor):
            tensors[id(value)] = value
        elif depth:
            waiting += [(each, depth - 1) for each in itertools.islice(_inside(value), MOST_OBJECTS)]
    owned = {id(each) for module in modules.values() for each in (*module.parameters(), *module.buffers())}
    return list(modules.values()), [tensor for tensor in tensors.values() if id(tensor) not in owned]


def _inside(value: Any) -> Iterator[Any]:
    """What a container, a function or an object of a user's class holds."""
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, (list, tuple, set)):
        yield from value
    elif callable(value) and not isinstance(value, type):
        yield from _used_by(value)
    else:
        yield from getattr(value, "__dict__", {}).values()


def _used_by(f: Any) -> Iterator[Any]:
    """What the code of f refers to: its defaults, its closure, the globals that it names; its object's attributes."""
    if isinstance(f, functools.partial):
        yield from (f.func, *f.args, *f.keywords.values())
        return
    if inspect.ismethod(f):
        yield f.__self__
    function = inspect.unwrap(f.__func__ if inspect.ismethod(f) else f) if callable(f) else f
    if not isinstance(function, FunctionType):
        yield from getattr(f, "__dict__", {}).values()
        call = getattr(type(f), "__call__", None)  # noqa: B004 - the function itself, not whether there is one
        function = call if isinstance(call, FunctionType) else None
    if function is None or (function.__module__ or "").partition(".")[0] == "minires":
        return
    yield from (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    yield from (function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:  # the functions defined inside
        if isinstance(constant, CodeType):
            yield from _names(constant)
