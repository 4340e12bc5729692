"""Trigonometric functions, their inverses, and exponentials and logarithms that NumPy has."""

from __future__ import annotations

from minires.backend.arrays import Array, array_module


def expm1(x: Array) -> Array:
    return array_module(x).expm1(x)


def log1p(x: Array) -> Array:
    return array_module(x).log1p(x)


def log2(x: Array) -> Array:
    return array_module(x).log2(x)


def log10(x: Array) -> Array:
    return array_module(x).log10(x)


def sin(x: Array) -> Array:
    return array_module(x).sin(x)


def cos(x: Array) -> Array:
    return array_module(x).cos(x)


def tan(x: Array) -> Array:
    return array_module(x).tan(x)


def sinh(x: Array) -> Array:
    return array_module(x).sinh(x)


def cosh(x: Array) -> Array:
    return array_module(x).cosh(x)


def asin(x: Array) -> Array:
    return array_module(x).arcsin(x)


def acos(x: Array) -> Array:
    return array_module(x).arccos(x)


def atan(x: Array) -> Array:
    return array_module(x).arctan(x)


def atan2(y: Array, x: Array) -> Array:
    xp = array_module(y)
    if y.dtype.kind != "c":
        return xp.arctan2(y, x)
    # dθ = (x dy − y dx)/(x² + y²), to first order in the imaginary parts.
    slope = (x.real * y.imag - y.real * x.imag) / (x.real * x.real + y.real * y.real)
    return (xp.arctan2(y.real, x.real) + 1j * slope).astype(y.dtype)
