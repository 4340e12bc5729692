"""The operators and methods of Tensor that change it in place, declared; `minires.ops.inplace` computes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minires.core.operators import METHODS, Operand, Scalar

if TYPE_CHECKING:
    from minires.core.tensor import Tensor


class InPlaceOperators:
    """The part of `Tensor` that changes it in place, as torch does; each method returns the tensor itself.

    A change reaches every tensor that shares the memory (views, detached ones). It is recorded if the tensor, or the
    other operand, takes part in a graph. The tensor keeps its shape and its dtype.

    Raises GraphError for a leaf that requires gradients, unless in `no_grad()`, and for an expanded tensor; ShapeError
    where the other operand does not broadcast to the tensor's shape; DtypeError where the result is of a higher kind
    than the tensor (a float into an integer tensor).
    """

    __slots__ = ()

    def __iadd__(self, other: Operand) -> Tensor:
        return METHODS["add_"](self, other)

    def __isub__(self, other: Operand) -> Tensor:
        return METHODS["sub_"](self, other)

    def __imul__(self, other: Operand) -> Tensor:
        return METHODS["mul_"](self, other)

    def __itruediv__(self, other: Operand) -> Tensor:
        return METHODS["div_"](self, other)

    def __ipow__(self, other: Operand) -> Tensor:
        return METHODS["pow_"](self, other)

    def __ifloordiv__(self, other: Operand) -> Tensor:
        return METHODS["floor_divide_"](self, other)

    def __imod__(self, other: Operand) -> Tensor:
        return METHODS["remainder_"](self, other)

    def __iand__(self, other: Operand) -> Tensor:
        return METHODS["bitwise_and_"](self, other)

    def __ior__(self, other: Operand) -> Tensor:
        return METHODS["bitwise_or_"](self, other)

    def __ixor__(self, other: Operand) -> Tensor:
        return METHODS["bitwise_xor_"](self, other)

    def __ilshift__(self, other: Operand) -> Tensor:
        return METHODS["bitwise_left_shift_"](self, other)

    def __irshift__(self, other: Operand) -> Tensor:
        return METHODS["bitwise_right_shift_"](self, other)

    def __imatmul__(self, other: Operand) -> Tensor:
        raise TypeError("x @= y does not change x in place, since a product has another shape: write x = x @ y")

    def __setitem__(self, key: Any, value: Any) -> None:
        """x[key] = value, where value broadcasts to the shape of x[key]."""
        METHODS["setitem"](self, key, value)

    def add_(self, other: Operand, alpha: Scalar = 1) -> Tensor:
        """x ← x + alpha · other."""
        return METHODS["add_"](self, other, alpha=alpha)

    def sub_(self, other: Operand, alpha: Scalar = 1) -> Tensor:
        """x ← x − alpha · other."""
        return METHODS["sub_"](self, other, alpha=alpha)

    def mul_(self, other: Operand) -> Tensor:
        """x ← x · other."""
        return METHODS["mul_"](self, other)

    def div_(self, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
        """x ← x / other, rounded by "trunc" or "floor" if asked for."""
        return METHODS["div_"](self, other, rounding_mode=rounding_mode)

    def pow_(self, exponent: Operand) -> Tensor:
        """x ← x to the power exponent."""
        return METHODS["pow_"](self, exponent)

    def bitwise_and_(self, other: Operand) -> Tensor:
        """x ← x & other."""
        return METHODS["bitwise_and_"](self, other)

    def bitwise_or_(self, other: Operand) -> Tensor:
        """x ← x | other."""
        return METHODS["bitwise_or_"](self, other)

    def bitwise_xor_(self, other: Operand) -> Tensor:
        """x ← x ^ other."""
        return METHODS["bitwise_xor_"](self, other)

    def neg_(self) -> Tensor:
        """x ← −x."""
        return METHODS["neg_"](self)

    def abs_(self) -> Tensor:
        """x ← |x|."""
        return METHODS["abs_"](self)

    def exp_(self) -> Tensor:
        """x ← eˣ."""
        return METHODS["exp_"](self)

    def log_(self) -> Tensor:
        """x ← ln x."""
        return METHODS["log_"](self)

    def sqrt_(self) -> Tensor:
        """x ← √x."""
        return METHODS["sqrt_"](self)

    def tanh_(self) -> Tensor:
        """x ← tanh x."""
        return METHODS["tanh_"](self)

    def sigmoid_(self) -> Tensor:
        """x ← 1 / (1 + e⁻ˣ)."""
        return METHODS["sigmoid_"](self)

    def relu_(self) -> Tensor:
        """x ← max(x, 0)."""
        return METHODS["relu_"](self)

    def clip_(self, min: Operand | None = None, max: Operand | None = None) -> Tensor:
        """x ← x limited to [min, max]."""
        return METHODS["clip_"](self, min, max)

    clamp_ = clip_

    def square_(self) -> Tensor:
        """x ← x²."""
        return METHODS["square_"](self)

    def reciprocal_(self) -> Tensor:
        """x ← 1/x."""
        return METHODS["reciprocal_"](self)

    def rsqrt_(self) -> Tensor:
        """x ← 1/√x."""
        return METHODS["rsqrt_"](self)

    def expm1_(self) -> Tensor:
        """x ← eˣ − 1."""
        return METHODS["expm1_"](self)

    def log1p_(self) -> Tensor:
        """x ← ln(1 + x)."""
        return METHODS["log1p_"](self)

    def log2_(self) -> Tensor:
        """x ← log₂ x."""
        return METHODS["log2_"](self)

    def log10_(self) -> Tensor:
        """x ← log₁₀ x."""
        return METHODS["log10_"](self)

    def erf_(self) -> Tensor:
        """x ← erf x."""
        return METHODS["erf_"](self)

    def sin_(self) -> Tensor:
        """x ← sin x."""
        return METHODS["sin_"](self)

    def cos_(self) -> Tensor:
        """x ← cos x."""
        return METHODS["cos_"](self)

    def tan_(self) -> Tensor:
        """x ← tan x."""
        return METHODS["tan_"](self)

    def sinh_(self) -> Tensor:
        """x ← sinh x."""
        return METHODS["sinh_"](self)

    def cosh_(self) -> Tensor:
        """x ← cosh x."""
        return METHODS["cosh_"](self)

    def asin_(self) -> Tensor:
        """x ← arcsin x."""
        return METHODS["asin_"](self)

    def acos_(self) -> Tensor:
        """x ← arccos x."""
        return METHODS["acos_"](self)

    def atan_(self) -> Tensor:
        """x ← arctan x."""
        return METHODS["atan_"](self)

    def floor_(self) -> Tensor:
        """x ← ⌊x⌋."""
        return METHODS["floor_"](self)

    def ceil_(self) -> Tensor:
        """x ← ⌈x⌉."""
        return METHODS["ceil_"](self)

    def trunc_(self) -> Tensor:
        """x ← x without its fraction."""
        return METHODS["trunc_"](self)

    def sign_(self) -> Tensor:
        """x ← −1, 0 or 1."""
        return METHODS["sign_"](self)

    def round_(self, *, decimals: int = 0) -> Tensor:
        """x ← the nearest number with so many decimals."""
        return METHODS["round_"](self, decimals=decimals)

    def floor_divide_(self, other: Operand) -> Tensor:
        """x ← ⌊x / other⌋."""
        return METHODS["floor_divide_"](self, other)

    def remainder_(self, other: Operand) -> Tensor:
        """x ← x − ⌊x/other⌋ · other."""
        return METHODS["remainder_"](self, other)

    def fmod_(self, other: Operand) -> Tensor:
        """x ← x − trunc(x/other) · other."""
        return METHODS["fmod_"](self, other)

    def atan2_(self, other: Operand) -> Tensor:
        """x ← the angle of the point (other, x)."""
        return METHODS["atan2_"](self, other)

    def lerp_(self, end: Tensor, weight: Operand) -> Tensor:
        """x ← x + weight · (end − x)."""
        return METHODS["lerp_"](self, end, weight)

    def addcmul_(self, tensor1: Operand, tensor2: Operand, *, value: Scalar = 1) -> Tensor:
        """x ← x + value · tensor1 · tensor2."""
        return METHODS["addcmul_"](self, tensor1, tensor2, value=value)

    def addcdiv_(self, tensor1: Operand, tensor2: Operand, *, value: Scalar = 1) -> Tensor:
        """x ← x + value · tensor1 / tensor2."""
        return METHODS["addcdiv_"](self, tensor1, tensor2, value=value)

    def masked_fill_(self, mask: Tensor, value: Operand) -> Tensor:
        """x ← value where mask holds."""
        return METHODS["masked_fill_"](self, mask, value)

    def clamp_min_(self, min: Operand) -> Tensor:
        """x ← max(x, min)."""
        return METHODS["clamp_min_"](self, min)

    def clamp_max_(self, max: Operand) -> Tensor:
        """x ← min(x, max)."""
        return METHODS["clamp_max_"](self, max)

    def zero_(self) -> Tensor:
        """x ← 0."""
        return METHODS["fill_"](self, 0)

    def fill_(self, value: Operand) -> Tensor:
        """x ← value, a number or a Tensor with one element."""
        return METHODS["fill_"](self, value)

    def copy_(self, source: Operand) -> Tensor:
        """x ← source, which broadcasts to x and is converted to its dtype, of whatever kind, and device."""
        return METHODS["copy_"](self, source)

    def normal_(self, mean: float = 0.0, std: float = 1.0, *, generator: np.random.Generator | None = None) -> Tensor:
        """x ← numbers drawn from N(mean, std²), by `generator` or the thread's default. ValueError for std < 0."""
        return METHODS["normal_"](self, mean, std, generator)

    def uniform_(self, a: float = 0.0, b: float = 1.0, *, generator: np.random.Generator | None = None) -> Tensor:
        """x ← numbers drawn uniformly from [a, b), by `generator` or the thread's default. ValueError for a > b."""
        return METHODS["uniform_"](self, a, b, generator)
