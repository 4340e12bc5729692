"""Pooling of sequences: that of images of one row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minires.core.settings import flag
from minires.core.tensor import Tensor
from minires.ops.image_axes import as_image, as_sequence, one_or_many
from minires.ops.operands import check_real
from minires.ops.pool import AvgPool2d, MaxPool2d
from minires.ops.pool_arguments import row_window
from minires.ops.unpool import MaxPool2dIndices

Size = int | Sequence[int]


@one_or_many(3)
def max_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of each window of (N, C, L) or (C, L) (torch.nn.functional.max_pool1d), as `max_pool2d`."""
    window = row_window("max_pool1d", input, kernel_size, stride, padding, dilation)
    check_real("max_pool1d", input)
    x, ceil_mode = as_image(input), flag("max_pool1d", "ceil_mode", ceil_mode)
    y = as_sequence(MaxPool2d(window, ceil_mode)(x))
    if not flag("max_pool1d", "return_indices", return_indices):
        return y
    return y, as_sequence(MaxPool2dIndices(window, ceil_mode)(x))


@one_or_many(3)
def avg_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of (N, C, L) or (C, L) (torch.nn.functional.avg_pool1d), as `avg_pool2d`."""
    window = row_window("avg_pool1d", input, kernel_size, stride, padding)
    ceil_mode = flag("avg_pool1d", "ceil_mode", ceil_mode)
    counted = flag("avg_pool1d", "count_include_pad", count_include_pad)
    return as_sequence(AvgPool2d(window, ceil_mode, counted)(as_image(input)))
