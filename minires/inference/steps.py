"""The steps of a plan. Each computes one array from others, into a buffer that the plan assigns.

A step with `needs_buffer` writes into the array it is given. Other steps return a new array, or a view of one of their
inputs (a reshape, a slice). `library` is the module of the C kernels; the plan uses it only for arrays it supports.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minires import backend
from minires.backend import Array
from minires.backend.cpu import algorithms, library
from minires.backend.shapes import Pair, Window
from minires.core.function import Function
from minires.inference.packed_weights import FoldedWeights
from minires.inference.trace import Operand

Arrays = Sequence[Array]


class Step:
    """Base class of all steps.

    Attributes:
        name: a description for `CompiledModel.describe`.
        inputs: the numbers of the values that the step reads.
        output: the number of the value that it computes.
        needs_buffer: whether `run` writes into `out`.
        may_overwrite: the input whose buffer `out` may share, because the step reads each element of it for the last
            time before it writes the same element; None for no input.
    """

    name = ""
    needs_buffer = True
    may_overwrite: int | None = None

    def __init__(self, inputs: tuple[int, ...], output: int) -> None:
        self.inputs, self.output = inputs, output

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        """Compute the value from the arrays of `inputs`."""
        raise NotImplementedError


class Replay(Step):
    """Any other operation: calls its `forward`."""

    needs_buffer = False

    def __init__(self, op: Function, operands: tuple[Operand, ...], output: int) -> None:
        super().__init__(tuple(each for each in operands if isinstance(each, int)), output)
        self.operands, self.name = operands, op.name
        self.op = op.fresh_copy()  # without the results of the traced run
        for attribute, value in vars(self.op).items():
            setattr(self.op, attribute, _copied(value))

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        given = iter(arrays)
        op = copy.copy(self.op)  # forward may store something on the op, and several threads may run this step
        result = op.forward(*[next(given) if isinstance(each, int) else each for each in self.operands])
        return backend.as_array(result, arrays[0])


def _copied(value: Any) -> Any:
    """An attribute of an op with copied arrays (the mask of a `where`, the key of an index), which the user may own."""
    if type(value) in (tuple, list):
        return type(value)(map(_copied, value))
    return value.copy() if backend.is_array(value) else value


def _as_planned(array: Array) -> Array:
    """`array` aligned and in the layout of the buffers; only the model's input may have another layout."""
    return library.channels_last(array, None) if array.ndim == 4 else np.require(array, requirements=("C", "ALIGNED"))


class ToChannelsLast(Step):
    """Converts the input to channels-last, the memory layout of the kernels."""

    name = "to channels-last"

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        return library.channels_last(arrays[0], out)


def activation_name(relu: bool, most: float) -> str:
    """For the description of a step: "", ", ReLU", or ", ReLU6" for a ReLU that is limited to 6."""
    return f", ReLU{'' if most == math.inf else f'{most:g}'}" if relu else ""


class Convolution(Step):
    """y = x ∗ w + b [+ residual] [then ReLU], with batch norm folded into w and b, and w packed once.

    most: the limit of the ReLU, min(max(y, 0), most): 6 for ReLU6, infinity for the usual one.
    """

    def __init__(
        self,
        inputs: tuple[int, ...],
        output: int,
        weights: FoldedWeights,
        w: Array,
        relu: bool,
        most: float,
        shape: algorithms.Shape,
        algorithm: int,
    ) -> None:
        super().__init__(inputs, output)
        self.weights = weights
        layout = (algorithm, shape.groups)
        self.packed = weights.in_layout(layout, lambda: library.pack(w, shape.groups, algorithm))
        self.relu, self.most, self.shape, self.algorithm = relu, most, shape, algorithm
        if len(inputs) == 2:
            self.may_overwrite = inputs[1]
        kernel = "×".join(map(str, shape.window.kernel))
        extras = " + bias" * (weights.bias is not None) + " + residual" * (len(inputs) == 2)
        groups = f", {shape.groups} groups" * (shape.groups > 1 and algorithm != algorithms.DEPTHWISE)
        self.name = f"conv {kernel}{extras}{activation_name(relu, most)} ({algorithms.name(algorithm)}{groups})"

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        x, residual = arrays[0], arrays[1] if len(arrays) == 2 else None
        shape = self.shape
        return library.conv2d_packed(
            x,
            self.packed,
            (shape.outputs, *shape.window.kernel),
            self.weights.bias,
            residual,
            self.relu,
            *shape.window[1:],
            shape.groups,
            self.algorithm,
            out,
            self.most,
        )


class Linear(Convolution):
    """y = x Wᵀ + b: a 1×1 convolution of images with one pixel."""

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        assert out is not None
        super().run([rows.reshape(*rows.shape, 1, 1) for rows in arrays], out.reshape(*out.shape, 1, 1))
        return out


class FoldedConvolution(Step):
    """The same through the backend, for what the C kernels do not support (other dtypes, a GPU)."""

    needs_buffer = False

    def __init__(
        self,
        inputs: tuple[int, ...],
        output: int,
        weights: FoldedWeights,
        w: Array,
        relu: bool,
        most: float,
        window: Window,
        groups: int,
    ) -> None:
        super().__init__(inputs, output)
        self.w = weights.in_layout(("plain",), lambda: w)
        self.weights, self.relu, self.most, self.window, self.groups = weights, relu, most, window, groups
        self.name = f"conv {w.shape[2]}×{w.shape[3]}"

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        y = backend.conv2d(arrays[0], self.w, self.weights.bias, self.window, self.groups)
        if len(arrays) == 2:
            y = backend.add(y, arrays[1])
        return self.limited(backend.relu(y)) if self.relu else y

    def limited(self, y: Array) -> Array:
        """min(y, most), where the ReLU has a limit."""
        if self.most == math.inf:
            return y
        return backend.minimum(y, backend.as_array(y.dtype.type(self.most), y))


class MaxPool(Step):
    """The maximum of each window, without its index."""

    name = "max pool"

    def __init__(self, inputs: tuple[int, ...], output: int, output_size: Pair, window: Window) -> None:
        super().__init__(inputs, output)
        self.output_size, self.window = output_size, window

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        return library.max_pool2d(arrays[0], self.output_size, *self.window, out)


class AvgPool(Step):
    """The mean of each window."""

    name = "average pool"

    def __init__(
        self, inputs: tuple[int, ...], output: int, output_size: Pair, window: Window, count_include_pad: bool
    ) -> None:
        super().__init__(inputs, output)
        self.output_size, self.window, self.count_include_pad = output_size, window, count_include_pad

    def run(self, arrays: Arrays, out: Array | None) -> Array:
        return library.avg_pool2d(arrays[0], self.output_size, *self.window[:3], self.count_include_pad, out)


class GlobalSum(Step):
    """Σ over the pixels / divisor: (N, C, H, W) -> (N, C), or (N, C, 1, 1)."""

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
    """Batch norm with constant statistics that does not follow a convolution (pre-activation networks)."""

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
    """x with a constant border. The border is written in every call, because buffers are shared."""

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
