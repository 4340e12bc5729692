"""Exponentials, logarithms and the error function. Each raises DtypeError for integers."""

from __future__ import annotations

import math

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.numpy_functions import refuses_out
from minires.core.operators import method
from minires.core.tensor import Tensor
from minires.ops.elementwise import Exp, Log
from minires.ops.operands import check_real, unary


class Log1p(Function):
    """y = ln(1 + x), accurate where x is small;  y′ = 1/(1 + x)."""

    def forward(self, x: Array) -> Array:
        return backend.log1p(x)

    def backward(self, g: Tensor) -> Tensor:
        return g / (1.0 + self.inputs[0])


class Expm1(Function):
    """y = eˣ − 1, accurate where x is small;  y′ = y + 1."""

    saved_inputs, saves_output = (), True

    def forward(self, x: Array) -> Array:
        return backend.expm1(x)

    def backward(self, g: Tensor) -> Tensor:
        return g * (self.output() + 1.0)


class Log2(Function):
    """y = log₂ x;  y′ = 1/(x ln 2)."""

    def forward(self, x: Array) -> Array:
        return backend.log2(x)

    def backward(self, g: Tensor) -> Tensor:
        return g / (self.inputs[0] * math.log(2))


class Log10(Function):
    """y = log₁₀ x;  y′ = 1/(x ln 10)."""

    def forward(self, x: Array) -> Array:
        return backend.log10(x)

    def backward(self, g: Tensor) -> Tensor:
        return g / (self.inputs[0] * math.log(10))


class Erf(Function):
    """y = 2/√π ∫₀ˣ exp(−t²) dt;  y′ = 2/√π exp(−x²)."""

    def forward(self, x: Array) -> Array:
        return backend.erf(x)

    def backward(self, g: Tensor) -> Tensor:
        x = self.inputs[0]
        return g * (exp(-x * x) * (2 / math.sqrt(math.pi)))


@refuses_out
@method("exp")
def exp(input: Tensor) -> Tensor:
    """eˣ (torch.exp)."""
    return unary("exp", Exp(), input)


@refuses_out
@method("log")
def log(input: Tensor) -> Tensor:
    """Natural logarithm (torch.log)."""
    return unary("log", Log(), input)


@refuses_out
@method("log1p")
def log1p(input: Tensor) -> Tensor:
    """ln(1 + x), accurate where x is small (torch.log1p)."""
    return unary("log1p", Log1p(), input)


@refuses_out
@method("expm1")
def expm1(input: Tensor) -> Tensor:
    """eˣ − 1, accurate where x is small (torch.expm1)."""
    return unary("expm1", Expm1(), input)


@refuses_out
@method("log2")
def log2(input: Tensor) -> Tensor:
    """Logarithm to the base 2 (torch.log2)."""
    return unary("log2", Log2(), input)


@refuses_out
@method("log10")
def log10(input: Tensor) -> Tensor:
    """Logarithm to the base 10 (torch.log10)."""
    return unary("log10", Log10(), input)


@refuses_out
@method("erf")
def erf(input: Tensor) -> Tensor:
    """The error function 2/√π ∫₀ˣ exp(−t²) dt (torch.erf). Raises DtypeError for complex numbers."""
    check_real("erf", input)
    return unary("erf", Erf(), input)
