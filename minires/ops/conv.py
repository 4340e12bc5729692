"""Convolution, and why its gradients are convolutions too.

y = x ∗ w is linear in x and linear in w. Three bilinear maps make a closed family:

    conv2d             (x, w)  -> y       what the layer computes
    conv2d_grad_input  (gy, w) -> gx      every output position hands its gradient back through w
    conv2d_grad_weight (x, gy) -> gw      every weight collects the gradient of the positions it took part in

The gradient of any of them is made of the other two, so derivatives of every order are here. How each is computed,
by im2col and a matrix product, stands in `minires/backend/reference/convolution.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from minires import backend
from minires.backend import Array
from minires.backend.shapes import Pair, check_window
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError
from minires.ops.operands import check_floating, pair
from minires.ops.shape import pad


class _Convolution(Function):
    """What the three maps share: the geometry of the sliding window."""

    def __init__(self, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> None:
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    @property
    def geometry(self) -> tuple[Pair, Pair, Pair, int]:
        """(stride, padding, dilation, groups)."""
        return self.stride, self.padding, self.dilation, self.groups


class Conv2d(_Convolution):
    """y[n,o,p,q] = b[o] + Σ_{c,i,j} x[n, c, ps + id − P, qs + jd − P] · w[o,c,i,j].

    x (N, C, H, W), w (O, C/groups, kh, kw), b (O,) or absent -> y (N, O, Ho, Wo).
    ∂L/∂x = grad_input(gy, w),  ∂L/∂w = grad_weight(x, gy),  ∂L/∂b = Σ_{n,p,q} gy.
    """

    saved_inputs = (0, 1)

    def forward(self, x: Array, w: Array, b: Array | None = None) -> Array:
        return backend.conv2d(x, w, b, *self.geometry)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, w, *bias = self.inputs
        gx = Conv2dGradInput(x.shape[2:], *self.geometry)(gy, w) if self.needs_input_grad[0] else None
        gw = Conv2dGradWeight(w.shape[2:], *self.geometry)(x, gy) if self.needs_input_grad[1] else None
        gb = gy.sum((0, 2, 3)) if bias and self.needs_input_grad[2] else None
        return (gx, gw, gb) if bias else (gx, gw)


class Conv2dGradInput(_Convolution):
    """gx[n,c,h,v] = Σ gy[n,o,p,q] · w[o,c,i,j] over all (p,q), (i,j) with ps + id − P = h, qs + jd − P = v.

    Also known as transposed convolution. In gy it is the adjoint of conv2d, so its own gradient is conv2d.
    """

    def __init__(self, image: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> None:
        super().__init__(stride, padding, dilation, groups)
        self.image = image

    def forward(self, gy: Array, w: Array) -> Array:
        return backend.conv2d_grad_input(gy, w, self.image, *self.geometry)

    def backward(self, ggx: Tensor) -> tuple[Tensor | None, ...]:
        gy, w = self.inputs
        to_gy = Conv2d(*self.geometry)(ggx, w) if self.needs_input_grad[0] else None
        to_w = Conv2dGradWeight(w.shape[2:], *self.geometry)(ggx, gy) if self.needs_input_grad[1] else None
        return to_gy, to_w


class Conv2dGradWeight(_Convolution):
    """gw[o,c,i,j] = Σ_{n,p,q} gy[n,o,p,q] · x[n, c, ps + id − P, qs + jd − P]."""

    def __init__(self, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> None:
        super().__init__(stride, padding, dilation, groups)
        self.kernel = kernel

    def forward(self, x: Array, gy: Array) -> Array:
        return backend.conv2d_grad_weight(x, gy, self.kernel, *self.geometry)

    def backward(self, ggw: Tensor) -> tuple[Tensor | None, ...]:
        x, gy = self.inputs
        to_x = Conv2dGradInput(x.shape[2:], *self.geometry)(gy, ggw) if self.needs_input_grad[0] else None
        to_gy = Conv2d(*self.geometry)(x, ggw) if self.needs_input_grad[1] else None
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

    input (N, C, H, W), weight (O, C/groups, kh, kw), bias (O,) -> (N, O, Ho, Wo) with
    Ho = ⌊(H + 2·padding − dilation·(kh − 1) − 1)/stride⌋ + 1. padding may be "valid" (none) or "same" (Ho = H; needs
    stride 1; an odd total puts the extra pixel right and below). Raises ShapeError, DtypeError.
    """
    _check_operands(input, weight, bias, groups)
    stride, dilation = pair("conv2d", "stride", stride), pair("conv2d", "dilation", dilation)
    kernel: Pair = weight.shape[2:]
    if isinstance(padding, str):
        input, padding = _named_padding(input, padding, kernel, stride, dilation)
    padding = pair("conv2d", "padding", padding)
    check_window("conv2d", input.shape[2:], kernel, stride, padding, dilation)
    tensors = (input, weight) if bias is None else (input, weight, bias)
    return Conv2d(stride, padding, dilation, groups)(*tensors)


def _named_padding(x: Tensor, name: str, kernel: Pair, stride: Pair, dilation: Pair) -> tuple[Tensor, Pair]:
    if name == "valid":
        return x, (0, 0)
    if name != "same":
        raise ShapeError(f"conv2d: padding {name!r} is not known: use numbers, 'same' or 'valid'")
    if stride != (1, 1):
        raise ShapeError(f"conv2d: padding 'same' needs stride 1, got {stride}")
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    odd_h, odd_w = total[0] % 2, total[1] % 2
    if odd_h or odd_w:
        x = pad(x, (0, odd_w, 0, odd_h))
    return x, (total[0] // 2, total[1] // 2)


def _check_operands(x: Tensor, w: Tensor, b: Tensor | None, groups: int) -> None:
    check_floating("conv2d", x)
    if x.ndim != 4 or w.ndim != 4:
        raise ShapeError(
            f"conv2d: needs input (N, C, H, W) and weight (O, C/groups, kh, kw), got {x.shape} and {w.shape}"
        )
    if not w.numel():
        raise ShapeError(f"conv2d: weight {w.shape} has an axis of length 0")
    if groups < 1 or w.shape[0] % groups or x.shape[1] != w.shape[1] * groups:
        raise ShapeError(
            f"conv2d: input {x.shape} has {x.shape[1]} channels, weight {w.shape} with groups={groups} needs "
            f"{w.shape[1] * groups} (and output channels divisible by groups)"
        )
    if b is not None and b.shape != (w.shape[0],):
        raise ShapeError(f"conv2d: bias {b.shape} must be ({w.shape[0]},) for weight {w.shape}")
    dtypes = {t.dtype for t in (x, w, b) if t is not None}
    if len(dtypes) > 1:
        raise DtypeError(
            f"conv2d: input is {x.dtype}, weight is {w.dtype}; convert one with .astype() or model.to(dtype=…)"
        )
