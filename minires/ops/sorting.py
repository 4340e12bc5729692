"""Elements in order: sort, argsort, topk, kthvalue, median. Each value's gradient goes back to its place.

Every sort is stable: equal elements keep their order, also in descending order and in topk. NaN counts as the largest.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from minires import backend
from minires.core import modes
from minires.core.numpy_functions import numpy_names
from minires.core.operators import method
from minires.core.settings import flag, integer
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.elementwise import where
from minires.ops.extremes import Extremes, amax
from minires.ops.operands import axis_of, check_real, check_tensor
from minires.ops.reduction import checked_keepdim, count_along
from minires.ops.reduction import mean as mean_of
from minires.ops.reduction import sum as sum_of
from minires.ops.selection import gather
from minires.ops.shape import Index, reshape
from minires.ops.views import narrow


class Sorted(NamedTuple):
    """What `sort` and `topk` return, as torch's do."""

    values: Tensor
    indices: Tensor


def _order(op: str, input: Tensor, axis: int, descending: bool) -> Tensor:
    """The indices that put input in order along axis. A tensor () counts as a vector of one."""
    check_real(op, input)
    modes.note_read(input)
    x = input.data.reshape(input.shape or (1,))
    if not descending:
        return Tensor(backend.argsort(x, axis))
    # The stable descending order is the ascending one of the reversed elements, read from its end.
    order = backend.argsort(backend.flip(x, (axis,)), axis)
    return Tensor(backend.flip(x.shape[axis] - 1 - order, (axis,)).copy())


def _at(input: Tensor, axis: int, indices: Tensor) -> Sorted:
    """The elements of input at these indices, which are known to be in range, and the indices."""
    indices = indices if input.ndim else reshape(indices, ())
    with modes.indices_checked():
        return Sorted(gather(input, axis, indices), Tensor(indices.data.copy()))


@method("argsort")
@numpy_names
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices (int64) that put input in order along dim (torch.argsort). It is stable, whatever `stable` says."""
    check_tensor("argsort", input)
    flag("argsort", "stable", stable)
    order = _order("argsort", input, axis_of("argsort", dim, input.ndim), flag("argsort", "descending", descending))
    return order if input.ndim else reshape(order, ())


@method("sort")
@numpy_names
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Sorted:
    """A pair (values, indices): input in order along dim, and where each value was (torch.sort).

    It is stable, whatever `stable` says. Gradients go back to where the values were.
    """
    order = argsort(input, dim, descending, stable)
    return _at(input, axis_of("sort", dim, input.ndim), order)


@method("topk")
@numpy_names
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
    """The k largest or smallest elements along dim and their indices, the extreme one first (torch.topk).

    They are in order, whatever `sorted` says; of equal elements the first come first. Raises ShapeError for k beyond
    the axis.
    """
    axis = _axis_with("topk", input, k, dim, 0)
    flag("topk", "sorted", sorted)
    order = _order("topk", input, axis, flag("topk", "largest", largest))
    return _at(input, axis, narrow(order, axis, 0, k))


def _axis_with(op: str, input: Tensor, k: int, dim: int, least: int) -> int:
    """`dim` as an axis that has k elements."""
    check_tensor(op, input)
    axis = axis_of(op, dim, input.ndim)
    n = input.shape[axis] if input.ndim else 1
    if integer(op, "k", k, least) > n:
        raise ShapeError(f"{op}: k = {k} exceeds the {n} elements along axis {axis} of shape {input.shape}")
    return axis


def _one(input: Tensor, axis: int, index: Tensor, keepdim: bool) -> Extremes:
    """The elements at `index`, of which there is one along axis, and the indices, with that axis or without."""
    values, indices = _at(input, axis, index)
    if not keepdim and input.ndim:
        without = (*input.shape[:axis], *input.shape[axis + 1 :])
        values, indices = reshape(values, without), reshape(indices, without)
    return Extremes(values, indices)


@method("kthvalue")
@numpy_names
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Extremes:
    """The k-th smallest element along dim, counted from 1, and its index (torch.kthvalue)."""
    axis = _axis_with("kthvalue", input, k, dim, 1)
    order = _order("kthvalue", input, axis, False)
    return _one(input, axis, narrow(order, axis, k - 1, 1), checked_keepdim("kthvalue", keepdim))


@method("median")
@numpy_names
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor | Extremes:
    """The median, of an even number of elements the lower of the two; with dim a pair (values, indices) (torch.median).

    Without dim, elements that equal the median share its gradient; with dim, the one whose index is returned gets it.
    If there is NaN, it is the median.
    """
    check_tensor("median", input)
    keepdim = checked_keepdim("median", keepdim)
    if dim is not None:
        axis = axis_of("median", dim, input.ndim)
        return _one(input, axis, _middle(input, axis), keepdim)
    x = reshape(input, (-1,)) if input.numel() else input
    found = _one(x, 0, _middle(x, 0), True).values
    if input.dtype.kind not in "fc":  # there is neither NaN nor a gradient
        return reshape(found, ())
    if bool(found != found):  # NaN, to which all of them contribute
        return mean_of(Index(backend.compare(x.data, x.data, "!="))(x))
    return amax(where(x.detach() <= found.detach(), x, -math.inf))  # the same number, whose gradient is shared


def _middle(x: Tensor, axis: int) -> Tensor:
    """The index of the median along axis: of the first NaN, else of the lower one of the two in the middle."""
    count_along("median", x, (axis,) if x.ndim else ())
    order = _order("median", x, axis, False)
    n = order.shape[axis]
    nans = reshape(sum_of(x != x, axis, True), [1 if k == axis else m for k, m in enumerate(order.shape)]).data
    middle = backend.where(backend.compare(nans, 0, ">"), n - nans, backend.scalar((n - 1) // 2, nans.dtype, nans))
    with modes.indices_checked():
        return gather(order, axis, Tensor(middle))
