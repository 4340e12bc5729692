"""Reductions over axes: sum, mean, variance, maximum. Backward distributes the gradient over the reduced elements."""

from __future__ import annotations

import math
from typing import NamedTuple

from minires import backend
from minires.backend import Array
from minires.core import modes
from minires.core.function import Function
from minires.core.numpy_functions import numpy_names
from minires.core.operators import Dim, method
from minires.core.settings import flag, number
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.arithmetic import maximum
from minires.ops.elementwise import where
from minires.ops.exponential import exp, log
from minires.ops.float16 import in_float32
from minires.ops.operands import axes_of, axis_of, check_floating, check_real, check_tensor
from minires.ops.shape import BroadcastTo, gather, reshape, unsqueeze

Axes = tuple[int, ...]


def _with_ones(shape: Axes, axes: Axes) -> Axes:
    """`shape` with length 1 for the reduced axes, so that it broadcasts back."""
    return tuple(1 if k in axes else n for k, n in enumerate(shape))


class Sum(Function):
    """y = Σ x;  ∂y/∂xᵢ = 1: every element gets the gradient of the sum."""

    saved_inputs = ()

    def __init__(self, axes: Axes, keepdims: bool) -> None:
        self.axes, self.keepdims = axes, keepdims

    def forward(self, x: Array) -> Array:
        return backend.sum(x, self.axes, self.keepdims)

    def backward(self, g: Tensor) -> Tensor:
        shape = self.inputs[0].shape
        return BroadcastTo(shape)(reshape(g, _with_ones(shape, self.axes)))


class Amax(Function):
    """y = max x: the gradient goes to the largest element, in equal shares where several are largest (torch.amax)."""

    def __init__(self, axes: Axes, keepdims: bool) -> None:
        self.axes, self.keepdims = axes, keepdims

    def forward(self, x: Array) -> Array:
        return backend.max(x, self.axes, self.keepdims)

    def backward(self, g: Tensor) -> Tensor:
        x = self.inputs[0].detach()
        largest = Tensor(backend.max(x.data, self.axes, True))
        winners = (x == largest).astype(x.dtype)
        shares = winners / winners.sum(self.axes, keepdim=True)  # piecewise constant
        return reshape(g, largest.shape) * shares

    def branches(self, x: Array) -> Array:
        """Whether each element is the largest."""
        return backend.compare(x, backend.max(x, self.axes, True), "==")

    def on_branches(self, branches: Array, x: Array) -> Array:
        count = backend.sum(backend.astype(branches, x.dtype), self.axes, True)
        shares = backend.where(branches, backend.divide(x, count), x.dtype.type(0))
        return backend.sum(shares, self.axes, self.keepdims)


def _axes(op: str, dim: Dim, ndim: int) -> Axes:
    """The axes to reduce: none means all of them, as in torch and unlike NumPy."""
    return axes_of(op, dim, ndim) or tuple(range(ndim))


def _keepdim(op: str, keepdim: bool) -> bool:
    return flag(op, "keepdim", keepdim, "several axes are one argument, as in dim=(0, 1)")


@method("sum")
@numpy_names
def sum(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Σ input over dim, by default over all axes (torch.sum)."""
    check_tensor("sum", input)
    return Sum(_axes("sum", dim, input.ndim), _keepdim("sum", keepdim))(input)


def _count(op: str, input: Tensor, axes: Axes) -> int:
    n = math.prod(input.shape[axis] for axis in axes)
    if not n:
        raise ShapeError(f"{op}: no elements along axes {axes} of shape {input.shape}")
    return n


@method("mean")
@numpy_names
@in_float32
def mean(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Σ input / n over dim, by default over all axes (torch.mean). Raises ShapeError if n is 0."""
    check_floating("mean", input)
    axes = _axes("mean", dim, input.ndim)
    return Sum(axes, _keepdim("mean", keepdim))(input) / float(_count("mean", input, axes))


@method("var")
@numpy_names
@in_float32
def var(input: Tensor, dim: Dim = None, correction: float = 1, keepdim: bool = False) -> Tensor:
    """Σ (x − mean)² / (n − correction) over dim (torch.var). Raises ShapeError unless n > correction."""
    check_floating("var", input)
    check_real("var", input)
    axes = _axes("var", dim, input.ndim)
    n, correction = _count("var", input, axes), number("var", "correction", correction)
    if n <= correction:
        raise ShapeError(f"var: {n} values with correction {correction} leave nothing to divide by")
    centred = input - mean(input, axes, keepdim=True)
    return Sum(axes, _keepdim("var", keepdim))(centred * centred) / float(n - correction)


@method("amax")
@numpy_names
def amax(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The largest elements over dim; at a tie they share the gradient equally (torch.amax)."""
    check_tensor("amax", input)
    check_real("amax", input)
    axes = _axes("amax", dim, input.ndim)
    _count("amax", input, axes)
    return Amax(axes, _keepdim("amax", keepdim))(input)


class MaxResult(NamedTuple):
    """What `max` along an axis returns, as torch.max does."""

    values: Tensor
    indices: Tensor


@method("max")
@numpy_names
def max(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False) -> Tensor | MaxResult:
    """The largest element, or with dim a pair (values, indices) along that axis (torch.max).

    A Tensor in place of dim is compared element by element, as `maximum` does. At a tie the largest elements share the
    gradient; with dim, the first gets it. Raises ShapeError if there is none.
    """
    check_tensor("max", input)
    check_real("max", input)
    if dim is None:
        return amax(input)
    if isinstance(dim, Tensor):
        return maximum(input, dim)
    axis = axis_of("max", dim, input.ndim)
    if not input.ndim:
        return max(reshape(input, (1,)), 0)
    _count("max", input, (axis,))
    modes.note_read(input)
    indices = Tensor(backend.as_array(backend.argmax(input.data, axis), input.data))
    values = gather(input, axis, unsqueeze(indices, axis))
    if _keepdim("max", keepdim):
        return MaxResult(values, unsqueeze(indices, axis))
    return MaxResult(reshape(values, indices.shape), indices)


@method("argmax")
@numpy_names
def argmax(input: Tensor, dim: int | None = None) -> Tensor:
    """The index (int64) of the first largest element, in the flattened tensor or along dim (torch.argmax)."""
    check_tensor("argmax", input)
    check_real("argmax", input)
    axis = axis_of("argmax", 0 if dim is None else dim, input.ndim)
    x = reshape(input.detach(), (-1,)) if dim is None or not input.ndim else input.detach()
    _count("argmax", x, (axis,))
    modes.note_read(x)
    return Tensor(backend.as_array(backend.argmax(x.data, axis), x.data))


@method("logsumexp")
@numpy_names
@in_float32
def logsumexp(input: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """ln Σ eˣ = m + ln Σ eˣ⁻ᵐ over dim, with m = max x so that nothing overflows (torch.logsumexp)."""
    check_floating("logsumexp", input)
    check_real("logsumexp", input)
    axes = _axes("logsumexp", dim, input.ndim)
    _count("logsumexp", input, axes)
    m = Tensor(backend.max(input.data, axes, True))  # any constant gives the same value and gradient
    m = where(Tensor(backend.compare(backend.absolute(m.data), math.inf, "<")), m, 0.0)  # ∞ − ∞ would be NaN
    y = m + log(sum(exp(input - m), axes, keepdim=True))
    return y if _keepdim("logsumexp", keepdim) else reshape(y, [n for k, n in enumerate(input.shape) if k not in axes])
