"""Traces a model: lists the operations that it applies to its input.

The model runs once while its operations are recorded. A result that depends on the input is a numbered value (the input
is number 0). A result that depends only on parameters (a transposed weight) is a constant. Parameters have the values
of the time of compilation (`constants.py`), and whatever the model writes (running statistics) is restored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

from minires.backend import Array, array_module
from minires.core import modes
from minires.core.function import Function
from minires.core.sharing import Snapshot
from minires.core.tensor import Tensor
from minires.errors import MiniResError
from minires.inference.constants import Constants
from minires.ops.norm import BatchNormEval

Operand = int | Array  # the number of a value, or a constant


@dataclass(frozen=True)
class Call:
    """One operation: `op` applied to `inputs` gives the value with the number `output`.

    `op` is a copy of the model's operation without the results of the traced run.
    """

    op: Function
    inputs: tuple[Operand, ...]
    output: int

    @property
    def values(self) -> tuple[int, ...]:
        """The numbers of the inputs that are values."""
        return tuple(each for each in self.inputs if isinstance(each, int))


@dataclass
class Trace:
    """The operations of one run of the model.

    Attributes:
        constants: the frozen constants that the run reads.
        calls: the operations in the order of execution.
        arrays: for each value, by number, an array of its shape, dtype and device that takes no memory (`placeholder`):
            a traced run needs no more memory than any other run of the model.
        outputs: the numbers of the values that the model returned.
        results: their arrays.
        rebuild: makes the model's return value (a Tensor, tuple, list or dict) from its output Tensors.
    """

    constants: Constants

    calls: list[Call] = field(default_factory=list)
    arrays: list[Array] = field(default_factory=list)
    outputs: tuple[int, ...] = ()
    results: tuple[Array, ...] = ()
    rebuild: Callable[[list[Tensor]], Any] = lambda tensors: tensors[0]
    _numbers: dict[int, tuple[ref[Array], int]] = field(default_factory=dict)  # id of an array -> it, its value number
    _computed: dict[int, Array] = field(default_factory=dict)  # id -> a constant that this run computed from others

    def number(self, array: Array) -> int:
        """Assign the next number to `array`."""
        self._numbers[id(array)] = ref(array), len(self.arrays)
        self.arrays.append(placeholder(array))
        return len(self.arrays) - 1

    def number_of(self, array: Array) -> int | None:
        """The number of the value `array`; None if it is a constant."""
        known, number = self._numbers.get(id(array), (lambda: None, 0))
        return number if known() is array else None  # another array may have got the id of a value that was freed

    def has(self, array: Array) -> bool:
        """Whether `array` is that of a value."""
        return self.number_of(array) is not None

    def compute(self, op: Function, arrays: list[Array]) -> Array:
        """The output of an operation, computed from the constants as they were."""
        if isinstance(op, BatchNormEval):
            op.mean, op.var = self.constants.statistics(op.mean, op.var)
        return op.forward(*[self._constant(each) if self.number_of(each) is None else each for each in arrays])

    def observe(self, op: Function, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Note that an operation has been applied."""
        operands = tuple(self._operand(tensor) for tensor in inputs)
        if any(isinstance(operand, int) for operand in operands):
            self.calls.append(Call(op.fresh_copy(), operands, self.number(output.data)))
        else:
            self._computed[id(output.data)] = output.data

    def _operand(self, tensor: Tensor) -> Operand:
        number = self.number_of(tensor.data)
        if number is not None:
            return number
        if id(tensor.data) not in self._computed:
            self.constants.remember(tensor)
        return self._constant(tensor.data)

    def _constant(self, array: Array) -> Array:
        return array if id(array) in self._computed else self.constants.frozen(array)

    def finish(self, returned: Any) -> None:
        """Record what the model returned."""
        tensors, self.rebuild = _parts(returned)
        self.results = tuple(tensor.data for tensor in tensors)
        numbers = [self.number_of(array) for array in self.results]
        self.outputs = tuple(number for number in numbers if number is not None)
        if len(self.outputs) < len(numbers):
            raise MiniResError(
                "compile: the model's return value does not depend on its input through MiniRes's operations"
            )


def placeholder(array: Array) -> Array:
    """An array of the same shape, dtype and device in the memory of one number."""
    if array.size <= 1:
        return array
    first = array[(slice(0, 1),) * array.ndim].copy()
    return array_module(array).broadcast_to(first, array.shape)


def trace(model: Callable[[Tensor], Any], x: Array, constants: Constants | None = None) -> Trace:
    """Run `model` on the array `x` without a graph and return its trace; constants: those of earlier runs, if any."""
    found, tensor = Trace(constants or Constants()), Tensor(x)
    found.number(tensor.data)
    found.constants.start()
    try:
        with modes.no_grad(), modes.intercepting(found.compute, found.observe), _writes_undone(found):
            found.finish(model(tensor))
    finally:
        found.constants.finish()
    return found


@contextmanager
def _writes_undone(found: Trace) -> Iterator[None]:
    """Restore, after this block, the Tensors that are written in it (running statistics), but not the run's values."""
    before: dict[int, Snapshot] = {}

    def keep(tensor: Tensor) -> None:
        if id(tensor) not in before and not found.has(tensor.data):
            before[id(tensor)] = Snapshot(tensor)

    try:
        with modes.watching_writes(keep):
            yield
    finally:
        for snapshot in reversed(before.values()):  # the first that was taken of a memory has the last word
            snapshot.restore()


def _parts(returned: Any) -> tuple[list[Tensor], Callable[[list[Tensor]], Any]]:
    """The Tensors in a model's return value, and a function that makes such a value from other Tensors."""
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
