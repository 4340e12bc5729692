"""What the convolutions check of their arguments, and the forms in which padding may be written."""

from __future__ import annotations

from collections.abc import Sequence

from minires.backend.shapes import Pair, Window
from minires.core.settings import integer
from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError
from minires.ops.operands import check_floating, check_tensor, pair
from minires.ops.padding import pad

# By the number of axes: the shapes of the input, of the weight, and of a transposed convolution's weight.
SHAPES = {
    3: ("(N, C, L)", "(O, C/groups, k)", "(C, O/groups, k)"),
    4: ("(N, C, H, W)", "(O, C/groups, kh, kw)", "(C, O/groups, kh, kw)"),
}


def check_operands(op: str, x: Tensor, w: Tensor, b: Tensor | None, groups: int, transposed: bool = False) -> None:
    """Raise ShapeError or DtypeError unless x, w, b and groups fit; `op` ends in its number of dimensions, as conv2d.

    w is (O, C/groups, …), or of a transposed convolution (C, O/groups, …).
    """
    check_floating(op, x)
    integer(op, "groups", groups)
    for tensor in (w, b):
        if tensor is not None:
            check_tensor(op, tensor)
    axes = int(op[-2]) + 2
    if x.ndim != axes or w.ndim != axes:
        image, weight = SHAPES[axes][0], SHAPES[axes][1 + transposed]
        raise ShapeError(f"{op}: needs input {image} and weight {weight}, got {x.shape} and {w.shape}")
    if not w.numel():
        raise ShapeError(f"{op}: weight {w.shape} has an axis of length 0")
    inputs = w.shape[0] if transposed else w.shape[1] * groups
    outputs = w.shape[1] * groups if transposed else w.shape[0]
    if groups < 1 or w.shape[0] % groups or x.shape[1] != inputs:
        raise ShapeError(
            f"{op}: input {x.shape} has {x.shape[1]} channels, weight {w.shape} with groups={groups} needs "
            f"{inputs} (and {'input' if transposed else 'output'} channels divisible by groups)"
        )
    if b is not None and b.shape != (outputs,):
        raise ShapeError(f"{op}: bias {b.shape} must be ({outputs},) for weight {w.shape}")
    dtypes = {t.dtype for t in (x, w, b) if t is not None}
    if len(dtypes) > 1:
        raise DtypeError(
            f"{op}: input is {x.dtype}, weight is {w.dtype}; convert one with .astype() or model.to(dtype=…)"
        )


def sliding_window(
    op: str,
    x: Tensor,
    kernel: Pair,
    stride: int | Sequence[int],
    padding: int | str | Sequence[int],
    dilation: int | Sequence[int],
) -> tuple[Tensor, Window]:
    """The window, checked against x; and x, with one pixel more where padding "same" needs an odd number of them."""
    window = Window(kernel, pair(op, "stride", stride), dilation=pair(op, "dilation", dilation))
    if isinstance(padding, str):
        x, padding = _named_padding(op, x, padding, window)
    window = window._replace(padding=pair(op, "padding", padding))
    window.check(op, x.shape[2:])
    return x, window


def _named_padding(op: str, x: Tensor, name: str, window: Window) -> tuple[Tensor, Pair]:
    if name == "valid":
        return x, (0, 0)
    if name != "same":
        raise ShapeError(f"{op}: padding {name!r} is not known: use numbers, 'same' or 'valid'")
    if window.stride != (1, 1):
        raise ShapeError(f"{op}: padding 'same' needs stride 1, got {window.stride}")
    rows, columns = window.span[0] - 1, window.span[1] - 1
    if rows % 2 or columns % 2:
        x = pad(x, (0, columns % 2, 0, rows % 2))
    return x, (rows // 2, columns // 2)
