"""Every operation of a forward pass, with the numbers it was given and the line that applied it."""

from __future__ import annotations

import inspect
import linecache
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import minires.core.function
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.nn.module import Module

_PACKAGE = Path(minires.core.function.__file__).parents[1]
# Packages whose frames are skipped: the line to name is the caller's outside of them.
_WITHIN = tuple(str(_PACKAGE / name) for name in ("core", "ops", "nn", "gradcheck"))


@dataclass(frozen=True)
class Applied:
    """One operation: `op.again()` applies it once more. number: counted from 0. line, module: who applied it.

    follows: for each input, whether it depends on what is being differentiated by.
    """

    number: int
    op: Function
    inputs: tuple[Tensor, ...]
    output: Tensor
    follows: tuple[bool, ...]
    line: str
    module: str


class Tracer:
    """Told of each operation, as `modes.tracing` does."""

    def __init__(self, variables: Sequence[Tensor], modules: Sequence[Module]) -> None:
        self.reached: dict[int, Any] = {id(tensor): tensor for tensor in variables}
        self.names = {id(part): name for module in modules for name, part in module.named_modules()}
        self.applied: list[Applied] = []
        self.count = 0

    def __call__(self, op: Function, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        follows = tuple(is_reached(self.reached, tensor) for tensor in inputs)
        if any(follows):
            reach(self.reached, output)
            line, module = self._who()
            self.applied.append(Applied(self.count, op.fresh_copy(), inputs, output, follows, line, module))
        self.count += 1

    def _who(self) -> tuple[str, str]:
        """The line that applied the operation, and the innermost module that did."""
        line = module = ""
        for frame in _frames(sys._getframe(2)):
            owner = frame.f_locals.get("self")
            if not module and isinstance(owner, Module):
                module = self.names.get(id(owner), "")
            if not line and not frame.f_code.co_filename.startswith(_WITHIN):
                line = f"{shown(frame.f_code.co_filename)}:{frame.f_lineno}"
                source = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
                line += f": {source}" if source else ""
            if line and module:
                break
        return line, module


def is_reached(reached: dict[int, Any], tensor: Tensor) -> bool:
    """Whether it, or the node that made it, is in there: `Function.output()` is another Tensor of the same node."""
    return id(tensor) in reached or (tensor.node is not None and id(tensor.node) in reached)


def reach(reached: dict[int, Any], tensor: Tensor) -> None:
    """Put it and its node in; kept alive, so that no id is used twice."""
    reached[id(tensor)] = tensor
    if tensor.node is not None:
        reached[id(tensor.node)] = tensor.node


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def shown(file: str) -> str:
    """A path as a reader knows it: from the package on, or from the current folder."""
    path = Path(file)
    if path.is_relative_to(_PACKAGE):
        return str(path.relative_to(_PACKAGE.parent))
    try:
        return os.path.relpath(file) if path.is_relative_to(Path.cwd()) else file
    except OSError:
        return file


def defined_at(op: type[Function]) -> str:
    """ "minires/ops/pool.py:54", where the op's backward is written."""
    method: Any = inspect.unwrap(op.backward)
    code = getattr(method, "__code__", None)
    return f"{shown(code.co_filename)}:{code.co_firstlineno}" if code is not None else op.__qualname__


def between(applied: Sequence[Applied], variable: Tensor, outputs: Sequence[Tensor]) -> list[tuple[Applied, list[int]]]:
    """The operations on the way from a variable to the outputs, each with the numbers of its inputs that lie on it."""
    needed: dict[int, Any] = {}
    for output in outputs:
        reach(needed, output)
    leading = []
    for each in reversed(applied):
        if is_reached(needed, each.output):
            leading.append(each)
            for tensor in each.inputs:
                reach(needed, tensor)
    reached: dict[int, Any] = {id(variable): variable}
    found = []
    for each in reversed(leading):
        places = [k for k, tensor in enumerate(each.inputs) if is_reached(reached, tensor)]
        if places:
            reach(reached, each.output)
            found.append((each, places))
    return found
