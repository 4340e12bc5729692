"""Pooling: many pixels become one, and the gradient knows where each came from.

Max pooling routes by index: a window hands on its largest element, and backward returns the gradient to that element
alone. Average pooling splits equally: every pixel of the window gets the same share.

    x = [3 9; 4 1], one window of 2×2:    max: y = 9, winner number 1    average: y = 4.25
    gradient g of y comes back:           max: [0 g; 0 0]                average: [g/4 g/4; g/4 g/4]

How the windows are walked, without a loop over pixels, stands in `minires/backend/reference/pooling.py`.

Both pairs close under differentiation. Routing is linear, and its adjoint is the gather at the same indices; splitting
is linear, and its adjoint is the average itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minires import backend
from minires.backend import Array
from minires.backend.shapes import Pair, check_window
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.linear import matmul
from minires.ops.operands import check_floating, pair


class MaxPool2d(Function):
    """Each window hands on its largest element; the gradient returns to that element alone.

    x (N, C, H, W) -> y (N, C, Ho, Wo). Ties go to the first element in row-major order, as in PyTorch. Padding is −∞,
    so it never wins. `argmax` remembers the winner of each window as its place i·kw + j inside the window.
    """

    saved_inputs = ()

    def __init__(self, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> None:
        self.kernel, self.stride, self.padding, self.dilation = kernel, stride, padding, dilation
        self.ceil_mode = ceil_mode

    def forward(self, x: Array) -> Array:
        y, self.argmax = backend.max_pool2d(x, self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)
        return y

    def backward(self, gy: Tensor) -> Tensor:
        windows = (self.kernel, self.stride, self.padding, self.dilation)
        return RouteToArgmax(self.argmax, self.inputs[0].shape[2:], *windows)(gy)

    def branches(self, x: Array) -> Array:
        self.forward(x)
        return self.argmax

    def on_branches(self, branches: Array, x: Array) -> Array:
        self.argmax = branches
        return backend.max_pool2d_gather(x, branches, self.kernel, self.stride, self.padding, self.dilation)


class RouteToArgmax(Function):
    """gx = 0; for each window: gx[its winner] += gy. A pixel that wins several windows receives the sum."""

    saved_inputs = ()

    def __init__(self, argmax: Array, image: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> None:
        self.argmax, self.image, self.windows = argmax, image, (kernel, stride, padding, dilation)

    def forward(self, gy: Array) -> Array:
        return backend.max_pool2d_route(gy, self.argmax, self.image, *self.windows)

    def backward(self, ggx: Tensor) -> Tensor:
        return GatherAtArgmax(self.argmax, self.image, *self.windows)(ggx)


class GatherAtArgmax(RouteToArgmax):  # the same windows and winners, the other way
    """y = x at each window's winner: the adjoint of routing, and what pooling is once the winners are known."""

    def forward(self, x: Array) -> Array:
        return backend.max_pool2d_gather(x, self.argmax, *self.windows)

    def backward(self, gy: Tensor) -> Tensor:
        return RouteToArgmax(self.argmax, self.image, *self.windows)(gy)


class AvgPool2d(Function):
    """y = 1/D · Σ over the window; each of its pixels gets gy/D back.

    D is the number of pixels in the window: with padding counted those inside the padded image, else those inside the
    image itself. In ceil mode the last window may hang over the edge; what lies beyond the padding never counts.
    """

    saved_inputs = ()

    def __init__(self, kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool, count_include_pad: bool) -> None:
        self.kernel, self.stride, self.padding = kernel, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Array) -> Array:
        return backend.avg_pool2d(x, self.kernel, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def backward(self, gy: Tensor) -> Tensor:
        windows = (self.kernel, self.stride, self.padding)
        return SplitEqually(self.inputs[0].shape[2:], *windows, self.ceil_mode, self.count_include_pad)(gy)


class SplitEqually(Function):
    """gx = 0; for each window: every pixel of it gets gy/D. The adjoint of averaging."""

    saved_inputs = ()

    def __init__(
        self, image: Pair, kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool, count_include_pad: bool
    ) -> None:
        self.image, self.kernel, self.stride, self.padding = image, kernel, stride, padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, gy: Array) -> Array:
        return backend.avg_pool2d_split(gy, self.image, self.kernel, self.stride, self.padding, self.count_include_pad)

    def backward(self, ggx: Tensor) -> Tensor:
        return AvgPool2d(self.kernel, self.stride, self.padding, self.ceil_mode, self.count_include_pad)(ggx)


# ---------------------------------------------------------------------------------------------------------------------

Size = int | Sequence[int]


def _windows(
    op: str, x: Tensor, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size
) -> tuple[Pair, Pair, Pair, Pair]:
    check_floating(op, x)
    if x.ndim != 4:
        raise ShapeError(f"{op}: needs input (N, C, H, W), got {x.shape}")
    kernel = pair(op, "kernel_size", kernel_size)
    windows = (
        kernel,
        kernel if stride is None else pair(op, "stride", stride),
        pair(op, "padding", padding),
        pair(op, "dilation", dilation),
    )
    check_window(op, x.shape[2:], *windows)
    if any(p > (d * (k - 1) + 1) // 2 for k, p, d in zip(kernel, windows[2], windows[3], strict=True)):
        raise ShapeError(
            f"{op}: padding {windows[2]} is more than half of kernel {kernel}: a window could lie in it entirely"
        )
    return windows


def max_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest element of each window (torch.nn.functional.max_pool2d); stride defaults to kernel_size."""
    return MaxPool2d(*_windows("max_pool2d", input, kernel_size, stride, padding, dilation), ceil_mode)(input)


def avg_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window (torch.nn.functional.avg_pool2d); padding counts as zeros, or not at all."""
    kernel, strides, paddings, _ = _windows("avg_pool2d", input, kernel_size, stride, padding, 1)
    return AvgPool2d(kernel, strides, paddings, ceil_mode, count_include_pad)(input)


def adaptive_avg_pool2d(input: Tensor, output_size: Size) -> Tensor:
    """Means over an output_size grid of bins: rows ⌊iH/Ho⌋ … ⌈(i+1)H/Ho⌉ (torch.nn.functional.adaptive_avg_pool2d).

    Averaging along one axis is a matrix, so y = A_rows · x · A_columnsᵀ; one bin is the global average.
    """
    ho, wo = pair("adaptive_avg_pool2d", "output_size", output_size)
    check_floating("adaptive_avg_pool2d", input)
    if input.ndim != 4 or not min(input.shape[2:]) or min(ho, wo) < 1:
        raise ShapeError(f"adaptive_avg_pool2d: cannot pool input {input.shape} to {(ho, wo)}")
    if (ho, wo) == (1, 1):
        return input.mean((2, 3), keepdim=True)
    return matmul(matmul(_averaging(input, ho, 2), input), _averaging(input, wo, 3).T)


def _averaging(x: Tensor, bins: int, axis: int) -> Tensor:
    """(bins, n): row i holds 1/length on the stretch of axis that bin i averages."""
    n = x.shape[axis]
    matrix = np.zeros((bins, n))
    for i in range(bins):
        start, stop = i * n // bins, -(-(i + 1) * n // bins)
        matrix[i, start:stop] = 1 / (stop - start)
    return Tensor(backend.to_device(matrix.astype(x.dtype), x.device))


def global_avg_pool2d(input: Tensor) -> Tensor:
    """The mean of each channel: (N, C, H, W) -> (N, C)."""
    check_floating("global_avg_pool2d", input)
    if input.ndim != 4:
        raise ShapeError(f"global_avg_pool2d: needs input (N, C, H, W), got {input.shape}")
    return input.mean((2, 3))
