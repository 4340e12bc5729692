"""Convolution of sequences: that of images of one row."""

from __future__ import annotations

from collections.abc import Sequence

from minires.core.tensor import Tensor
from minires.ops.conv import Conv2d
from minires.ops.conv_arguments import check_operands, sliding_window
from minires.ops.image_axes import as_image, as_sequence, one_or_many, row

Size = int | Sequence[int]


@one_or_many(3)
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of sequences with kernels (torch.nn.functional.conv1d).

    input (N, C, L) or (C, L), weight (O, C/groups, k), bias (O,) -> (N, O, Lo), with the sizes and the named paddings
    of `conv2d`. Raises ShapeError, DtypeError.
    """
    op = "conv1d"
    check_operands(op, input, weight, bias, groups)
    steps, spread = row(op, "stride", stride, 1), row(op, "dilation", dilation, 1)
    margin = padding if isinstance(padding, str) else row(op, "padding", padding, 0)
    image, window = sliding_window(op, as_image(input), (1, weight.shape[2]), steps, margin, spread)
    tensors = (image, as_image(weight)) if bias is None else (image, as_image(weight), bias)
    return as_sequence(Conv2d(window, groups)(*tensors))
