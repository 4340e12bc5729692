"""Builds the ONNX graph of a recorded run.

The batch is recognised by a second run with one image more: a length that grows with the number of images is written as
"batch", or is computed from the shape of the input. So the file takes any number of images, though the recorded
operations know the lengths of the example only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.errors import MiniResError
from minires.onnx.recording import Call, Record

Emit = TypeVar("Emit", bound=Callable[..., None])


class Batch(NamedTuple):
    """A length that is `times` the number of images."""

    times: int


Length = int | Batch

# The class of an operation -> emit(graph, call), which adds its nodes.
EMITTERS: dict[type[Function], Callable[[Graph, Call], None]] = {}


def emits(*kinds: type[Function]) -> Callable[[Emit], Emit]:
    """Enter a function as the one that writes these operations, and those derived from them."""

    def enter(emit: Emit) -> Emit:
        for kind in kinds:
            EMITTERS[kind] = emit
        return emit

    return enter


class Graph:
    """The nodes and initialisers of one graph.

    Attributes:
        record: the run; `second`: that with one image more, or None for a fixed number of images.
        opset: the version of the operators.
        nodes: the NodeProtos.
        initialisers: {name: array} of parameters, buffers, and integers that are settings.
        uses: for each value, how many operations read it, and whether it is an output.
        absorbed: the calls that other calls' nodes contain.
    """

    def __init__(self, record: Record, second: Record | None, opset: int, inputs: Sequence[str]) -> None:
        self.record, self.second, self.opset = record, second, opset
        self.nodes: list[Any] = []
        self.initialisers: dict[str, np.ndarray] = {}
        self.names: dict[int, str] = {}
        self.taken: set[str] = {"", *record.names.values()}
        self.uses = Counter(number for call in record.calls for number in call.inputs) + Counter(record.outputs)
        self.absorbed: set[int] = set()
        self._position = {call.output: k for k, call in enumerate(record.calls)}
        for number, name in zip(record.inputs, inputs, strict=True):
            self.names[number] = self.unused(name)
        self._batch_name = ""

    # -- lengths ------------------------------------------------------------------------------------------------------

    def twin(self, number: int) -> Array | None:
        """The array of the same value in the second run."""
        if self.second is None:
            return None
        if number in self._position:
            return self.second.arrays[self.second.calls[self._position[number]].output]
        if number in self.record.inputs:
            return self.second.arrays[self.second.inputs[self.record.inputs.index(number)]]
        return self._twin_constants.get(number)

    def match(self) -> None:
        """Pair the constants of both runs. Raises MiniResError if these did not do the same."""
        self._twin_constants: dict[int, Array] = {}
        if self.second is None:
            return
        calls, others = self.record.calls, self.second.calls
        if [type(call.op) for call in calls] != [type(call.op) for call in others]:
            raise MiniResError(
                "onnx.save: with one image more the model applies other operations, so a file cannot leave the number "
                "of images open: give dynamic_batch=False"
            )
        for call, other in zip(calls, others, strict=True):
            for mine, theirs in zip(call.inputs, other.inputs, strict=True):
                if mine not in self._position and mine not in self.record.inputs:
                    self._twin_constants[mine] = self.second.arrays[theirs]

    def twin_op(self, call: Call) -> Function:
        """The same operation in the second run; itself if there is none."""
        return call.op if self.second is None else self.second.calls[self._position[call.output]].op

    def lengths(self, mine: Sequence[int], theirs: Sequence[int] | None, call: Call | None) -> tuple[Length, ...]:
        """Lengths of both runs as one: those that differ grow with the batch. Raises MiniResError if they do not."""
        if self.second is None or theirs is None:
            return tuple(mine)
        return tuple(self._length(a, b, call) for a, b in zip(mine, theirs, strict=True))

    def _length(self, a: int, b: int, call: Call | None) -> Length:
        if a == b:
            return int(a)
        images = int(self.record.arrays[self.record.inputs[0]].shape[0])
        if a % images or b * images != a * (images + 1):
            self.refuse(call, f"depends on the number of images in a way that ONNX cannot say ({a}, with one more {b})")
        return Batch(a // images)

    def shape(self, number: int, call: Call | None) -> tuple[Length, ...]:
        """The shape of a value."""
        twin = self.twin(number)
        return self.lengths(self.record.arrays[number].shape, None if twin is None else twin.shape, call)

    def ints(self, lengths: Sequence[Length]) -> str:
        """The name of an int64 vector with these lengths."""
        if all(isinstance(length, int) for length in lengths):
            return self.setting(np.array(lengths, np.int64))
        parts = [self._one(length) for length in lengths]
        return parts[0] if len(parts) == 1 else self.add("Concat", parts, axis=0)

    def _one(self, length: Length) -> str:
        if isinstance(length, int):
            return self.setting(np.array([length], np.int64))
        if not self._batch_name:
            self._batch_name = self.add("Shape", [self.names[self.record.inputs[0]]], start=0, end=1)
        if length.times == 1:
            return self._batch_name
        return self.add("Mul", [self._batch_name, self.setting(np.array([length.times], np.int64))])

    # -- names and nodes ----------------------------------------------------------------------------------------------

    def unused(self, wanted: str) -> str:
        """`wanted`, or with a number behind it if that is taken."""
        name, number = wanted, 0
        while name in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        self.taken.add(name)
        return name

    def name(self, number: int, call: Call | None) -> str:
        """The name of a value; a parameter or constant is written when it is first asked for."""
        if number not in self.names:
            array = self.record.arrays[number]
            if number in self.record.names:
                name = self.record.names[number]
                self.initialisers[name] = host(array)
                self.names[number] = name
            else:
                self.names[number] = self.number_or_array(array, self.twin(number), call)
        return self.names[number]

    def number_or_array(self, array: Array, twin: Array | None, call: Call | None) -> str:
        """The name of a constant, which may have a row for each image."""
        mine, theirs = host(array), None if twin is None else host(twin)
        if theirs is None or (
            mine.shape == theirs.shape and np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f")
        ):
            return self.constant(mine)
        shape = self.lengths(mine.shape, theirs.shape, call) if mine.ndim == theirs.ndim else ()
        grows = [isinstance(length, Batch) for length in shape]
        rows = tuple(slice(0, 1) if each else slice(None) for each in grows)
        if not any(grows) or not (mine == mine[rows]).all() or not np.array_equal(mine[rows], theirs[rows]):
            self.refuse(call, "reads a constant that depends on the number of images: give dynamic_batch=False")
        return self.add("Expand", [self.constant(mine[rows]), self.ints(shape)])

    def constant(self, array: np.ndarray) -> str:
        """The name of a constant, in a node of its own: it is no parameter when the file is read again."""
        from onnx import numpy_helper

        return self.add("Constant", [], value=numpy_helper.from_array(np.asarray(array, order="C")))

    def setting(self, array: np.ndarray) -> str:
        """The name of integers that an operator reads as a setting: a shape, axes."""
        label = "x".join(map(str, array.reshape(-1)[:6]))
        name = f"int64_{label}" if array.size <= 6 else self.unused("int64_vector")
        if not array.ndim:
            name += "_"
        if name in self.initialisers:
            return name
        name = self.unused(name)
        self.initialisers[name] = array
        return name

    def add(self, op: str, inputs: Sequence[str], output: int | None = None, label: str = "", **attributes: Any) -> str:
        """Add a node; the name of its output, which is that of the value `output`, or of something between."""
        from onnx import helper

        label = self.unused(label or op)
        value = self.unused(f"{label}_output") if output is None else self.names.setdefault(output, f"{label}_output")
        self.taken.add(value)
        attributes = {name: each for name, each in attributes.items() if each is not None}
        self.nodes.append(helper.make_node(op, list(inputs), [value], name=label, **attributes))
        return value

    def reduce(self, op: str, x: str, axes: Sequence[int], keepdims: bool, output: int | None = None) -> str:
        """Add a reduction; from opset 18 on (ReduceSum from 13) its axes are an input. No axes mean all to ONNX."""
        if not axes:
            return self.add("Identity", [x], output)
        if self.opset >= 18 or op == "ReduceSum":
            return self.add(op, [x, self.setting(np.array(axes, np.int64))], output, keepdims=int(keepdims))
        return self.add(op, [x], output, axes=list(axes), keepdims=int(keepdims))

    def emit(self, call: Call) -> None:
        """Add the nodes of one operation. Raises MiniResError, naming it and its line, if ONNX has none for it."""
        kind = next((kind for kind in type(call.op).__mro__ if kind in EMITTERS), None)
        if kind is None:
            self.refuse(
                call,
                "has no ONNX operator: give compositions={...: ...} to onnx.save, which says what it is in terms of "
                "other operations",
            )
        self._check_settings(call)
        EMITTERS[kind](self, call)

    def _check_settings(self, call: Call) -> None:
        """Raise MiniResError if a setting of the operation changes with the number of images, unless it is a shape."""
        other = vars(self.twin_op(call))
        for name, value in vars(call.op).items():
            if name.startswith("_") or name in ("applied", "to", "key", "condition") or backend.is_array(value):
                continue
            if type(value) in (int, float, str, bool, tuple) and value != other.get(name):
                self.refuse(call, f"has a setting ({name}) that depends on the number of images: dynamic_batch=False")

    def refuse(self, call: Call | None, why: str) -> NoReturn:
        """Raise MiniResError, naming the operation and the line of the model that applies it."""
        if call is None:
            raise MiniResError(f"onnx.save: the model {why}")
        raise MiniResError(f"onnx.save: {call.line}: {call.op.name} {why}")


def host(array: Array) -> np.ndarray:
    """The array in host memory."""
    return np.asarray(backend.to_device(array, "cpu"))
