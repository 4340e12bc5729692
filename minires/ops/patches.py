"""The patches of an image as columns, and the way back: im2col and col2im as operations.

    unfold   (N, C, H, W) -> (N, C·kh·kw, L)    each of the L windows becomes a column
    fold     (N, C·kh·kw, L) -> (N, C, H, W)    each number of a column is added to its pixel

Each is the other's adjoint, so each is the other's gradient. `backend/reference/im2col.py` draws them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minires import backend
from minires.backend import Array, memory_owner
from minires.backend.shapes import Pair, Window
from minires.core.function import Function
from minires.core.operators import method
from minires.core.settings import integer
from minires.core.sharing import note_torn
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.image_axes import one_or_many
from minires.ops.operands import axis_of, check_floating, check_tensor, pair
from minires.ops.shape import index, permute, reshape, unsqueeze

Size = int | Sequence[int]


class Unfold(Function):
    """columns[n, (c,i,j), (p,q)] = x[n, c, p·s + i·d − P, q·s + j·d − P], 0 outside of the image."""

    saved_inputs = ()

    def __init__(self, window: Window) -> None:
        self.window = window

    def forward(self, x: Array) -> Array:
        return backend.unfold(x, self.window)

    def backward(self, g: Tensor) -> Tensor:
        return Fold(self.inputs[0].shape[2:], self.window)(g)


class Fold(Function):
    """x = 0, then x[n, c, p·s + i·d − P, q·s + j·d − P] += columns[n, (c,i,j), (p,q)]; (H, W) = size."""

    saved_inputs = ()

    def __init__(self, size: Pair, window: Window) -> None:
        self.size, self.window = size, window

    def forward(self, columns: Array) -> Array:
        return backend.fold(columns, self.size, self.window)

    def backward(self, gx: Tensor) -> Tensor:
        return Unfold(self.window)(gx)


def _window(op: str, kernel_size: Size, dilation: Size, padding: Size, stride: Size) -> Window:
    kernel, spread = pair(op, "kernel_size", kernel_size), pair(op, "dilation", dilation)
    return Window(kernel, pair(op, "stride", stride), pair(op, "padding", padding), spread)


@method("unfold")
def windows(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """The stretches of length `size` along one axis, `step` apart, as a new last axis (torch.Tensor.unfold).

    y[…, p, …, k] = x[…, p·step + k, …]. It is a view where the stretches do not overlap and fill the axis, but for a
    rest shorter than `step`. Else it is a copy, where torch has a view: a change in place of either is a GraphError as
    long as both live. Raises ShapeError if `size` exceeds the axis.
    """
    check_tensor("unfold", input)
    size, step = integer("unfold", "size", size, 0), integer("unfold", "step", step, 1)
    axis = axis_of("unfold", dimension, input.ndim)
    n = input.shape[axis] if input.ndim else 1
    if size > n:
        raise ShapeError(f"unfold: size {size} exceeds axis {axis} of {input.shape}")
    if not input.ndim:
        return index(unsqueeze(input, 0), slice(0, size))
    count = (n - size) // step + 1
    before, is_apart = (slice(None),) * axis, size <= step and count * step <= n
    if is_apart:
        whole = index(input, (*before, slice(0, count * step)))
        whole = reshape(whole, (*input.shape[:axis], count, step, *input.shape[axis + 1 :]))
        y = index(whole, (*before, slice(None), slice(0, size)))
    else:
        y = index(input, (*before, np.arange(count)[:, None] * step + np.arange(size)))
    y = permute(y, (*range(axis + 1), *range(axis + 2, y.ndim), axis + 1))
    if memory_owner(y.data) is not memory_owner(input.data):
        note_torn(input, y)
    return y


@one_or_many(4)
def unfold(input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> Tensor:
    """The patches of images as columns (torch.nn.functional.unfold).

    input (N, C, H, W) or (C, H, W) -> (N, C·kh·kw, L), with one column for each of the L positions of the window, row
    by row. Raises ShapeError, DtypeError.
    """
    check_floating("unfold", input)
    if input.ndim != 4:
        raise ShapeError(f"unfold: needs input (N, C, H, W) or (C, H, W), got {input.shape}")
    window = _window("unfold", kernel_size, dilation, padding, stride)
    window.check("unfold", input.shape[2:])
    return Unfold(window)(input)


@one_or_many(3)
def fold(
    input: Tensor, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Tensor:
    """Images as the sum of patches (torch.nn.functional.fold), the adjoint of `unfold`.

    input (N, C·kh·kw, L) or (C·kh·kw, L) -> (N, C, *output_size). Raises ShapeError, DtypeError.
    """
    check_floating("fold", input)
    size, window = pair("fold", "output_size", output_size), _window("fold", kernel_size, dilation, padding, stride)
    window.check("fold", size)
    places = window.output_size(size)
    if input.ndim != 3 or input.shape[1] % window.area or input.shape[2] != places[0] * places[1]:
        raise ShapeError(
            f"fold: needs input (N, C·kh·kw, L) with C·{window.area} rows and L = {places[0]}·{places[1]} columns for "
            f"output_size {size}, got {input.shape}"
        )
    return Fold(size, window)(input)
