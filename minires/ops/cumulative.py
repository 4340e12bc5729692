"""Sums and products of all elements up to each one: cumsum, cumprod, logcumsumexp; and prod, the product of all.

A product is a tree of multiplications, and its gradient follows from theirs: nothing is divided, so zeros among the
factors are no special case, at no order of derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.numpy_functions import numpy_names
from minires.core.operators import method
from minires.core.tensor import Tensor
from minires.ops.arithmetic import multiply
from minires.ops.exponential_sums import logaddexp
from minires.ops.operands import axis_of, check_floating, check_real, check_tensor
from minires.ops.reduction import checked_keepdim
from minires.ops.shape import Flip, Index, Pad, concatenate, reshape


class Cumsum(Function):
    """yᵢ = Σ_{k ≤ i} xₖ;  ∂L/∂xₖ = Σ_{i ≥ k} gᵢ: the same from the other end."""

    saved_inputs = ()

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return backend.cumsum(x, self.axis)

    def backward(self, g: Tensor) -> Tensor:
        return Flip((self.axis,))(Cumsum(self.axis)(Flip((self.axis,))(g)))


def _converted(op: str, input: Tensor, dtype: Any) -> Tensor:
    """input in `dtype`; by default integers and bools as int64, as torch sums and multiplies them."""
    check_tensor(op, input)
    if dtype is None and input.dtype.kind in "biu":
        dtype = np.int64
    return input if dtype is None else input.astype(dtype)


@method("cumsum")
@numpy_names
def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """yᵢ = x₀ + … + xᵢ along dim (torch.cumsum). With dtype, input is converted to it first, and y has it, too."""
    x = _converted("cumsum", input, dtype)
    axis = axis_of("cumsum", dim, x.ndim)
    y = Cumsum(axis)(x) if x.ndim else x.clone()
    return y.astype(x.dtype)  # the kernel adds integers as int64


@method("cumprod")
@numpy_names
def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """yᵢ = x₀ · … · xᵢ along dim (torch.cumprod). With dtype, input is converted to it first."""
    x = _converted("cumprod", input, dtype)
    return _scan(multiply, x, axis_of("cumprod", dim, x.ndim))


@method("logcumsumexp")
@numpy_names
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """yᵢ = ln(eˣ⁰ + … + eˣⁱ) along dim, without overflow (torch.logcumsumexp)."""
    check_floating("logcumsumexp", input)
    check_real("logcumsumexp", input)
    return _scan(logaddexp, input, axis_of("logcumsumexp", dim, input.ndim))


def _scan(combine: Callable[[Tensor, Tensor], Tensor], x: Tensor, axis: int) -> Tensor:
    """yᵢ = x₀ ∘ … ∘ xᵢ for an associative ∘, in log₂ n steps (Hillis and Steele 1986).

    After the step of width w, each element combines the 2w up to it:  yᵢ ← yᵢ₋w ∘ yᵢ, where there is an i − w.
    """
    if not x.ndim:
        return x.clone()
    n, before, width = x.shape[axis], (slice(None),) * axis, 1
    y = x if n > 1 else x.clone()
    while width < n:
        head = Index((*before, slice(width)))(y)
        tail = combine(Index((*before, slice(n - width)))(y), Index((*before, slice(width, n)))(y))
        y, width = concatenate([head, tail], axis), 2 * width
    return y


@method("prod")
@numpy_names
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product over dim, by default of all elements; of none it is 1 (torch.prod).

    Integers and bools are multiplied as int64. With dtype, input is converted to it first.
    """
    x = _converted("prod", input, dtype)
    keepdim = checked_keepdim("prod", keepdim)
    if dim is None or not x.ndim:
        if dim is not None:
            axis_of("prod", dim, x.ndim)
        y = _product(reshape(x, (x.numel(),)), 0)
        return reshape(y, (1,) * x.ndim if keepdim and dim is None else ())
    axis = axis_of("prod", dim, x.ndim)
    y = _product(x, axis)
    return y if keepdim else reshape(y, (*x.shape[:axis], *x.shape[axis + 1 :]))


def _product(x: Tensor, axis: int) -> Tensor:
    """The product along axis, whose length becomes 1: neighbours are multiplied until one is left."""
    n, before = x.shape[axis], (slice(None),) * axis
    if n == 1:
        return x.clone()
    while n != 1:
        if n % 2:
            x = Pad(tuple((0, int(k == axis)) for k in range(x.ndim)), 1.0)(x)
        x = multiply(Index((*before, slice(0, None, 2)))(x), Index((*before, slice(1, None, 2)))(x))
        n = x.shape[axis]
        if not n:
            return Pad(tuple((0, int(k == axis)) for k in range(x.ndim)), 1.0)(x)
    return x
