"""Turns a trace into the steps of a plan: folds batch norm, fuses operations, packs weights.

    conv → batch norm [→ + residual] [→ ReLU or ReLU6]     one step: y = x ∗ w′ + b′ [+ residual] [ReLU]

Batch norm in eval mode is y = (x − μ)·s + β with s = γ/√(σ² + ε). After a convolution it is folded into the weights:
w′ = w·s for each output channel, b′ = (b − μ)·s + β, in float64 and rounded once. An operation is fused into the step
before it only if no other operation reads the value between them.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from minires.backend import Array, array_module, provider_for, to_device
from minires.backend.cpu import algorithms, library
from minires.backend.shapes import Pair, Window
from minires.inference import steps
from minires.inference.constants import memory_key
from minires.inference.cuda_steps import FusedConvolution, FusedLinear
from minires.inference.packed_weights import FoldedWeights, Key, WeightCache
from minires.inference.steps import Convolution, FoldedConvolution, Linear, Step
from minires.inference.trace import Call, Trace
from minires.ops import conv, elementwise, linear, norm, pool, reduction, shape

FOLDED_AT_ONCE = 2**16  # weights: a float64 array of all of them would leave a hole in the heap


def _numbers(vector: Array | None) -> Any:
    """A key that identifies a vector by its numbers."""
    return None if vector is None else (vector.dtype.str, to_device(vector, "cpu").tobytes())


class Chain:
    """A convolution or a matrix product, with the operations that have been fused into it.

    Attributes:
        w, bias: the folded weights, (O, C, kh, kw) and (O,) or None.
        key: identifies the arrays from which they were made.
        inputs: the numbers of the input value and, once an addition is fused, of the residual.
        relu, most: whether a ReLU ends the chain, and its limit (6 for ReLU6).
    """

    def __init__(self, w: Array, bias: Array | None, x: int, output: int) -> None:
        self.w, self.bias, self.origin = w, bias, w
        self.relu, self.most = False, math.inf
        self.inputs: tuple[int, ...] = (x,)
        self.output = output
        self.key: Key = (memory_key(w), _numbers(bias))

    def scale(self, op: norm.BatchNormEval, weight: Array, bias: Array) -> None:
        """Fold batch norm with weight γ (O,) and bias β (O,) into w and bias."""
        vectors = (op.mean, op.var, weight, bias)
        self.key += (op.eps, *map(_numbers, vectors))
        xp = array_module(self.w)
        mean, var, weight, bias = (each.astype("float64") for each in vectors)
        s = weight / xp.sqrt(var + op.eps)
        before = 0.0 if self.bias is None else self.bias.astype("float64")
        w, s4, folded = self.w, s.reshape(-1, 1, 1, 1), xp.zeros_like(self.w)
        rows = max(1, FOLDED_AT_ONCE // max(1, math.prod(w.shape[1:])))
        for first in range(0, len(w), rows):
            part = slice(first, first + rows)
            folded[part] = w[part] * s4[part]
        self.w = folded
        self.bias = ((before - mean) * s + bias).astype(self.w.dtype)

    def add_bias(self, bias: Array) -> None:
        """Fold the addition of b (O,) into bias."""
        self.key += ("+", _numbers(bias))
        self.bias = bias if self.bias is None else self.bias + bias


class Fuser:
    """Makes the steps for one trace."""

    def __init__(self, trace: Trace, weights: WeightCache) -> None:
        self.trace, self.weights = trace, weights
        self.readers: dict[int, list[int]] = {}  # value -> the numbers of the calls that read it
        for number, call in enumerate(trace.calls):
            for value in set(call.values):
                self.readers.setdefault(value, []).append(number)
        self.uses = Counter(value for call in trace.calls for value in call.values) + Counter(trace.outputs)
        self.fused: set[int] = set()  # calls that are part of another call's step
        self.found: dict[int, Step] = {}  # last call of a step -> the step

    def steps(self) -> list[Step]:
        """All steps, in an order in which the inputs of each are computed before it."""
        for number, call in enumerate(self.trace.calls):
            if number not in self.fused:
                self._make(number, call)
        return [step for _, step in sorted(self.found.items())]

    # -- one call -----------------------------------------------------------------------------------------------------

    def _make(self, number: int, call: Call) -> None:
        """Make the step of a call and of the calls fused into it, at the position of the last of them."""
        op = call.op
        if isinstance(op, conv.Conv2d) and isinstance(call.inputs[0], int) and not isinstance(call.inputs[1], int):
            last, chain = self._chain(number, call, call.inputs[1], call.inputs[2] if len(call.inputs) > 2 else None)
            self.found[last] = self._convolution(op, chain)
        elif (matrix := self._linear_weights(call)) is not None:
            last, chain = self._chain(number, call, matrix.T[:, :, None, None], None)
            self.found[last] = self._linear(chain)
        elif self._is_on_cpu(call):
            last, step = self._simple(number, call)
            self.found[last] = step
        else:
            self.found[number] = steps.Replay(op, call.inputs, call.output)

    def _is_on_cpu(self, call: Call) -> bool:
        """Whether the C kernels serve all arrays that the call reads."""
        if library is None:
            return False
        arrays = [self._array(each) for each in call.inputs]
        return all(array.size and provider_for("relu", array).name == "cpu" for array in arrays)

    def _is_on_gpu(self, call: Call) -> bool:
        """Whether the CUDA kernels serve all arrays that the call reads."""
        arrays = [self._array(each) for each in call.inputs]
        return all(array.size and provider_for("conv2d", array).name == "cuda" for array in arrays)

    def _array(self, operand: Any) -> Array:
        return self.trace.arrays[operand] if isinstance(operand, int) else operand

    def _next(self, value: int) -> tuple[int, Call] | None:
        """The number of the call that reads `value`, and the call, if it is the only one; else None."""
        readers = self.readers.get(value, [])
        if self.uses[value] != 1 or len(readers) != 1 or readers[0] in self.fused:
            return None
        return readers[0], self.trace.calls[readers[0]]

    # -- convolution and what follows ----------------------------------------------------------------------------------

    def _chain(self, number: int, call: Call, w: Array, bias: Any) -> tuple[int, Chain]:
        """Fuse all possible calls into a convolution: (number of the last fused call, the chain)."""
        chain = Chain(w, bias, call.values[0], call.output)
        while not chain.relu and (found := self._next(chain.output)) is not None:
            reader, follower = found
            if not self._fuse(chain, follower):
                break
            chain.output = follower.output
            self.fused.add(reader)
            number = reader
        return number, chain

    def _fuse(self, chain: Chain, call: Call) -> bool:
        """Fuse `call` into the chain if possible; returns whether it was."""
        op, is_first = call.op, call.inputs[0] == chain.output
        constants = [each for each in call.inputs if not isinstance(each, int)]
        if isinstance(op, elementwise.ReLU):
            chain.relu = True
        elif isinstance(op, elementwise.Clip) and op.low == 0 < op.high:  # min(max(y, 0), 6) is ReLU6
            chain.relu, chain.most = True, float(op.high)
        elif isinstance(op, norm.BatchNormEval) and is_first and len(chain.inputs) == 1 and len(constants) == 2:
            chain.scale(op, constants[0], constants[1])
            chain.inputs += tuple(call.values[1:])
            chain.relu = op.relu
        elif isinstance(op, elementwise.Add) and not constants and len(chain.inputs) == 1:
            other: Any = call.inputs[1] if is_first else call.inputs[0]
            if self._array(other).shape != self._array(chain.output).shape:
                return False
            chain.inputs += (other,)
        elif isinstance(op, elementwise.Add) and is_first and len(chain.inputs) == 1 and chain.w.shape[2:] == (1, 1):
            if self._array(chain.output).ndim != 2 or constants[0].shape != (chain.w.shape[0],):
                return False
            chain.add_bias(constants[0])
        else:
            return False
        return True

    def _convolution(self, op: conv.Conv2d, chain: Chain) -> Step:
        x = self._array(chain.inputs[0])
        provider = provider_for("conv2d", x).name if x.size else ""
        if provider != "cpu" or library is None:
            kind = FusedConvolution if provider == "cuda" else FoldedConvolution
            return self._folded_step(kind, chain, op.window, op.groups)
        return self._packed_step(Convolution, chain, op.window, op.groups)

    def _linear(self, chain: Chain) -> Step:
        if provider_for("matmul", self._array(chain.inputs[0])).name == "cuda":
            return self._folded_step(FusedLinear, chain, Window((1, 1)), 1)
        return self._packed_step(Linear, chain, Window((1, 1)), 1)

    def _linear_weights(self, call: Call) -> Array | None:
        """The matrix (K, M) of a product of rows (N, K) with a constant matrix; None for any other call."""
        if not isinstance(call.op, linear.MatMul) or not (self._is_on_cpu(call) or self._is_on_gpu(call)):
            return None
        x, matrix = call.inputs
        if not isinstance(x, int) or isinstance(matrix, int) or not self._array(x).ndim == matrix.ndim == 2:
            return None
        return matrix

    def _folded_step(self, kind: type[FoldedConvolution], chain: Chain, window: Window, groups: int) -> Step:
        weights = self._folded(chain)
        return kind(chain.inputs, chain.output, weights, chain.w, chain.relu, chain.most, window, groups)

    def _packed_step(self, kind: type[Convolution], chain: Chain, window: Window, groups: int) -> Step:
        x, y = self._array(chain.inputs[0]), self._array(chain.output)
        output_size: Pair = y.shape[2:] if y.ndim == 4 else (1, 1)
        found = algorithms.Shape(x.shape[0], x.shape[1], y.shape[1], output_size, window, groups)
        algorithm = algorithms.packed(found)
        weights = self._folded(chain)
        return kind(chain.inputs, chain.output, weights, chain.w, chain.relu, chain.most, found, algorithm)

    def _folded(self, chain: Chain) -> FoldedWeights:
        return self.weights.folded(chain.key, chain.origin, chain.bias)

    # -- other operations that have a step of their own ----------------------------------------------------------------

    def _simple(self, number: int, call: Call) -> tuple[int, Step]:
        """The step of an operation that writes into a planned buffer, and the number of the last call it covers."""
        op, y = call.op, self.trace.arrays[call.output]
        if isinstance(op, pool.MaxPool2d) and op.window.area <= 256:
            return number, steps.MaxPool(call.values, call.output, y.shape[2:], op.window)
        if isinstance(op, pool.AvgPool2d) and op.window.area <= 256:
            return number, steps.AvgPool(call.values, call.output, y.shape[2:], op.window, op.count_include_pad)
        if isinstance(op, reduction.Sum) and op.axes == (2, 3) and self._array(call.inputs[0]).ndim == 4:
            return self._global_sum(number, call)
        if isinstance(op, elementwise.Add) and len(call.values) == 2 and self._is_one_shape(call):
            last, output = self._then_relu(number, call.output)
            return last, steps.Add(call.values, output, relu=last != number)
        if isinstance(op, elementwise.ReLU):
            return number, steps.ReLU(call.values, call.output)
        if isinstance(op, norm.BatchNormEval) and len(call.inputs) - len(call.values) == 2 and y.ndim in (2, 4):
            vectors: tuple[Any, ...] = (op.mean, op.var, call.inputs[1], call.inputs[2])
            return number, steps.BatchNorm(call.values, call.output, vectors, op.eps, op.relu)
        if isinstance(op, shape.Pad):
            return number, steps.Pad(call.values, call.output, op.widths, op.value)
        return number, steps.Replay(op, call.inputs, call.output)

    def _is_one_shape(self, call: Call) -> bool:
        return len({self._array(each).shape for each in call.inputs}) == 1

    def _then_relu(self, number: int, value: int) -> tuple[int, int]:
        """(number of the last call, its value), after fusing a ReLU that is the only reader of `value`."""
        found = self._next(value)
        if found is None or not isinstance(found[1].op, elementwise.ReLU):
            return number, value
        self.fused.add(found[0])
        return found[0], found[1].output

    def _global_sum(self, number: int, call: Call) -> tuple[int, Step]:
        found, divisor, output = self._next(call.output), 1.0, call.output
        if found is not None and isinstance(found[1].op, elementwise.Divide) and found[1].inputs[0] == output:
            by = found[1].inputs[1]
            if not isinstance(by, int) and by.ndim == 0:
                number, divisor, output = found[0], float(by), found[1].output
                self.fused.add(number)
        return number, steps.GlobalSum(call.values, output, divisor)
