"""Sums over axes: sum, mean, variance, logsumexp. Backward distributes the gradient over the reduced elements."""

from __future__ import annotations

import math
from typing import Any

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.numpy_functions import numpy_names
from minires.core.operators import Dim, method
from minires.core.settings import flag, number
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.elementwise import where
from minires.ops.exponential import exp, log
from minires.ops.float16 import in_float32
from minires.ops.operands import axes_of, check_floating, check_real, check_tensor
from minires.ops.shape import BroadcastTo, reshape

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


def reduced_axes(op: str, dim: Dim, ndim: int) -> Axes:
    """The axes to reduce: none means all of them, as in torch and unlike NumPy."""
    return axes_of(op, dim, ndim) or tuple(range(ndim))


def checked_keepdim(op: str, keepdim: bool) -> bool:
    """`keepdim` as a bool. Raises ValueError for anything else, such as the 1 in x.sum(0, 1)."""
    return flag(op, "keepdim", keepdim, "several axes are one argument, as in dim=(0, 1)")


@method("sum")
@numpy_names
def sum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Σ input over dim, by default over all axes (torch.sum). Integers and bools are added as int64.

    With dtype, input is converted to it first, and the sum has it, too.
    """
    check_tensor("sum", input)
    input = input if dtype is None else input.astype(dtype)
    y = Sum(reduced_axes("sum", dim, input.ndim), checked_keepdim("sum", keepdim))(input)
    return y if dtype is None else y.astype(dtype)


def count_along(op: str, input: Tensor, axes: Axes) -> int:
    """How many elements are reduced to one. Raises ShapeError if there are none."""
    n = math.prod(input.shape[axis] for axis in axes)
    if not n:
        raise ShapeError(f"{op}: no elements along axes {axes} of shape {input.shape}")
    return n


@method("mean")
@numpy_names
def mean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Σ input / n over dim, by default over all axes (torch.mean). Raises ShapeError if n is 0.

    With dtype, input is converted to it first.
    """
    check_tensor("mean", input)
    return _mean(input if dtype is None else input.astype(dtype), dim, keepdim)


@in_float32
def _mean(input: Tensor, dim: Dim, keepdim: bool) -> Tensor:
    check_floating("mean", input)
    axes = reduced_axes("mean", dim, input.ndim)
    return Sum(axes, checked_keepdim("mean", keepdim))(input) / float(count_along("mean", input, axes))


@method("var")
@numpy_names
@in_float32
def var(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Σ (x − mean)² / (n − correction) over dim; by default correction is 1 (torch.var).

    unbiased=True and False are the older names of the corrections 1 and 0; they may stand in the place of dim. Raises
    ShapeError unless n > correction, TypeError for both unbiased and correction.
    """
    check_floating("var", input)
    check_real("var", input)
    dim, correction = _correction(dim, unbiased, correction)
    axes = reduced_axes("var", dim, input.ndim)
    n = count_along("var", input, axes)
    if n <= correction:
        raise ShapeError(f"var: {n} values with correction {correction} leave nothing to divide by")
    centred = input - mean(input, axes, keepdim=True)
    return Sum(axes, checked_keepdim("var", keepdim))(centred * centred) / float(n - correction)


def _correction(dim: Any, unbiased: bool | None, correction: float | None) -> tuple[Any, float]:
    """The arguments of `var` as dim and correction."""
    if isinstance(dim, bool) and unbiased is None:  # x.var(False)
        dim, unbiased = None, dim
    if unbiased is None:
        return dim, 1 if correction is None else number("var", "correction", correction)
    if correction is not None:
        raise TypeError("var: unbiased=True is correction=1, unbiased=False is correction=0; give one of them")
    return dim, int(flag("var", "unbiased", unbiased, "a correction is given by name, as in correction=0"))


@method("logsumexp")
@numpy_names
@in_float32
def logsumexp(input: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """ln Σ eˣ = m + ln Σ eˣ⁻ᵐ over dim, with m = max x so that nothing overflows (torch.logsumexp)."""
    check_floating("logsumexp", input)
    check_real("logsumexp", input)
    axes = reduced_axes("logsumexp", dim, input.ndim)
    count_along("logsumexp", input, axes)
    m = Tensor(backend.max(input.data, axes, True))  # any constant gives the same value and gradient
    m = where(Tensor(backend.compare(backend.absolute(m.data), math.inf, "<")), m, 0.0)  # ∞ − ∞ would be NaN
    y = m + log(sum(exp(input - m), axes, keepdim=True))
    return (
        y
        if checked_keepdim("logsumexp", keepdim)
        else reshape(y, [n for k, n in enumerate(input.shape) if k not in axes])
    )
