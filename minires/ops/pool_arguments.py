"""What the pooling functions check of their arguments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minires import backend
from minires.backend.shapes import Window
from minires.core.settings import integer
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.image_axes import row
from minires.ops.operands import check_floating, pair

Size = int | Sequence[int]


def pooling_window(
    op: str, x: Tensor, kernel_size: Size, stride: Size | None, padding: Size = 0, dilation: Size = 1
) -> Window:
    """The window, checked against x (N, C, H, W). Raises ShapeError, DtypeError."""
    check_floating(op, x)
    if x.ndim != 4:
        raise ShapeError(f"{op}: needs input (N, C, H, W) or (C, H, W), got {x.shape}")
    window = Window(
        pair(op, "kernel_size", kernel_size),
        pair(op, "stride", kernel_size if stride is None or _is_empty(stride) else stride),
        pair(op, "padding", padding),
        pair(op, "dilation", dilation),
    )
    return _checked(op, window, x.shape)


def row_window(
    op: str, x: Tensor, kernel_size: Size, stride: Size | None, padding: Size = 0, dilation: Size = 1
) -> Window:
    """The window of one row, checked against x (N, C, L). Raises ShapeError, DtypeError."""
    check_floating(op, x)
    if x.ndim != 3:
        raise ShapeError(f"{op}: needs input (N, C, L) or (C, L), got {x.shape}")
    window = Window(
        row(op, "kernel_size", kernel_size, 1),
        row(op, "stride", kernel_size if stride is None or _is_empty(stride) else stride, 1),
        row(op, "padding", padding, 0),
        row(op, "dilation", dilation, 1),
    )
    return _checked(op, window, (1, x.shape[2]))


def _is_empty(stride: Size) -> bool:
    return isinstance(stride, (tuple, list)) and not stride  # torch takes [] for None


def _checked(op: str, window: Window, shape: Sequence[int]) -> Window:
    window.check(op, (shape[-2], shape[-1]))
    if any(p > span // 2 for p, span in zip(window.padding, window.span, strict=True)):
        raise ShapeError(
            f"{op}: padding {window.padding} is more than half of kernel {window.kernel}: a window could lie in it "
            "entirely"
        )
    return window


def divided_by(divisor: int, op: str, x: Tensor, window: Window, ceil_mode: bool) -> Tensor:
    """(Ho, Wo): D/divisor, which makes of means over D pixels, the padding counted, sums divided by `divisor`."""
    if not integer(op, "divisor_override", divisor):
        raise ValueError(f"{op}: divisor_override must not be 0")
    counts = []
    outputs = window.output_size(x.shape[2:], ceil_mode)
    for n, count, kernel, stride, padding in zip(x.shape[2:], outputs, *window[:3], strict=True):
        start = np.arange(count) * stride - padding
        counts.append(np.minimum(start + kernel, n + padding) - start)  # in ceil mode the last may hang over
    sizes = counts[0][:, None] * counts[1] / divisor
    return Tensor(backend.to_device(sizes.astype(x.dtype), x.device))
