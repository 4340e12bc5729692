"""Convolution, and why its gradients are convolutions too.

y = x ∗ w is bilinear: linear in x while w is fixed, and linear in w while x is fixed. So are its two gradients:

    conv2d             (x, w)  -> y       what the layer computes
    conv2d_grad_input  (gy, w) -> gx      every output position hands its gradient back through w
    conv2d_grad_weight (x, gy) -> gw      every weight collects the gradient of the positions it took part in

The gradients of each of the three are made of the other two. A backward here applies them as ops, which are recorded
only under create_graph=True; so derivatives of every order are here. docs/convolution.md follows one convolution with
all its numbers, by im2col and a matrix product (`minires/backend/reference/convolution.py`).

Symbols: n image, c input channel, o output channel, (p, q) output position, (i, j) kernel position, (h, v) pixel;
s stride, d dilation, P padding of the window.
"""

from __future__ import annotations

from collections.abc import Sequence

from minires import backend
from minires.backend import Array
from minires.backend.shapes import Pair, Window
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.ops.conv_arguments import check_operands, sliding_window
from minires.ops.image_axes import as_batch, as_given


class _Convolution(Function):
    """What the three maps share: the sliding window, and the number of groups."""

    def __init__(self, window: Window, groups: int) -> None:
        self.window, self.groups = window, groups


class Conv2d(_Convolution):
    """y[n,o,p,q] = b[o] + Σ_{c,i,j} x[n, c, p·s + i·d − P, q·s + j·d − P] · w[o,c,i,j].

    x (N, C, H, W), 0 outside; w (O, C/groups, kh, kw), c over o's group; b (O,) or absent -> y (N, O, Ho, Wo).
    ∂L/∂x = grad_input(gy, w),  ∂L/∂w = grad_weight(x, gy),  ∂L/∂b = Σ_{n,p,q} gy.
    """

    saved_inputs = (0, 1)

    def forward(self, x: Array, w: Array, b: Array | None = None) -> Array:
        return backend.conv2d(x, w, b, self.window, self.groups)  # the reference's is in reference/blocking.py

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, w, *bias = self.inputs
        gx = gw = gb = None
        if self.needs_input_grad[0]:
            plus = self.take_sent(0)
            gx = Conv2dGradInput(x.shape[2:], self.window, self.groups)(gy, w, *([] if plus is None else [plus]))
        if self.needs_input_grad[1]:
            gw = Conv2dGradWeight(self.window, self.groups)(x, gy)
        if bias and self.needs_input_grad[2]:
            gb = gy.sum((0, 2, 3))
        return (gx, gw, gb) if bias else (gx, gw)


class Conv2dGradInput(_Convolution):
    """gx[n,c,h,v] = Σ gy[n,o,p,q] · w[o,c,i,j] over all o, (p,q), (i,j) with p·s + i·d − P = h, q·s + j·d − P = v.

    gy (N, O, Ho, Wo), w (O, C/groups, kh, kw) -> gx (N, C, H, W), where (H, W) = input_size; `plus`, like gx, is added
    in the same pass over memory. It is also known as transposed convolution: as a map of gy it is the adjoint
    (transpose) of conv2d, so its own gradient is conv2d.
    """

    def __init__(self, input_size: Pair, window: Window, groups: int) -> None:
        super().__init__(window, groups)
        self.input_size = input_size

    def forward(self, gy: Array, w: Array, plus: Array | None = None) -> Array:
        return backend.conv2d_grad_input(gy, w, self.input_size, self.window, self.groups, plus)

    def backward(self, ggx: Tensor) -> tuple[Tensor | None, ...]:
        gy, w, *plus = self.inputs
        to_gy = Conv2d(self.window, self.groups)(ggx, w) if self.needs_input_grad[0] else None
        to_w = Conv2dGradWeight(self.window, self.groups)(ggx, gy) if self.needs_input_grad[1] else None
        return (to_gy, to_w, ggx) if plus else (to_gy, to_w)


class Conv2dGradWeight(_Convolution):
    """gw[o,c,i,j] = Σ_{n,p,q} gy[n,o,p,q] · x[n, c, p·s + i·d − P, q·s + j·d − P].

    x (N, C, H, W), gy (N, O, Ho, Wo) -> gw (O, C/groups, kh, kw).
    """

    def forward(self, x: Array, gy: Array) -> Array:
        return backend.conv2d_grad_weight(x, gy, self.window, self.groups)

    def backward(self, ggw: Tensor) -> tuple[Tensor | None, ...]:
        x, gy = self.inputs
        to_x = Conv2dGradInput(x.shape[2:], self.window, self.groups)(gy, ggw) if self.needs_input_grad[0] else None
        to_gy = Conv2d(self.window, self.groups)(x, ggw) if self.needs_input_grad[1] else None
        return to_x, to_gy


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | str | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of images with kernels (torch.nn.functional.conv2d).

    input (N, C, H, W) or (C, H, W), weight (O, C/groups, kh, kw), bias (O,) -> (N, O, Ho, Wo) with
    Ho = ⌊(H + 2·padding − dilation·(kh − 1) − 1)/stride⌋ + 1. padding may be "valid" (none) or "same" (Ho = H; needs
    stride 1; an odd total puts the extra pixel right and below). Raises ShapeError, DtypeError.
    """
    x = as_batch(input)
    check_operands("conv2d", x, weight, bias, groups)
    x, window = sliding_window("conv2d", x, weight.shape[2:], stride, padding, dilation)
    y = Conv2d(window, groups)(x, weight) if bias is None else Conv2d(window, groups)(x, weight, bias)
    return as_given(y, input)
