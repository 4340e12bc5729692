"""The steps of a plan: each computes one array from others, into a buffer that was planned for it.

A step with `needs_buffer` writes into the array it is given. The others return an array of their own, or a view of one
of their inputs (a reshape, a slice). `library` is the C kernels' module; steps that use it are made only where it can.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from minires import backend
from minires.backend import Array
from minires.backend.cpu import algorithms, library
from minires.backend.shapes import Pair
from minires.core.function import Function
from minires.inference.packed_weights import FoldedWeights
from minires.inference.trace import Operand

Arrays = Sequence[Array]


class Step:
    """Base of all steps.

    Attributes:
        name: what it does, for `describe`.
        inputs: the numbers of the values it reads.
        output: the number of the value it makes.
        needs_buffer: whether `run` writes into `out`.
        may_overwrite: the input whose buffer `out` may be: it reads an element of that for the last time before it
            writes the same element.
    """

    name = ""
    needs_buffer = True
    may_overwrite: int | None = None

    def __init__(self, inputs: tuple[int, ...], output: int) -> None:
        self.inputs, self.output = inputs, output

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        """The value, from the arrays of `inputs`."""
        raise NotImplementedError


class Replay(Step):
    """Any operation, as it stands."""

    needs_buffer = False

    def __init__(self, op: Function, operands: tuple[Operand, ...], output: int) -> None:
        super().__init__(tuple(each for each in operands if isinstance(each, int)), output)
        self.operands, self.name = operands, op.name
        self.op = op.fresh_copy()  # without what came of the run that was watched
        for attribute, value in vars(self.op).items():
            setattr(self.op, attribute, _copied(value))

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        given = iter(arrays)
        op = copy.copy(self.op)  # forward may keep something on the node, and several threads may be here
        result = op.forward(*[next(given) if isinstance(each, int) else each for each in self.operands])
        return backend.as_array(result, arrays[0])


def _copied(value: Any) -> Any:
    """An attribute of an op, its arrays copied (the mask of a `where`, the key of an index): they may be the user's."""
    if type(value) in (tuple, list):
        return type(value)(map(_copied, value))
    return value.copy() if backend.is_array(value) else value


def _as_planned(array: Array) -> Array:
    """`array` aligned and in the layout of the buffers; what other steps made is so, but the input may lie anyhow."""
    return library.channels_last(array, None) if array.ndim == 4 else np.require(array, requirements=("C", "ALIGNED"))


class ToChannelsLast(Step):
    """The input in the memory layout that the kernels work on."""

    name = "to channels-last"

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        return library.channels_last(arrays[0], out)


class Convolution(Step):
    """y = x ∗ w + b [+ residual] [then ReLU]: batch norm is folded into w and b, and w is packed once."""

    def __init__(
        self,
        inputs: tuple[int, ...],
        output: int,
        weights: FoldedWeights,
        relu: bool,
        shape: algorithms.Shape,
        algorithm: int,
    ) -> None:
        super().__init__(inputs, output)
        self.weights, self.packed = weights, weights.packed(algorithm)
        self.relu, self.shape, self.algorithm = relu, shape, algorithm
        if len(inputs) == 2:
            self.may_overwrite = inputs[1]
        kernel = "×".join(map(str, shape.kernel))
        extras = " + bias" * (weights.bias is not None) + " + residual" * (len(inputs) == 2) + ", ReLU" * relu
        self.name = f"conv {kernel}{extras} ({algorithms.NAMES[algorithm]})"

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        x, residual = arrays[0], arrays[1] if len(arrays) == 2 else None
        shape = self.shape
        return library.conv2d_packed(
            x,
            self.packed,
            (shape.outputs, *shape.kernel),
            self.weights.bias,
            residual,
            self.relu,
            shape.stride,
            shape.padding,
            shape.dilation,
            self.algorithm,
            out,
        )


class Linear(Convolution):
    """y = x Wᵀ + b: a 1×1 convolution of images of one pixel."""

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        assert out is not None
        super().run([rows.reshape(*rows.shape, 1, 1) for rows in arrays], out.reshape(*out.shape, 1, 1))
        return out


class FoldedConvolution(Step):
    """The same where the C kernels do not serve (groups, another dtype, a GPU): by the backend's own kernels."""

    needs_buffer = False

    def __init__(
        self, inputs: tuple[int, ...], output: int, weights: FoldedWeights, relu: bool, geometry: tuple[Any, ...]
    ) -> None:
        super().__init__(inputs, output)
        self.weights, self.relu, self.geometry = weights, relu, geometry
        self.name = f"conv {weights.w.shape[2]}×{weights.w.shape[3]}"

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        y = backend.conv2d(arrays[0], self.weights.w, self.weights.bias, *self.geometry)
        if len(arrays) == 2:
            y = backend.add(y, arrays[1])
        return backend.relu(y) if self.relu else y


class MaxPool(Step):
    """The largest of each window; nobody asks which it was."""

    name = "max pool"

    def __init__(self, inputs: tuple[int, ...], output: int, size: Pair, windows: tuple[Pair, ...]) -> None:
        super().__init__(inputs, output)
        self.size, self.windows = size, windows

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        return library.max_pool2d(arrays[0], self.size, *self.windows, out)


class AvgPool(MaxPool):
    """The mean of each window."""

    name = "average pool"

    def __init__(
        self, inputs: tuple[int, ...], output: int, size: Pair, windows: tuple[Pair, ...], count_include_pad: bool
    ) -> None:
        super().__init__(inputs, output, size, windows)
        self.count_include_pad = count_include_pad

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        return library.avg_pool2d(arrays[0], self.size, *self.windows, self.count_include_pad, out)


class GlobalSum(Step):
    """Σ over the pixels, divided: (N, C, H, W) -> (N, C), or (N, C, 1, 1)."""

    name = "global average"

    def __init__(self, inputs: tuple[int, ...], output: int, divisor: float) -> None:
        super().__init__(inputs, output)
        self.divisor = divisor

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        assert out is not None
        library.sum_pixels(arrays[0], self.divisor, out.reshape(out.shape[:2]))
        return out


class Add(Step):
    """a + b [then ReLU]."""

    def __init__(self, inputs: tuple[int, ...], output: int, relu: bool) -> None:
        super().__init__(inputs, output)
        self.relu, self.name = relu, "add, ReLU" if relu else "add"
        self.may_overwrite = inputs[0]

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        a, b = map(_as_planned, arrays)
        return library.add(a, b, self.relu, out)


class ReLU(Step):
    """max(x, 0)."""

    name = "ReLU"

    def __init__(self, inputs: tuple[int, ...], output: int) -> None:
        super().__init__(inputs, output)
        self.may_overwrite = inputs[0]

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        return library.relu(_as_planned(arrays[0]), out)


class BatchNorm(Step):
    """Batch norm that no convolution precedes (pre-activation networks), with its statistics as constants."""

    name = "batch norm"

    def __init__(
        self, inputs: tuple[int, ...], output: int, vectors: tuple[Array, ...], eps: float, relu: bool
    ) -> None:
        super().__init__(inputs, output)
        self.vectors, self.eps, self.relu = vectors, eps, relu

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        residual = arrays[1] if len(arrays) == 2 else None
        return library.batch_norm(arrays[0], *self.vectors, self.eps, residual, self.relu, out)


class Pad(Step):
    """A constant around x: the frame is written with the rest, every time, since buffers are shared."""

    name = "pad"

    def __init__(self, inputs: tuple[int, ...], output: int, widths: tuple[Pair, ...], value: float) -> None:
        super().__init__(inputs, output)
        self.widths, self.value = widths, value

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        assert out is not None
        x = arrays[0]
        out.fill(self.value)
        out[tuple(slice(before, before + n) for (before, _), n in zip(self.widths, x.shape, strict=True))] = x
        return out
