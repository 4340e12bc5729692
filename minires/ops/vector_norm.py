"""The p-norm of vectors, ‖x‖ₚ = (Σ |x|ᵖ)^(1/p), and the distances between two sets of points."""

from __future__ import annotations

import math
from typing import Any

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.numpy_functions import numpy_names
from minires.core.operators import Dim, method
from minires.core.settings import number
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.arithmetic import absolute, power
from minires.ops.elementwise import where
from minires.ops.extremes import amax, amin
from minires.ops.float16 import in_float32
from minires.ops.operands import check_dtypes, check_floating, check_tensor
from minires.ops.reduction import sum as sum_of
from minires.ops.shape import unsqueeze


class Root(Function):
    """y = √s;  ∂y/∂s = 1/(2y), but 0 where y is 0, as torch has it for lengths and deviations."""

    saved_inputs, saves_output = (), True

    def forward(self, s: Array) -> Array:
        return backend.sqrt(s)

    def backward(self, g: Tensor) -> Tensor:
        y = self.output()
        is_zero = y.detach() == 0
        return where(is_zero, 0.0, g / (2.0 * where(is_zero, 1.0, y)))


@method("norm")
@numpy_names
def norm(
    input: Tensor, p: float | str | None = "fro", dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """(Σ |x|ᵖ)^(1/p) over dim, by default over all axes (torch.norm); "fro" and None mean p = 2.

    p = 0 counts what is not 0, p = ∞ and −∞ give the largest and the smallest |x|, which share the gradient at a tie.
    Where the norm is 0 the gradient is 0. With dtype, input is converted to it first. "nuc" is refused (ValueError).
    """
    check_tensor("norm", input)
    if p == "nuc":
        raise ValueError("norm: there is no p='nuc', which needs a singular value decomposition; 'fro' is the 2-norm")
    p = 2.0 if p is None or p == "fro" else number("norm", "p", p)
    return _norm(input if dtype is None else input.astype(dtype), p, dim, keepdim)


@in_float32
def _norm(x: Tensor, p: float, dim: Dim, keepdim: bool) -> Tensor:
    check_floating("norm", x)
    if p == 0:
        return sum_of(where(x.detach() == 0, x * 0.0, 1.0), dim, keepdim)  # its gradient is 0 everywhere
    if p == 2 and x.dtype.kind != "c":
        return Root()(sum_of(x * x, dim, keepdim))
    size = absolute(x)
    if math.isinf(p):
        return amax(size, dim, keepdim) if p > 0 else amin(size, dim, keepdim)
    if p == 1:
        return sum_of(size, dim, keepdim)
    if p < 0:
        return power(sum_of(power(size, p), dim, keepdim), 1 / p)
    return _or_zero(sum_of(_or_zero(size, lambda a: power(a, p)), dim, keepdim), lambda a: power(a, 1 / p))


def _or_zero(x: Tensor, f: Any) -> Tensor:
    """f(x) where x is not 0, else 0 with the gradient 0: there the slope of a root is infinite."""
    is_zero = x.detach() == 0
    return where(is_zero, 0.0, f(where(is_zero, 1.0, x)))


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:
    """y[…, i, j] = ‖x1[…, i, :] − x2[…, j, :]‖ₚ; x1 (…, n, d), x2 (…, m, d) -> (…, n, m) (torch.cdist).

    compute_mode must be one of torch's names; here it makes no difference, since all differences are formed.
    """
    check_tensor("cdist", x1)
    check_tensor("cdist", x2)
    check_dtypes("cdist", x1=x1, x2=x2)
    modes = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")
    if compute_mode not in (None, *modes):
        raise ValueError(f"cdist: compute_mode = {compute_mode!r} must be one of {', '.join(modes)}")
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(f"cdist: needs shapes (…, n, d) and (…, m, d), got {x1.shape} and {x2.shape}")
    if number("cdist", "p", p) < 0:
        raise ValueError(f"cdist: p = {p} must not be negative")
    return norm(unsqueeze(x1, -2) - unsqueeze(x2, -3), p, -1)
