"""Which operations a model applies to its input, as a list.

The model is run once and watched. What it computes from its parameters alone (a transposed weight) is a constant; what
depends on the input is a numbered value, the input being number 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from minires import modes
from minires.backend import Array
from minires.errors import MiniResError
from minires.function import Function
from minires.tensor import Tensor

Operand = int | Array  # a value by its number, or a constant


@dataclass(frozen=True)
class Call:
    """One operation: `op` applied to `inputs` gives the value number `output`."""

    op: Function
    inputs: tuple[Operand, ...]
    output: int

    @property
    def values(self) -> tuple[int, ...]:
        """The inputs that are values."""
        return tuple(each for each in self.inputs if isinstance(each, int))


@dataclass
class Trace:
    """What one run of the model did.

    Attributes:
        calls: in the order in which they happened.
        arrays: value number -> the array that it was in that run. They live as long as the trace: an array is told from
            another by its identity.
        outputs: the value numbers of what the model returned.
        rebuild: makes of as many Tensors what the model returned: a Tensor, a tuple, a list or a dict of them.
    """

    calls: list[Call] = field(default_factory=list)
    arrays: list[Array] = field(default_factory=list)
    outputs: tuple[int, ...] = ()
    rebuild: Callable[[list[Tensor]], Any] = lambda tensors: tensors[0]
    _numbers: dict[int, int] = field(default_factory=dict)  # id of an array -> its value number

    def number(self, array: Array) -> int:
        """Give `array` the next number."""
        self._numbers[id(array)] = len(self.arrays)
        self.arrays.append(array)
        return len(self.arrays) - 1

    def note(self, op: Function, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """An operation has been applied."""
        operands = tuple(self._numbers.get(id(tensor.data), tensor.data) for tensor in inputs)
        if any(isinstance(operand, int) for operand in operands):
            self.calls.append(Call(op, operands, self.number(output.data)))

    def finish(self, returned: Any) -> None:
        """Take what the model returned."""
        tensors, self.rebuild = _parts(returned)
        if not all(id(tensor.data) in self._numbers for tensor in tensors):
            raise MiniResError("compile: what the model returns does not depend on its input by operations of MiniRes")
        self.outputs = tuple(self._numbers[id(tensor.data)] for tensor in tensors)


def trace(model: Callable[[Tensor], Any], x: Array) -> Trace:
    """Run `model` on the array `x` without recording, and say what it did."""
    found, tensor = Trace(), Tensor(x)
    found.number(tensor.data)
    with modes.no_grad(), modes.tracing(found.note):
        found.finish(model(tensor))
    return found


def _parts(returned: Any) -> tuple[list[Tensor], Callable[[list[Tensor]], Any]]:
    """The Tensors of what a model returned, and how to put others into their places."""
    if isinstance(returned, Tensor):
        return [returned], lambda tensors: tensors[0]
    if isinstance(returned, Mapping) and all(isinstance(each, Tensor) for each in returned.values()):
        names = list(returned)
        return list(returned.values()), lambda tensors: dict(zip(names, tensors, strict=True))
    if isinstance(returned, (tuple, list)) and all(isinstance(each, Tensor) for each in returned):
        kind = type(returned) if type(returned) in (tuple, list) else tuple
        return list(returned), lambda tensors: kind(tensors)
    raise MiniResError(
        f"compile: the model returns a {type(returned).__name__}; needs a Tensor, or a tuple or dict of them"
    )
