"""Power-mean pooling: (Σ xᵖ)^(1/p) over each window."""

from __future__ import annotations

import math
from collections.abc import Sequence

from minires.backend.shapes import Window
from minires.core.settings import flag, number
from minires.core.tensor import Tensor
from minires.ops.arithmetic import absolute
from minires.ops.float16 import in_float32
from minires.ops.image_axes import as_image, as_sequence, one_or_many
from minires.ops.pool import AvgPool2d, MaxPool2d
from minires.ops.pool_arguments import pooling_window, row_window
from minires.ops.rectifiers import relu

Size = int | Sequence[int]


@in_float32
@one_or_many(4)
def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """(Σ xᵖ)^(1/p) over each window, p = norm_type (torch.nn.functional.lp_pool2d).

    It is the sum for 1, the maximum of |x| for ∞. input (N, C, H, W) or (C, H, W) -> (N, C, Ho, Wo). Where Σ xᵖ is 0,
    the gradient is 0, as in torch.
    """
    window = pooling_window("lp_pool2d", input, kernel_size, stride)
    return _lp_pool("lp_pool2d", input, norm_type, window, ceil_mode)


@in_float32
@one_or_many(3)
def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """(Σ xᵖ)^(1/p) over each window of (N, C, L) or (C, L) (torch.nn.functional.lp_pool1d), as `lp_pool2d`."""
    window = row_window("lp_pool1d", input, kernel_size, stride)
    return as_sequence(_lp_pool("lp_pool1d", as_image(input), norm_type, window, ceil_mode))


def _lp_pool(op: str, x: Tensor, norm_type: float, window: Window, ceil_mode: bool) -> Tensor:
    p, ceil_mode = number(op, "norm_type", norm_type), flag(op, "ceil_mode", ceil_mode)
    if not p:
        raise ValueError(f"{op}: norm_type = 0 must not be 0")
    if abs(p) == math.inf:
        largest = MaxPool2d(window, ceil_mode)(absolute(x) if p > 0 else -absolute(x))
        return largest if p > 0 else -largest
    total = AvgPool2d(window, ceil_mode, True)(x**p) * float(window.area)
    return (relu(total) - relu(-total)) ** (1 / p)  # this difference is the total; its gradient at 0 is 0
