"""A trace of a forward pass: each operation with its inputs, the line that applied it, and the module it belongs to."""

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
class OpCall:
    """One operation of a forward pass.

    Attributes:
        number: Its position among all operations, from 0.
        op: A copy that has not been applied; `op.fresh_copy()` applies it once more.
        inputs, output: Its Tensors.
        needs_input_grad: For each input, whether it depends on a variable.
        line: "file.py:12: source" of the line that applied it.
        module: Dotted name of the innermost module that applied it, or "".
    """

    number: int
    op: Function
    inputs: tuple[Tensor, ...]
    output: Tensor
    needs_input_grad: tuple[bool, ...]
    line: str
    module: str


class Tracer:
    """Records the operations that depend on a variable; `modes.intercepting(observe=tracer)` calls it after each."""

    def __init__(self, variables: Sequence[Tensor], modules: Sequence[Module]) -> None:
        self.reached: dict[int, Any] = {id(tensor): tensor for tensor in variables}
        self.names = {id(part): name for module in modules for name, part in module.named_modules()}
        self.calls: list[OpCall] = []
        self.count = 0

    def __call__(self, op: Function, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        needs_input_grad = tuple(is_reached(self.reached, tensor) for tensor in inputs)
        if any(needs_input_grad):
            reach(self.reached, output)
            line, module = self._who()
            self.calls.append(OpCall(self.count, op.fresh_copy(), inputs, output, needs_input_grad, line, module))
        self.count += 1

    def _who(self) -> tuple[str, str]:
        """(the line outside the engine that applied the operation, the innermost module that did)."""
        line = module = ""
        for frame in _frames(sys._getframe(2)):
            owner = frame.f_locals.get("self")
            if not module and isinstance(owner, Module):
                module = self.names.get(id(owner), "")
            if not line and not frame.f_code.co_filename.startswith(_WITHIN):
                line = _line_of(frame)
            if line and module:
                break
        return line, module


def applied_at() -> str:
    """The line outside the engine that applies the present operation: "file.py:12: source"."""
    frames = (each for each in _frames(sys._getframe(1)) if not each.f_code.co_filename.startswith(_WITHIN))
    return next((_line_of(frame) for frame in frames), "")


def _line_of(frame: FrameType) -> str:
    """ "file.py:12: source"."""
    source = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
    return f"{_display_path(frame.f_code.co_filename)}:{frame.f_lineno}" + (f": {source}" if source else "")


def is_reached(reached: dict[int, Any], tensor: Tensor) -> bool:
    """Whether the Tensor or its node is in `reached`: `Function.output()` gives another Tensor of the same node."""
    return id(tensor) in reached or (tensor.node is not None and id(tensor.node) in reached)


def reach(reached: dict[int, Any], tensor: Tensor) -> None:
    """Add the Tensor and its node by their ids, and keep both alive, so that no id is used twice."""
    reached[id(tensor)] = tensor
    if tensor.node is not None:
        reached[id(tensor.node)] = tensor.node


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _display_path(file: str) -> str:
    """The path relative to the folder of the package, or to the current folder."""
    path = Path(file)
    if path.is_relative_to(_PACKAGE):
        return str(path.relative_to(_PACKAGE.parent))
    try:
        return os.path.relpath(file) if path.is_relative_to(Path.cwd()) else file
    except OSError:
        return file


def backward_location(op: type[Function]) -> str:
    """Where the op's backward is defined: "minires/ops/pool.py:54"."""
    method: Any = inspect.unwrap(op.backward)
    code = getattr(method, "__code__", None)
    return f"{_display_path(code.co_filename)}:{code.co_firstlineno}" if code is not None else op.__qualname__


def calls_between(
    calls: Sequence[OpCall], variable: Tensor, outputs: Sequence[Tensor]
) -> list[tuple[OpCall, list[int]]]:
    """The operations on the paths from a variable to the outputs, each with the numbers of its inputs on them."""
    needed: dict[int, Any] = {}
    for output in outputs:
        reach(needed, output)
    leading = []
    for call in reversed(calls):
        if is_reached(needed, call.output):
            leading.append(call)
            for tensor in call.inputs:
                reach(needed, tensor)
    reached: dict[int, Any] = {id(variable): variable}
    found = []
    for call in reversed(leading):
        numbers = [k for k, tensor in enumerate(call.inputs) if is_reached(reached, tensor)]
        if numbers:
            reach(reached, call.output)
            found.append((call, numbers))
    return found
