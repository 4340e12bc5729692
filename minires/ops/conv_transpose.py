"""Transposed convolution: the map that takes the gradient of a convolution's output to that of its input.

    conv2d            (N, C, H, W)   ->  (N, O, Ho, Wo)     Ho = ⌊(H + 2P − span)/s⌋ + 1
    conv_transpose2d  (N, O, Ho, Wo) ->  (N, C, H, W)       H = (Ho − 1)·s − 2P + span + output_padding

As a layer it enlarges images with weights that are learned (decoders, GANs). Its node in the graph is
`Conv2dGradInput`, whose gradients are a convolution and the gradient of its weight (`ops/conv.py`). Where s > 1,
several H have the same Ho, and output_padding chooses among them.
"""

from __future__ import annotations

from collections.abc import Sequence

from minires.backend.shapes import Pair, Window
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.conv import Conv2dGradInput
from minires.ops.conv_arguments import check_operands
from minires.ops.image_axes import as_image, as_sequence, one_or_many, row
from minires.ops.operands import pair
from minires.ops.padding import pad
from minires.ops.shape import reshape

Size = int | Sequence[int]


@one_or_many(4)
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """The adjoint of a convolution, plus a bias (torch.nn.functional.conv_transpose2d).

    input (N, C, H, W) or (C, H, W), weight (C, O/groups, kh, kw), bias (O,) -> (N, O, Ho, Wo) with
    Ho = (H − 1)·stride − 2·padding + dilation·(kh − 1) + 1 + output_padding. Raises ShapeError, DtypeError.
    """
    op = "conv_transpose2d"
    check_operands(op, input, weight, bias, groups, transposed=True)
    sizes = {"stride": stride, "padding": padding, "dilation": dilation, "output_padding": output_padding}
    steps, margin, spread, extra = (pair(op, name, value) for name, value in sizes.items())
    return _transposed(op, input, weight, bias, Window(weight.shape[2:], steps, margin, spread), extra, groups)


@one_or_many(3)
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """The adjoint of a convolution of sequences, plus a bias (torch.nn.functional.conv_transpose1d).

    input (N, C, L) or (C, L), weight (C, O/groups, k), bias (O,) -> (N, O, Lo), with the length of `conv_transpose2d`.
    """
    op = "conv_transpose1d"
    check_operands(op, input, weight, bias, groups, transposed=True)
    steps, margin = row(op, "stride", stride, 1), row(op, "padding", padding, 0)
    spread, extra = row(op, "dilation", dilation, 1), row(op, "output_padding", output_padding, 0)
    window = Window((1, weight.shape[2]), steps, margin, spread)
    return as_sequence(_transposed(op, as_image(input), as_image(weight), bias, window, extra, groups))


def _transposed(op: str, x: Tensor, w: Tensor, bias: Tensor | None, window: Window, extra: Pair, groups: int) -> Tensor:
    window.check(op, window.span)  # the fields alone
    limit = [max(pair) for pair in zip(window.stride, window.dilation, strict=True)]
    if min(extra) < 0 or any(more >= most for more, most in zip(extra, limit, strict=True)):
        raise ShapeError(
            f"{op}: output_padding {extra} must be smaller than the larger of stride {window.stride} and dilation "
            f"{window.dilation}"
        )
    covered = window.covered_size(x.shape[2:])
    size = [n - 2 * p + more for n, p, more in zip(covered, window.padding, extra, strict=True)]
    if min(x.shape[2:]) < 1 or min(size) < 1:
        raise ShapeError(f"{op}: input {x.shape} and padding {window.padding} leave an output of size {tuple(size)}")
    if all(more < step for more, step in zip(extra, window.stride, strict=True)):
        y = Conv2dGradInput((size[0], size[1]), window, groups)(x, w)
    else:  # larger, so that it is no convolution's input of the right size: cut or fill what the windows cover
        y = Conv2dGradInput(covered, window.without_padding, groups)(x, w)
        (top, left), (down, right) = window.padding, extra
        y = pad(y, (-left, right - left, -top, down - top))
    return y if bias is None else y + reshape(bias, (1, -1, 1, 1))
