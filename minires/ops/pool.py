"""Pooling: many pixels become one, and the gradient knows where each came from.

Max pooling routes by index: a window hands on its largest element, and backward returns the gradient to that element
alone. Average pooling splits equally: every pixel of the window gets the same share.

    x = [3 9; 4 1], one window of 2×2:    max: y = 9, argmax = 1    average: y = 4.25
    gradient g of y comes back:           max: [0 g; 0 0]           average: [g/4 g/4; g/4 g/4]

How all windows are computed at once, without a loop over pixels, stands in `minires/backend/reference/pooling.py`;
docs/pooling.md follows both kinds with their numbers.

Routing and splitting are linear. The gradient of a linear map is its adjoint (transpose): that of routing is the gather
at the same indices, and that of splitting is the average itself. So derivatives of every order are here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minires import backend
from minires.backend import Array
from minires.backend.shapes import Pair, Window
from minires.core.function import Function
from minires.core.settings import flag
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.float16 import in_float32
from minires.ops.linear import matmul
from minires.ops.operands import check_floating, check_real, pair


class MaxPool2d(Function):
    """Each window hands on its largest element; the gradient returns to that element alone.

    x (N, C, H, W) -> y (N, C, Ho, Wo). Ties go to the first element in row-major order, as in PyTorch. Padding is −∞,
    so it never wins. `argmax` remembers the winner of each window as its kernel position i·kw + j inside the window.
    """

    saved_inputs = ()

    def __init__(self, window: Window, ceil_mode: bool) -> None:
        self.window, self.ceil_mode = window, ceil_mode

    def forward(self, x: Array) -> Array:
        y, self.argmax = backend.max_pool2d(x, self.window, self.ceil_mode)
        return y

    def backward(self, gy: Tensor) -> Tensor:
        return RouteToArgmax(self.argmax, self.inputs[0].shape[2:], self.window)(gy)

    def branches(self, x: Array) -> Array:
        self.forward(x)
        return self.argmax

    def on_branches(self, branches: Array, x: Array) -> Array:
        self.argmax = branches
        return backend.max_pool2d_gather(x, branches, self.window)


class RouteToArgmax(Function):
    """gx = 0; for each window: gx[its winner] += gy. A pixel that wins several windows receives the sum.

    gy (N, C, Ho, Wo) -> gx (N, C, H, W), where (H, W) = input_size.
    """

    saved_inputs = ()

    def __init__(self, argmax: Array, input_size: Pair, window: Window) -> None:
        self.argmax, self.input_size, self.window = argmax, input_size, window

    def forward(self, gy: Array) -> Array:
        return backend.max_pool2d_route(gy, self.argmax, self.input_size, self.window)

    def backward(self, ggx: Tensor) -> Tensor:
        return GatherAtArgmax(self.argmax, self.window)(ggx)


class GatherAtArgmax(Function):
    """y = x at each window's winner: the adjoint of routing, and what max pooling is once the winners are known.

    x (N, C, H, W) -> y (N, C, Ho, Wo).
    """

    saved_inputs = ()

    def __init__(self, argmax: Array, window: Window) -> None:
        self.argmax, self.window = argmax, window

    def forward(self, x: Array) -> Array:
        return backend.max_pool2d_gather(x, self.argmax, self.window)

    def backward(self, gy: Tensor) -> Tensor:
        return RouteToArgmax(self.argmax, self.inputs[0].shape[2:], self.window)(gy)


class AvgPool2d(Function):
    """y = 1/D · Σ over the window; each of its pixels gets gy/D back.

    x (N, C, H, W) -> y (N, C, Ho, Wo). D is the number of pixels in the window: with `count_include_pad` of those
    inside the padded image, else of those inside the image itself. In ceil mode the last window may hang over the edge;
    what lies beyond the padding never counts. Raises ShapeError for a window with dilation.
    """

    saved_inputs = ()

    def __init__(self, window: Window, ceil_mode: bool, count_include_pad: bool) -> None:
        _check_undilated(window)
        self.window, self.ceil_mode, self.count_include_pad = window, ceil_mode, count_include_pad

    def forward(self, x: Array) -> Array:
        return backend.avg_pool2d(x, self.window, self.ceil_mode, self.count_include_pad)

    def backward(self, gy: Tensor) -> Tensor:
        return SplitEqually(self.inputs[0].shape[2:], self.window, self.ceil_mode, self.count_include_pad)(gy)


class SplitEqually(Function):
    """gx = 0; for each window: every pixel of it gets gy/D. The adjoint of averaging, with the D of `AvgPool2d`.

    gy (N, C, Ho, Wo) -> gx (N, C, H, W), where (H, W) = input_size. Raises ShapeError for a window with dilation.
    """

    saved_inputs = ()

    def __init__(self, input_size: Pair, window: Window, ceil_mode: bool, count_include_pad: bool) -> None:
        _check_undilated(window)
        self.input_size, self.window = input_size, window
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, gy: Array) -> Array:
        return backend.avg_pool2d_split(gy, self.input_size, self.window, self.count_include_pad)

    def backward(self, ggx: Tensor) -> Tensor:
        return AvgPool2d(self.window, self.ceil_mode, self.count_include_pad)(ggx)


def _check_undilated(window: Window) -> None:
    if window.dilation != (1, 1):
        raise ShapeError(f"average pooling has no dilation, got a window with dilation {window.dilation}")


# ---------------------------------------------------------------------------------------------------------------------

Size = int | Sequence[int]


def _window(op: str, x: Tensor, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size) -> Window:
    """The window, checked against x (N, C, H, W). Raises ShapeError, DtypeError."""
    check_floating(op, x)
    if x.ndim != 4:
        raise ShapeError(f"{op}: needs input (N, C, H, W), got {x.shape}")
    window = Window(
        pair(op, "kernel_size", kernel_size),
        pair(op, "stride", kernel_size if stride is None else stride),
        pair(op, "padding", padding),
        pair(op, "dilation", dilation),
    )
    window.check(op, x.shape[2:])
    if any(p > span // 2 for p, span in zip(window.padding, window.span, strict=True)):
        raise ShapeError(
            f"{op}: padding {window.padding} is more than half of kernel {window.kernel}: a window could lie in it "
            "entirely"
        )
    return window


def max_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest element of each window (torch.nn.functional.max_pool2d); stride defaults to kernel_size."""
    window = _window("max_pool2d", input, kernel_size, stride, padding, dilation)
    check_real("max_pool2d", input)
    return MaxPool2d(window, flag("max_pool2d", "ceil_mode", ceil_mode))(input)


def avg_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window (torch.nn.functional.avg_pool2d); padding counts as zeros, or not at all."""
    window = _window("avg_pool2d", input, kernel_size, stride, padding, dilation=1)
    ceil_mode = flag("avg_pool2d", "ceil_mode", ceil_mode)
    return AvgPool2d(window, ceil_mode, flag("avg_pool2d", "count_include_pad", count_include_pad))(input)


@in_float32
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
