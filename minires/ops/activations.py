"""Smooth activation functions. Each class keeps its input alone; `rectifiers.py` has those with kinks."""

from __future__ import annotations

import math

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.operators import method
from minires.core.settings import number
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.elementwise import Sigmoid, Tanh, where
from minires.ops.exponential import erf, exp
from minires.ops.float16 import in_float32
from minires.ops.inplace import change, register
from minires.ops.operands import axis_of, check_floating, check_real, unary


def _scalar(value: float, x: Array) -> Array:
    """A number as an array of x's dtype."""
    return backend.as_array(x.dtype.type(value), x)


def _log1p_exp(x: Array) -> Array:
    """ln(1 + e^−|x|), which never overflows."""
    return backend.log1p(backend.exp(backend.minimum(x, backend.negative(x))))


class Softplus(Function):
    """y = ln(1 + eᵇˣ)/b, and x itself where bx > threshold;  y′ = σ(bx), and 1 there."""

    def __init__(self, beta: float, threshold: float) -> None:
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Array) -> Array:
        return self.on_branches(self.branches(x), x)

    def backward(self, g: Tensor) -> Tensor:
        x = self.inputs[0]
        return where(Tensor(self.branches(x.data)), g, g * sigmoid(x * self.beta))

    def branches(self, x: Array) -> Array:
        return backend.compare(backend.multiply(x, x.dtype.type(self.beta)), self.threshold, ">")

    def on_branches(self, branches: Array, x: Array) -> Array:
        bx = backend.multiply(x, x.dtype.type(self.beta))
        curved = backend.add(backend.relu(bx), _log1p_exp(bx))
        return backend.where(branches, x, backend.multiply(curved, x.dtype.type(1 / self.beta)))


class LogSigmoid(Function):
    """y = ln σ(x) = min(x, 0) − ln(1 + e^−|x|);  y′ = σ(−x)."""

    def forward(self, x: Array) -> Array:
        return backend.subtract(backend.minimum(x, _scalar(0, x)), _log1p_exp(x))

    def backward(self, g: Tensor) -> Tensor:
        return g * sigmoid(-self.inputs[0])


class SiLU(Function):
    """y = x σ(x);  y′ = σ(x) (1 + x (1 − σ(x)))."""

    def forward(self, x: Array) -> Array:
        return backend.multiply(x, backend.sigmoid(x))

    def backward(self, g: Tensor) -> Tensor:
        x = self.inputs[0]
        s = sigmoid(x)
        return g * s * (1.0 + x * (1.0 - s))


class Mish(Function):
    """y = x tanh(s), s = ln(1 + eˣ);  y′ = tanh s + x (1 − tanh² s) σ(x)."""

    def forward(self, x: Array) -> Array:
        return backend.multiply(x, backend.tanh(backend.add(backend.relu(x), _log1p_exp(x))))

    def backward(self, g: Tensor) -> Tensor:
        x = self.inputs[0]
        t = Tanh()(Softplus(1.0, math.inf)(x))
        return g * (t + x * (1.0 - t * t) * sigmoid(x))


class GELU(Function):
    """y = x Φ(x) = x/2 (1 + erf(x/√2));  y′ = Φ(x) + x exp(−x²/2)/√(2π)."""

    def forward(self, x: Array) -> Array:
        half = backend.multiply(x, x.dtype.type(0.5))
        return backend.add(half, backend.multiply(half, backend.erf(backend.multiply(x, x.dtype.type(math.sqrt(0.5))))))

    def backward(self, g: Tensor) -> Tensor:
        x = self.inputs[0]
        cumulative = erf(x * math.sqrt(0.5)) * 0.5 + 0.5
        return g * (cumulative + x * exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi)))


class GELUTanh(Function):
    """y = x/2 (1 + t), t = tanh(u), u = √(2/π) (x + a x³);  y′ = (1 + t)/2 + x/2 (1 − t²) √(2/π) (1 + 3a x²)."""

    a, factor = 0.044715, math.sqrt(2 / math.pi)

    def forward(self, x: Array) -> Array:
        slope = backend.add(
            backend.multiply(backend.multiply(x, x), x.dtype.type(self.a * self.factor)), _scalar(self.factor, x)
        )
        half = backend.multiply(x, x.dtype.type(0.5))
        return backend.add(half, backend.multiply(half, backend.tanh(backend.multiply(x, slope))))

    def backward(self, g: Tensor) -> Tensor:
        x = self.inputs[0]
        square = x * x
        t = Tanh()(x * (square * (self.a * self.factor) + self.factor))
        du = square * (3 * self.a * self.factor) + self.factor
        return g * (0.5 + 0.5 * t + 0.5 * x * (1.0 - t * t) * du)


class Softsign(Function):
    """y = x/(1 + |x|);  y′ = 1/(1 + |x|)²."""

    def forward(self, x: Array) -> Array:
        return backend.divide(x, backend.add(backend.absolute(x), _scalar(1, x)))

    def backward(self, g: Tensor) -> Tensor:
        return g / (1.0 + abs(self.inputs[0])) ** 2


# -- the functions ----------------------------------------------------------------------------------------------------
# With `inplace`, input itself becomes the result, and is returned. All raise DtypeError for integers.


@method("sigmoid")
def sigmoid(input: Tensor) -> Tensor:
    """1/(1 + e⁻ˣ) (torch.sigmoid)."""
    return unary("sigmoid", Sigmoid(), input)


@in_float32
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + exp(beta·x))/beta, and x itself where beta·x > threshold (torch.nn.functional.softplus)."""
    beta = number("softplus", "beta", beta)
    if not beta:
        raise ValueError("softplus: beta must not be 0")
    return unary("softplus", Softplus(beta, number("softplus", "threshold", threshold)), input)


@in_float32
def logsigmoid(input: Tensor) -> Tensor:
    """ln(1/(1 + e⁻ˣ)), finite for every x (torch.nn.functional.logsigmoid)."""
    return _real("logsigmoid", LogSigmoid(), input)


@in_float32
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x · σ(x), also called swish (torch.nn.functional.silu)."""
    return change("silu", input, silu) if inplace else unary("silu", SiLU(), input)


@in_float32
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · tanh(ln(1 + eˣ)) (torch.nn.functional.mish; Misra 2019)."""
    return change("mish", input, mish) if inplace else _real("mish", Mish(), input)


@in_float32
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x · Φ(x), Φ being the normal distribution's, or its approximation by "tanh" (torch.nn.functional.gelu).

    Hendrycks & Gimpel 2016. Raises ValueError for another `approximate`.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate = {approximate!r} must be 'none' or 'tanh'")
    return _real("gelu", GELU() if approximate == "none" else GELUTanh(), input)


@in_float32
def softsign(input: Tensor) -> Tensor:
    """x/(1 + |x|) (torch.nn.functional.softsign)."""
    return _real("softsign", Softsign(), input)


@in_float32
def tanhshrink(input: Tensor) -> Tensor:
    """x − tanh x (torch.nn.functional.tanhshrink)."""
    return input - unary("tanhshrink", Tanh(), input)


@in_float32
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a · σ(b), where input is (a, b) along dim (torch.nn.functional.glu). Raises ShapeError for an odd length."""
    check_floating("glu", input)
    axis = axis_of("glu", dim, input.ndim)
    if not input.ndim or input.shape[axis] % 2:
        raise ShapeError(f"glu: dim {dim} of shape {input.shape} must have an even length")
    n = input.shape[axis] // 2
    before = (slice(None),) * axis
    return input[(*before, slice(None, n))] * sigmoid(input[(*before, slice(n, None))])


register("sigmoid_", sigmoid)


def _real(name: str, op: Function, x: Tensor) -> Tensor:
    check_floating(name, x)
    check_real(name, x)
    return op(x)
