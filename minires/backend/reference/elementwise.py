"""Elementwise kernels. They order complex numbers by their real part, as a complex step through a kink needs."""

from __future__ import annotations

import operator
from typing import Any

from minires.backend.arrays import Array, array_module
from minires.backend.reference.cache_blocks import in_cache_blocks

RELATIONS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def add(x: Array, y: Array) -> Array:
    return x + y


def subtract(x: Array, y: Array) -> Array:
    return x - y


def multiply(x: Array, y: Array) -> Array:
    return x * y


def divide(x: Array, y: Array) -> Array:
    return x / y


def power(x: Array, y: Array) -> Array:
    if y.ndim == 0 and y == 2:  # the most frequent case, and much faster than pow
        return x * x
    return x**y


def negative(x: Array) -> Array:
    return -x


def exp(x: Array) -> Array:
    return array_module(x).exp(x)


def log(x: Array) -> Array:
    return array_module(x).log(x)


def sqrt(x: Array) -> Array:
    return array_module(x).sqrt(x)


def tanh(x: Array) -> Array:
    return array_module(x).tanh(x)


@in_cache_blocks
def sigmoid(x: Array) -> Array:
    # σ(x) = (1 + tanh(x/2)) / 2 never overflows, but loses the small values of σ for x ≪ 0;
    # e^min(x,0) / (e^min(x,0) + e^−max(x,0)) keeps them and never overflows either.
    xp = array_module(x)
    numerator, other = xp.exp(minimum(x, x.dtype.type(0))), xp.exp(-relu(x))
    return numerator / (numerator + other)


def relu(x: Array) -> Array:
    xp = array_module(x)
    if x.dtype.kind == "c":
        return xp.where(x.real > 0, x, 0)
    return xp.maximum(x, x.dtype.type(0))


def relu_mask(gy: Array, y: Array) -> Array:
    # A product with the mask y > 0 would be faster, but gives 0 · ∞ = NaN where the gradient is 0.
    return array_module(gy).where(y.real > 0, gy, gy.dtype.type(0))


def absolute(x: Array) -> Array:
    xp = array_module(x)
    if x.dtype.kind == "c":
        return xp.where(x.real < 0, -x, x)
    return xp.abs(x)


def sign(x: Array) -> Array:
    return array_module(x).sign(x.real).astype(x.dtype)


def maximum(x: Array, y: Array) -> Array:
    xp = array_module(x)
    if x.dtype.kind == "c":
        return xp.where((x.real >= y.real) | xp.isnan(x.real), x, y)
    return xp.maximum(x, y)


def minimum(x: Array, y: Array) -> Array:
    xp = array_module(x)
    if x.dtype.kind == "c":
        return xp.where((x.real <= y.real) | xp.isnan(x.real), x, y)
    return xp.minimum(x, y)


def compare(x: Array, y: Array | float, relation: str) -> Array:
    return RELATIONS[relation](x.real, y.real)


def where(condition: Array, x: Array, y: Array) -> Array:
    return array_module(x).where(condition, x, y)


def astype(x: Array, dtype: Any) -> Array:
    if x.dtype.kind == "c" and array_module(x).dtype(dtype).kind != "c":
        x = x.real
    return x.astype(dtype)


def round(x: Array, towards: str) -> Array:
    xp = array_module(x)
    return {"floor": xp.floor, "ceil": xp.ceil, "trunc": xp.trunc, "even": xp.rint}[towards](x.real).astype(x.dtype)


def rounded_quotient(x: Array, y: Array, rounding: str) -> Array:
    xp = array_module(x)
    x, y, dtype = x.real, y.real, x.dtype
    if rounding == "floor":
        return xp.floor_divide(x, y).astype(dtype)
    # Of integers, x − fmod(x, y) is a multiple of y.
    quotient = xp.trunc(x / y) if x.dtype.kind == "f" else xp.floor_divide(x - xp.fmod(x, y), y)
    return quotient.astype(dtype)


def remainder(x: Array, y: Array, rounding: str) -> Array:
    xp = array_module(x)
    if x.dtype.kind == "c":
        return x - rounded_quotient(x, y, rounding) * y
    return xp.remainder(x, y) if rounding == "floor" else xp.fmod(x, y)


def isfinite(x: Array) -> bool:
    return x.dtype.kind not in "fc" or bool(array_module(x).isfinite(x).all())
