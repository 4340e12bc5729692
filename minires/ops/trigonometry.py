"""Trigonometric and hyperbolic functions and their inverses. Each raises DtypeError for integers."""

from __future__ import annotations

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.numpy_functions import refuses_out
from minires.core.operators import Operand, method
from minires.core.tensor import Tensor
from minires.ops.arithmetic import sqrt
from minires.ops.elementwise import Tanh, where
from minires.ops.inplace import register
from minires.ops.operands import check_broadcast, check_floating, check_real, same_kind, unary
from minires.ops.shape import BroadcastTo


class Sin(Function):
    """y = sin x;  y′ = cos x."""

    def forward(self, x: Array) -> Array:
        return backend.sin(x)

    def backward(self, g: Tensor) -> Tensor:
        return g * Cos()(self.inputs[0])


class Cos(Function):
    """y = cos x;  y′ = −sin x."""

    def forward(self, x: Array) -> Array:
        return backend.cos(x)

    def backward(self, g: Tensor) -> Tensor:
        return -g * Sin()(self.inputs[0])


class Tan(Function):
    """y = tan x;  y′ = 1 + y²."""

    saved_inputs, saves_output = (), True

    def forward(self, x: Array) -> Array:
        return backend.tan(x)

    def backward(self, g: Tensor) -> Tensor:
        y = self.output()
        return g * (1.0 + y * y)


class Sinh(Function):
    """y = (eˣ − e⁻ˣ)/2;  y′ = cosh x."""

    def forward(self, x: Array) -> Array:
        return backend.sinh(x)

    def backward(self, g: Tensor) -> Tensor:
        return g * Cosh()(self.inputs[0])


class Cosh(Function):
    """y = (eˣ + e⁻ˣ)/2;  y′ = sinh x."""

    def forward(self, x: Array) -> Array:
        return backend.cosh(x)

    def backward(self, g: Tensor) -> Tensor:
        return g * Sinh()(self.inputs[0])


class Asin(Function):
    """y = arcsin x;  y′ = 1/√(1 − x²)."""

    def forward(self, x: Array) -> Array:
        return backend.asin(x)

    def backward(self, g: Tensor) -> Tensor:
        x = self.inputs[0]
        return g / sqrt(1.0 - x * x)


class Acos(Function):
    """y = arccos x;  y′ = −1/√(1 − x²)."""

    def forward(self, x: Array) -> Array:
        return backend.acos(x)

    def backward(self, g: Tensor) -> Tensor:
        x = self.inputs[0]
        return -g / sqrt(1.0 - x * x)


class Atan(Function):
    """y = arctan x;  y′ = 1/(1 + x²)."""

    def forward(self, x: Array) -> Array:
        return backend.atan(x)

    def backward(self, g: Tensor) -> Tensor:
        x = self.inputs[0]
        return g / (1.0 + x * x)


class Atan2(Function):
    """θ = the angle of the point (x, y);  ∂θ/∂y = x/(x² + y²),  ∂θ/∂x = −y/(x² + y²), at (0, 0) 0. Of one shape."""

    def forward(self, y: Array, x: Array) -> Array:
        return backend.atan2(y, x)

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        y, x = self.inputs
        square = x * x + y * y
        share = g / where(square.detach() == 0, 1.0, square)
        return share * x if self.needs_input_grad[0] else None, -share * y if self.needs_input_grad[1] else None


@refuses_out
@method("sin")
def sin(input: Tensor) -> Tensor:
    """Sine of an angle in radians (torch.sin)."""
    return unary("sin", Sin(), input)


@refuses_out
@method("cos")
def cos(input: Tensor) -> Tensor:
    """Cosine of an angle in radians (torch.cos)."""
    return unary("cos", Cos(), input)


@refuses_out
@method("tan")
def tan(input: Tensor) -> Tensor:
    """Tangent of an angle in radians (torch.tan)."""
    return unary("tan", Tan(), input)


@refuses_out
@method("sinh")
def sinh(input: Tensor) -> Tensor:
    """Hyperbolic sine (torch.sinh)."""
    return unary("sinh", Sinh(), input)


@refuses_out
@method("cosh")
def cosh(input: Tensor) -> Tensor:
    """Hyperbolic cosine (torch.cosh)."""
    return unary("cosh", Cosh(), input)


@refuses_out
@method("tanh")
def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent (torch.tanh)."""
    return unary("tanh", Tanh(), input)


@refuses_out
@method("asin")
def asin(input: Tensor) -> Tensor:
    """The angle in [−π/2, π/2] whose sine is x; NaN where |x| > 1 (torch.asin)."""
    return unary("asin", Asin(), input)


@refuses_out
@method("acos")
def acos(input: Tensor) -> Tensor:
    """The angle in [0, π] whose cosine is x; NaN where |x| > 1 (torch.acos)."""
    return unary("acos", Acos(), input)


@refuses_out
@method("atan")
def atan(input: Tensor) -> Tensor:
    """The angle in (−π/2, π/2) whose tangent is x (torch.atan)."""
    return unary("atan", Atan(), input)


@refuses_out
@method("atan2")
def atan2(input: Operand, other: Operand) -> Tensor:
    """The angle, in [−π, π], of the point whose y is input and whose x is other (torch.atan2)."""
    y, x = same_kind(input, other)
    check_floating("atan2", y)
    check_real("atan2", y)
    shape = check_broadcast("atan2", y, x)
    y, x = (each if each.shape == shape else BroadcastTo(shape)(each) for each in (y, x))
    return Atan2()(y, x)


for _operation in (acos, asin, atan, atan2, cos, cosh, sin, sinh, tan, tanh):
    register(f"{_operation.__name__}_", _operation)
