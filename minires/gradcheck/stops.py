"""Where the gradient stops though the numbers go on, and straight-through ops: what is held while F is evaluated.

`x * x.detach()` depends on x twice, and its gradient knows one of them. The second factor is an input of Multiply that
requires no gradient and yet changes with x; so is what went through NumPy, or was computed under `no_grad`. If that is
meant, the function whose gradient backward computes is the one in which such inputs keep the values that they have at
the point.

A straight-through op computes one function and passes on the gradient of another, its surrogate s. The function whose
gradient that is, is y(x₀) + s(x) − s(x₀), which has the value of the one at the point x₀ and the slope of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minires.backend import Array, to_device
from minires.core import modes
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.gradcheck.interceptors import DivergedError, is_promotion
from minires.gradcheck.trace import applied_at

Compute = Callable[[Function, Sequence[Array]], Array]


def surrogate_of(op: Function) -> Callable[..., Array] | None:
    """The method `surrogate(self, *arrays)` of a straight-through op; None if it has none."""
    return getattr(op, "surrogate", None)


@dataclass(frozen=True)
class Stop:
    """An input of an operation at which the gradient stops. number: of the operation, from 0; input: from 0.

    line: where the operation was applied. An output of f that is outside of the graph has the op "".
    """

    number: int
    op: str
    input: int
    line: str

    def __str__(self) -> str:
        if not self.op:
            return f"output {self.input} of f"
        return f"input {self.input} of {self.op} (operation {self.number}), applied at {self.line}"


@dataclass
class Held:
    """The arrays at the point that evaluations of F hold.

    Attributes:
        inputs: {(number of an operation, number of its input): its array at the point}.
        outputs: {number of an output of f: its array at the point}.
        straight: {number of a straight-through operation: (its output, the output of its surrogate) at the point}.
    """

    inputs: dict[tuple[int, int], Array] = field(default_factory=dict)
    outputs: dict[int, Array] = field(default_factory=dict)
    straight: dict[int, tuple[Array, Array]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.inputs or self.outputs or self.straight)

    def holding(self, compute: Compute | None) -> Compute:
        """`compute` (None: as usual) with what is held in place of what would be computed. For one pass."""
        number = -1

        def hold(op: Function, arrays: Sequence[Array]) -> Array:
            nonlocal number
            if is_promotion(op, arrays):
                return op.forward(*arrays) if compute is None else compute(op, arrays)
            number += 1
            given = list(arrays)
            for k, array in enumerate(given):
                held = self.inputs.get((number, k))
                if held is not None:
                    if held.shape != array.shape:
                        raise DivergedError
                    given[k] = held.astype(array.dtype)
            acting = _StraightThrough(op, *self.straight[number]) if number in self.straight else op
            return acting.forward(*given) if compute is None else compute(acting, given)

        return hold

    def of_outputs(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs of f, with those that are held."""
        return [self.outputs.get(k, array) for k, array in enumerate(arrays)]


class _StraightThrough(Function):
    """An op's value at the point with the slope of its surrogate: y(x₀) + s(x) − s(x₀)."""

    def __init__(self, op: Function, value: Array, surrogate: Array) -> None:
        self.op, self.value, self.at_point = op, value, surrogate

    def forward(self, *arrays: Any) -> Array:
        surrogate = surrogate_of(self.op)
        assert surrogate is not None
        return self.value + (surrogate(*arrays) - self.at_point)

    @property
    def name(self) -> str:
        return self.op.name


class ConstantRecorder:
    """Notes the arrays that enter recorded operations without requiring a gradient, and straight-through operations.

    Args:
        origins: Only these inputs of operations, (operation, input), and what is computed of them alone, as in the
            gradient of x · stop(x). Default (None): all.
    """

    def __init__(self, origins: Collection[tuple[int, int]] | None = None) -> None:
        self.origins = origins
        self.number = -1
        self.counted = True
        self.arrays: dict[Stop, Array] = {}
        self.straight: dict[int, tuple[Array, Array]] = {}
        self._descended: dict[int, Array] = {}  # of the origins, by id

    def record(self, run: Callable[[], Sequence[Tensor]]) -> None:
        """Make a forward pass by `run`, which returns its outputs."""
        with modes.enable_grad(), modes.intercepting(compute=self._compute, observe=self._observe):
            for k, tensor in enumerate(run()):
                if not tensor.requires_grad and self.origins is None:
                    self.arrays[Stop(self.number + 1, "", k, "")] = tensor.data

    def _compute(self, op: Function, arrays: Sequence[Array]) -> Array:
        self.counted = not is_promotion(op, arrays)
        self.number += self.counted
        output = op.forward(*arrays)
        surrogate = surrogate_of(op)
        if surrogate is not None:
            self.straight[self.number] = np.array(output), np.array(surrogate(*arrays))
        return output

    def _observe(self, op: Function, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Note the inputs of floating-point numbers that require no gradient, beside others that do."""
        if self.origins is not None:
            self._follow(inputs, output)
        if not self.counted or not output.requires_grad:
            return
        line = ""
        for k, tensor in enumerate(inputs):
            counts = self.origins is None or id(tensor.data) in self._descended
            if counts and tensor.dtype.kind == "f" and not tensor.requires_grad:
                line = line or applied_at()
                self.arrays[Stop(self.number, op.name, k, line)] = tensor.data

    def _follow(self, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Note what descends from the origins: an origin, and a result of nothing but such and single numbers."""
        for k, tensor in enumerate(inputs):
            if self.origins is not None and (self.number, k) in self.origins and not tensor.requires_grad:
                self._descended[id(tensor.data)] = tensor.data
        known = [id(tensor.data) in self._descended for tensor in inputs]
        if any(known) and all(each or not tensor.ndim for each, tensor in zip(known, inputs, strict=True)):
            self._descended[id(output.data)] = output.data

    def held(self, stops: bool) -> Held:
        """What to hold: straight-through operations and, if asked for, every constant."""
        arrays = {stop: np.array(array) for stop, array in self.arrays.items() if stops}
        inputs = {(stop.number, stop.input): array for stop, array in arrays.items() if stop.op}
        outputs = {stop.input: array for stop, array in arrays.items() if not stop.op}
        return Held(inputs, outputs, self.straight)


def stops_between(here: ConstantRecorder, there: ConstantRecorder) -> dict[Stop, Array]:
    """The constants of the first pass that have other values in the second: at them the gradient stops."""
    found = {}
    for stop, array in here.arrays.items():
        other = there.arrays.get(stop)
        if (
            other is None
            or other.shape != array.shape
            or not np.array_equal(to_device(array, "cpu"), to_device(other, "cpu"), equal_nan=True)
        ):
            found[stop] = array
    return found
