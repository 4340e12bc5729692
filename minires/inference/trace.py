"""Traces a model: lists the operations that it applies to its input.

The model runs once while its operations are recorded. A result that depends on the input is a numbered value (the input
is number 0). A result that depends only on parameters (a transposed weight) is a constant. Parameters have the values
of the time of compilation (`constants.py`), and whatever the model writes is restored.

What a plan could not follow is refused with the line where the model does it: reading numbers that depend on the input
(a branch, NumPy in between), dropout, batch norm that moves its running statistics, and a Module that counts its calls
in a buffer, and computes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn
from weakref import ref

from minires.backend import Array, array_module
from minires.core import modes
from minires.core.anomaly import line_of_user_code
from minires.core.function import Function
from minires.core.sharing import Snapshot
from minires.core.tensor import Tensor
from minires.errors import MiniResError
from minires.inference.constants import Constants
from minires.ops.dropout import Dropout
from minires.ops.norm import BatchNormEval, BatchNormTraining
from minires.ops.shape import Reshape

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
        hooked: the modules whose forward hooks ran.
        rebuild: makes the model's return value (a Tensor, tuple, list or dict) from its output Tensors.
    """

    constants: Constants

    calls: list[Call] = field(default_factory=list)
    arrays: list[Array] = field(default_factory=list)
    outputs: tuple[int, ...] = ()
    results: tuple[Array, ...] = ()
    hooked: list[object] = field(default_factory=list)
    rebuild: Callable[[list[Tensor]], Any] = lambda tensors: tensors[0]
    _numbers: dict[int, tuple[ref[Array], int]] = field(default_factory=dict)  # id of an array -> it, its value number
    _own_written: set[int] = field(default_factory=set)  # ids of the Module's parameters and buffers that it wrote
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
        if isinstance(op, Dropout):
            _refuse("dropout is active, and draws other numbers in each call: call eval() on what is compiled")
        operands = tuple(self._operand(tensor) for tensor in inputs)
        if any(isinstance(operand, int) for operand in operands):
            self.calls.append(Call(op.fresh_copy(), operands, self.number(output.data)))
        else:
            self._computed[id(output.data)] = output.data

    def _operand(self, tensor: Tensor) -> Operand:
        number = self.number_of(tensor.data)
        if number is not None:
            return number
        if id(tensor) in self._own_written:
            _refuse(
                "the forward writes into a parameter or buffer of its own and computes with it, so that each call "
                "gives another result, and a plan would repeat the first: call the model itself"
            )
        if id(tensor.data) not in self._computed:
            self.constants.remember(tensor)
        return self._constant(tensor.data)

    def _constant(self, array: Array) -> Array:
        return array if id(array) in self._computed else self.constants.frozen(array)

    def refuse_read(self, tensor: Tensor) -> None:
        """Raise MiniResError if Python is about to get the numbers of a value: the next input has others."""
        if self.has(tensor.data):
            _refuse(
                "the forward depends on the numbers of its input: it reads them (item, bool, int, numpy, print), "
                "compares them, or makes indices of them, and a plan would keep those of the example. Compute with "
                "operations that have gradients, such as F.relu or F.clamp, or call the model itself"
            )

    def note_write(self, tensor: Tensor) -> None:
        """Note that `tensor` is about to be written into.

        Raises MiniResError if a batch norm in training mode is about to move it, which is the last call.
        """
        if self.constants.is_private(tensor):
            self._own_written.add(id(tensor))
        last = self.calls[-1].op if self.calls else None
        if isinstance(last, (BatchNormTraining, Reshape)) and tensor.ndim == 1 and self._has_batch_statistics():
            _refuse("batch norm is in training mode, and moves its running statistics: call eval() on what is compiled")

    def _has_batch_statistics(self) -> bool:
        """Whether the last operation is a batch norm in training mode, or the reshape of one (instance norm)."""
        return any(isinstance(call.op, BatchNormTraining) for call in self.calls[-2:])

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
        with ExitStack() as during:
            during.enter_context(modes.no_grad())
            during.enter_context(modes.intercepting(found.compute, found.observe))
            during.enter_context(modes.watching_reads(found.refuse_read))
            during.enter_context(modes.watching_hooks(found.hooked.append))
            during.enter_context(_writes_undone(found))
            found.finish(model(tensor))
    finally:
        found.constants.finish()
    return found


def _refuse(why: str) -> NoReturn:
    """Raise MiniResError, naming the line of the model that is running."""
    raise MiniResError(f"compile: {line_of_user_code()}: {why}")


@contextmanager
def _writes_undone(found: Trace) -> Iterator[None]:
    """Restore, after this block, the Tensors that are written in it (counters), but not the run's values."""
    before: dict[int, Snapshot] = {}

    def keep(tensor: Tensor) -> None:
        found.note_write(tensor)
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
