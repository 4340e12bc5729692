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
from typing import Any

from minires import backend
from minires.backend import Array
from minires.backend.shapes import Pair, Window
from minires.core.function import Function
from minires.core.settings import flag
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.image_axes import as_batch, as_given
from minires.ops.operands import check_real
from minires.ops.pool_arguments import divided_by, pooling_window
from minires.ops.unpool import MaxPool2dIndices

Size = int | Sequence[int]


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


def max_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window (torch.nn.functional.max_pool2d); stride defaults to kernel_size.

    input (N, C, H, W) or (C, H, W) -> (N, C, Ho, Wo). With `return_indices` a pair: this, and where each element stands
    in its image, as an index (int64) into the H·W pixels row by row. Raises ShapeError, DtypeError.
    """
    x, ceil_mode = as_batch(input), flag("max_pool2d", "ceil_mode", ceil_mode)
    window = pooling_window("max_pool2d", x, kernel_size, stride, padding, dilation)
    check_real("max_pool2d", x)
    y = as_given(MaxPool2d(window, ceil_mode)(x), input)
    if not flag("max_pool2d", "return_indices", return_indices):
        return y
    return y, as_given(MaxPool2dIndices(window, ceil_mode)(x), input)


def avg_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of each window (torch.nn.functional.avg_pool2d); padding counts as zeros, or not at all.

    input (N, C, H, W) or (C, H, W) -> (N, C, Ho, Wo). With `divisor_override`, the window's sum divided by that.
    """
    x, ceil_mode = as_batch(input), flag("avg_pool2d", "ceil_mode", ceil_mode)
    window = pooling_window("avg_pool2d", x, kernel_size, stride, padding)
    counted = flag("avg_pool2d", "count_include_pad", count_include_pad) or divisor_override is not None
    y = AvgPool2d(window, ceil_mode, counted)(x)
    if divisor_override is not None:
        y = y * divided_by(divisor_override, "avg_pool2d", x, window, ceil_mode)
    return as_given(y, input)
