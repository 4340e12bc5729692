"""The largest and the smallest elements, and where they are: amax, max, argmax, amin, min, argmin, aminmax.

The gradient goes to the element that is found. amax and amin divide it among equal ones; max and min along an axis give
it to the first, whose index they return.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from minires import backend
from minires.backend import Array
from minires.core import modes
from minires.core.function import Function
from minires.core.numpy_functions import numpy_names
from minires.core.operators import Dim, method
from minires.core.tensor import Tensor
from minires.ops.arithmetic import maximum, minimum
from minires.ops.operands import axis_of, check_real, check_tensor
from minires.ops.reduction import Axes, checked_keepdim, count_along, reduced_axes
from minires.ops.selection import gather
from minires.ops.shape import reshape, unsqueeze


class Amax(Function):
    """y = max x: the gradient goes to the largest element, in equal shares where several are largest (torch.amax)."""

    def __init__(self, axes: Axes, keepdims: bool) -> None:
        self.axes, self.keepdims = axes, keepdims

    def extreme(self, x: Array, keepdims: bool) -> Array:
        """max x over the axes."""
        return backend.max(x, self.axes, keepdims)

    def forward(self, x: Array) -> Array:
        return self.extreme(x, self.keepdims)

    def backward(self, g: Tensor) -> Tensor:
        x = self.inputs[0].detach()
        found = Tensor(self.extreme(x.data, True))
        winners = (x == found).astype(x.dtype)
        shares = winners / winners.sum(self.axes, keepdim=True)  # piecewise constant
        return reshape(g, found.shape) * shares

    def branches(self, x: Array) -> Array:
        """Whether each element is the largest."""
        return backend.compare(x, self.extreme(x, True), "==")

    def on_branches(self, branches: Array, x: Array) -> Array:
        count = backend.sum(backend.astype(branches, x.dtype), self.axes, True)
        shares = backend.where(branches, backend.divide(x, count), x.dtype.type(0))
        return backend.sum(shares, self.axes, self.keepdims)


class Amin(Amax):
    """y = min x: the gradient goes to the smallest element, in equal shares where several are smallest (torch.amin)."""

    def extreme(self, x: Array, keepdims: bool) -> Array:
        """min x over the axes."""
        return backend.min(x, self.axes, keepdims)


def _extreme(op: str, node: type[Amax], input: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    check_tensor(op, input)
    check_real(op, input)
    axes = reduced_axes(op, dim, input.ndim)
    count_along(op, input, axes)
    return node(axes, checked_keepdim(op, keepdim))(input)


@method("amax")
@numpy_names
def amax(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The largest elements over dim; at a tie they share the gradient equally (torch.amax)."""
    return _extreme("amax", Amax, input, dim, keepdim)


@method("amin")
@numpy_names
def amin(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The smallest elements over dim; at a tie they share the gradient equally (torch.amin)."""
    return _extreme("amin", Amin, input, dim, keepdim)


class AminmaxResult(NamedTuple):
    """What `aminmax` returns, as torch.aminmax does."""

    min: Tensor
    max: Tensor


@method("aminmax")
@numpy_names
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> AminmaxResult:
    """The smallest and the largest elements, over all axes or along dim, as a pair (min, max) (torch.aminmax)."""
    return AminmaxResult(amin(input, dim, keepdim), amax(input, dim, keepdim))


# -- along an axis ----------------------------------------------------------------------------------------------------

_FIND: dict[str, Callable[[Array, int], Array]] = {"max": backend.argmax, "min": backend.argmin}


class Extremes(NamedTuple):
    """What `max` and `min` along an axis return, as torch's do."""

    values: Tensor
    indices: Tensor


def _along_axis(op: str, input: Tensor, dim: Any, keepdim: bool) -> Extremes:
    """The extreme elements along dim, of several the first, and their indices."""
    axis = axis_of(op, dim, input.ndim)
    if not input.ndim:
        checked_keepdim(op, keepdim)
        return _along_axis(op, reshape(input, (1,)), 0, False)
    count_along(op, input, (axis,))
    modes.note_read(input)
    indices = Tensor(backend.as_array(_FIND[op](input.data, axis), input.data))
    values = gather(input, axis, unsqueeze(indices, axis))
    if checked_keepdim(op, keepdim):
        return Extremes(values, unsqueeze(indices, axis))
    return Extremes(reshape(values, indices.shape), indices)


@method("max")
@numpy_names
def max(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False) -> Tensor | Extremes:
    """The largest element, or with dim a pair (values, indices) along that axis (torch.max).

    A Tensor in place of dim is compared element by element, as `maximum` does. At a tie the largest elements share the
    gradient; with dim, the first gets it. Raises ShapeError if there is none.
    """
    check_tensor("max", input)
    check_real("max", input)
    if isinstance(dim, Tensor):
        return maximum(input, dim)
    return amax(input) if dim is None else _along_axis("max", input, dim, keepdim)


@method("min")
@numpy_names
def min(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False) -> Tensor | Extremes:
    """The smallest element, or with dim a pair (values, indices) along that axis (torch.min). It is the twin of `max`.

    A Tensor in place of dim is compared element by element, as `minimum` does.
    """
    check_tensor("min", input)
    check_real("min", input)
    if isinstance(dim, Tensor):
        return minimum(input, dim)
    return amin(input) if dim is None else _along_axis("min", input, dim, keepdim)


def _index_of(op: str, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    check_tensor(op, input)
    check_real(op, input)
    axis = axis_of(op, 0 if dim is None else dim, input.ndim)
    x = reshape(input.detach(), (-1,)) if dim is None or not input.ndim else input.detach()
    count_along(op, x, (axis,))
    modes.note_read(x)
    found = Tensor(backend.as_array(_FIND[op[3:]](x.data, axis), x.data))
    if not checked_keepdim(op, keepdim):
        return found
    return unsqueeze(found, axis) if x.ndim == input.ndim and dim is not None else reshape(found, (1,) * input.ndim)


@method("argmax")
@numpy_names
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index (int64) of the first largest element, in the flattened tensor or along dim (torch.argmax)."""
    return _index_of("argmax", input, dim, keepdim)


@method("argmin")
@numpy_names
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The index (int64) of the first smallest element, in the flattened tensor or along dim (torch.argmin)."""
    return _index_of("argmin", input, dim, keepdim)
