"""Records what a model computes: the operations that it applies to its input and to its parameters, in order.

The model runs once, without a graph. What a file could not say is refused with the line where the model does it:
reading numbers that depend on the input (a branch, an index), and operations that draw random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from minires.backend import Array
from minires.core import modes
from minires.core.anomaly import line_of_user_code
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.errors import MiniResError
from minires.nn import Module
from minires.ops.dropout import Dropout

Composition = Callable[..., Tensor]  # (op, *inputs) -> the same, made of other operations


@dataclass(frozen=True)
class Call:
    """One operation: `op` applied to the values with these numbers gives the value `output`; `line`: where."""

    op: Function
    inputs: tuple[int, ...]
    output: int
    line: str


@dataclass
class Record:
    """The operations of one run of a model. Values have numbers.

    Attributes:
        calls: the operations, in order.
        arrays: for each value its array; constants and parameters with their numbers.
        names: {number: name} of the parameters and buffers.
        inputs, outputs: the numbers of what the model was given and what it returned.
        from_input: the numbers of the values that depend on the input.
    """

    compositions: Mapping[type[Function], Composition]
    calls: list[Call] = field(default_factory=list)
    arrays: list[Array] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    from_input: set[int] = field(default_factory=set)
    producer: dict[int, Call] = field(default_factory=dict)
    _numbers: dict[int, int] = field(default_factory=dict)  # id of an array -> its number; `arrays` keeps it alive

    def number_of(self, array: Array) -> int:
        """The number of an array, which it gets when it is first seen."""
        if id(array) not in self._numbers:
            self._numbers[id(array)] = len(self.arrays)
            self.arrays.append(array)
        return self._numbers[id(array)]

    def observe(self, op: Function, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Note that an operation has been applied; one with a composition is replaced by what that applies."""
        if isinstance(op, Dropout):
            refuse("dropout is active, and draws other numbers in each call: call eval() on the model")
        numbers = tuple(self.number_of(tensor.data) for tensor in inputs)
        composition = next((self.compositions[kind] for kind in type(op).__mro__ if kind in self.compositions), None)
        if composition is not None:
            made = composition(op, *inputs)
            if not isinstance(made, Tensor) or made.shape != output.shape:
                refuse(f"the composition for {op.name} must return a Tensor of shape {output.shape}, as it does itself")
            self.arrays.append(output.data)  # kept alive, so that no other array gets its id
            self._numbers[id(output.data)] = self.number_of(made.data)
            return
        number = self.number_of(output.data)
        call = Call(op.fresh_copy(), numbers, number, line_of_user_code())
        self.calls.append(call)
        self.producer[number] = call
        if self.from_input.intersection(numbers):
            self.from_input.add(number)

    def refuse_read(self, tensor: Tensor) -> None:
        """Raise MiniResError if Python is about to get numbers that depend on the input: the next input has others."""
        if self._numbers.get(id(tensor.data)) in self.from_input:
            refuse(
                "the forward depends on the numbers of its input: it reads them (item, bool, int, numpy, print), "
                "compares them, or makes indices of them, and a file would keep those of the example. Compute with "
                "operations that have gradients, such as F.relu or F.clamp"
            )


def refuse(why: str) -> NoReturn:
    """Raise MiniResError, naming the line of the model that is running."""
    raise MiniResError(f"onnx.save: {line_of_user_code()}: {why}")


def record(model: Module, inputs: Sequence[Tensor], compositions: Mapping[type[Function], Composition]) -> Record:
    """Run `model` on `inputs` without a graph, and return what it did."""
    found = Record(compositions)
    for name, tensor in model.state_dict(keep_vars=True).items():
        found.names.setdefault(found.number_of(tensor.data), name)
    fresh = [Tensor(np.array(x.data) if isinstance(x.data, np.ndarray) else x.data.copy()) for x in inputs]
    found.inputs = tuple(found.number_of(x.data) for x in fresh)
    found.from_input.update(found.inputs)
    with ExitStack() as during:
        during.enter_context(modes.no_grad())
        during.enter_context(modes.intercepting(observe=found.observe))
        during.enter_context(modes.watching_reads(found.refuse_read))
        returned = model(*fresh)
    tensors = [returned] if isinstance(returned, Tensor) else returned
    if not isinstance(tensors, (tuple, list)) or not all(isinstance(each, Tensor) for each in tensors) or not tensors:
        raise MiniResError(
            f"onnx.save: the model returns a {type(returned).__name__}; needs a Tensor, or a tuple or list of them"
        )
    found.outputs = tuple(found.number_of(each.data) for each in tensors)
    return found
