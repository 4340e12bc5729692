"""Activation functions with kinks: ReLU and its kind. At a kink the derivative is torch's, which each class names.

A class keeps its input alone. `branches` says on which side of its kinks each element lies.
"""

from __future__ import annotations

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.operators import METHODS, method
from minires.core.settings import number
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.elementwise import Clip, LeakyReLU, ReLU, where
from minires.ops.exponential import exp
from minires.ops.float16 import in_float32
from minires.ops.inplace import change, register
from minires.ops.operands import check_floating, check_real, check_tensor, unary
from minires.ops.shape import BroadcastTo, reshape


class Hardtanh(Clip):
    """y = min(max(x, low), high);  y′ = 1 on the open interval, else 0: unlike clamp's, also at the two kinks."""

    def backward(self, g: Tensor) -> Tensor:
        x = self.inputs[0].data
        inside = backend.multiply(backend.compare(x, self.low, ">"), backend.compare(x, self.high, "<"))
        return where(Tensor(inside), g, 0.0)

    def branches(self, x: Array) -> Array:
        """1 from `high` on, −1 up to `low`, 0 between them."""
        return _sides(x, self.low, self.high)


class Hardswish(Function):
    """y = x · min(max(x + 3, 0), 6)/6;  y′ = x/3 + ½ for |x| < 3, 1 from 3 on, 0 up to −3."""

    def forward(self, x: Array) -> Array:
        return self.on_branches(self.branches(x), x)

    def backward(self, g: Tensor) -> Tensor:
        x = self.inputs[0]
        above, below = Tensor(backend.compare(x.data, 3, ">=")), Tensor(backend.compare(x.data, -3, "<="))
        return where(above, g, where(below, 0.0, g * (x / 3.0 + 0.5)))

    def branches(self, x: Array) -> Array:
        """1 from 3 on, −1 up to −3, 0 between them."""
        return _sides(x, -3, 3)

    def on_branches(self, branches: Array, x: Array) -> Array:
        shifted = backend.add(x, _constant(3, x))
        middle = backend.multiply(backend.multiply(x, shifted), x.dtype.type(1 / 6))
        x_or_middle = backend.where(backend.compare(branches, 0, ">"), x, middle)
        return backend.where(backend.compare(branches, 0, "<"), _constant(0, x), x_or_middle)


class ELU(Function):
    """y = s·x where x > 0, else s·α(eᵏˣ − 1);  y′ = s where x > 0, else s·α·k·eᵏˣ, also at 0."""

    def __init__(self, alpha: float, scale: float = 1.0, input_scale: float = 1.0) -> None:
        self.alpha, self.scale, self.input_scale = alpha, scale, input_scale

    def forward(self, x: Array) -> Array:
        return self.on_branches(self.branches(x), x)

    def backward(self, g: Tensor) -> Tensor:
        x = self.inputs[0]
        positive = Tensor(self.branches(x.data))
        x = where(positive, 0.0, x)  # eᵏˣ does not overflow then
        slope = exp(x * self.input_scale) * (self.scale * self.alpha * self.input_scale)
        return where(positive, g * self.scale, g * slope)

    def branches(self, x: Array) -> Array:
        return backend.compare(x, 0, ">")

    def on_branches(self, branches: Array, x: Array) -> Array:
        exponent = backend.multiply(backend.where(branches, _constant(0, x), x), x.dtype.type(self.input_scale))
        curved = backend.multiply(backend.expm1(exponent), x.dtype.type(self.scale * self.alpha))
        return backend.where(branches, backend.multiply(x, x.dtype.type(self.scale)), curved)


class PReLU(Function):
    """y = x where x > 0, else w·x;  ∂y/∂x = 1 where x > 0, else w, also at 0;  ∂y/∂w = 0 and x. Both of one shape."""

    def forward(self, x: Array, w: Array) -> Array:
        return self.on_branches(self.branches(x, w), x, w)

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        x, w = self.inputs
        positive = Tensor(self.branches(x.data, w.data))
        gx = where(positive, g, g * w) if self.needs_input_grad[0] else None
        gw = where(positive, 0.0, g * x) if self.needs_input_grad[1] else None
        return gx, gw

    def branches(self, x: Array, w: Array) -> Array:
        return backend.compare(x, 0, ">")

    def on_branches(self, branches: Array, x: Array, w: Array) -> Array:
        return backend.where(branches, x, backend.multiply(x, w))


class Threshold(Function):
    """y = x where x > t, else v;  y′ = 1 where x > t, else 0."""

    def __init__(self, threshold: float, value: float) -> None:
        self.threshold, self.value = threshold, value

    def forward(self, x: Array) -> Array:
        return self.on_branches(self.branches(x), x)

    def backward(self, g: Tensor) -> Tensor:
        return where(Tensor(self.branches(self.inputs[0].data)), 0.0, g)

    def branches(self, x: Array) -> Array:
        return backend.compare(x, self.threshold, "<=")

    def on_branches(self, branches: Array, x: Array) -> Array:
        return backend.where(branches, _constant(self.value, x), x)


class Hardshrink(Function):
    """y = x where |x| > λ, else 0;  y′ = 1 where |x| > λ, else 0."""

    def __init__(self, lambd: float) -> None:
        self.lambd = lambd

    def forward(self, x: Array) -> Array:
        return self.on_branches(self.branches(x), x)

    def backward(self, g: Tensor) -> Tensor:
        return where(Tensor(backend.compare(self.branches(self.inputs[0].data), 0, "==")), 0.0, g)

    def branches(self, x: Array) -> Array:
        """1 above λ, −1 below −λ, 0 between them; 1 for NaN, which stays NaN."""
        not_above = backend.astype(backend.compare(x, self.lambd, "<="), "int8")
        below = backend.astype(backend.compare(x, -self.lambd, "<"), "int8")
        return backend.subtract(backend.subtract(below.dtype.type(1), not_above), below)

    def on_branches(self, branches: Array, x: Array) -> Array:
        return backend.where(backend.compare(branches, 0, "=="), _constant(0, x), x)


class Softshrink(Hardshrink):
    """y = x − λ where x > λ, x + λ where x < −λ, else 0;  y′ = 1 where |x| > λ, else 0."""

    def on_branches(self, branches: Array, x: Array) -> Array:
        shift = backend.multiply(backend.astype(branches, x.dtype), x.dtype.type(self.lambd))
        return backend.where(backend.compare(branches, 0, "=="), _constant(0, x), backend.subtract(x, shift))


def _constant(value: float, x: Array) -> Array:
    """A number as an array of x's dtype, where x is."""
    return backend.as_array(x.dtype.type(value), x)


def _sides(x: Array, low: float, high: float) -> Array:
    """1 from `high` on, −1 up to `low`, 0 between them, as int8."""
    above, below = backend.compare(x, high, ">="), backend.compare(x, low, "<=")
    return backend.subtract(backend.astype(above, "int8"), backend.astype(below, "int8"))


# -- the functions ----------------------------------------------------------------------------------------------------
# With `inplace`, input itself becomes the result, and is returned.


@method("relu")
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0) (torch.nn.functional.relu)."""
    return METHODS["relu_"](input) if inplace else unary("relu", ReLU(), input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where x > 0, else negative_slope · x (torch.nn.functional.leaky_relu)."""
    negative_slope = number("leaky_relu", "negative_slope", negative_slope)
    if inplace:
        return METHODS["leaky_relu_"](input, negative_slope)
    return unary("leaky_relu", LeakyReLU(negative_slope), input)


@method("prelu")
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where x > 0, else w · x, with w learned (torch.nn.functional.prelu).

    input: (N, C, …); weight: (), (1,), or (C,) with one number for each channel. Raises ShapeError for others.
    """
    check_floating("prelu", input)
    check_tensor("prelu", weight)
    check_real("prelu", input, weight)
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.numel() not in (1, channels):
        raise ShapeError(f"prelu: weight {weight.shape} must be (1,) or ({channels},) for input {input.shape}")
    weight = reshape(weight, tuple(weight.numel() if k == 1 else 1 for k in range(input.ndim)))
    return PReLU()(input, BroadcastTo(input.shape)(weight))


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """min(max(x, min_val), max_val), with derivative 0 at the bounds (torch.nn.functional.hardtanh)."""
    low, high = number("hardtanh", "min_val", min_val), number("hardtanh", "max_val", max_val)
    if low > high:
        raise ValueError(f"hardtanh: min_val = {low} must not be greater than max_val = {high}")
    if inplace:
        return change("hardtanh_", input, lambda x: hardtanh(x, low, high))
    return unary("hardtanh", Hardtanh(low, high), input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6), with derivative 0 at 0 and 6 (torch.nn.functional.relu6)."""
    return change("relu6", input, relu6) if inplace else unary("relu6", Hardtanh(0.0, 6.0), input)


@in_float32
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x + 3, 0), 6)/6, with derivative 0 at ±3 (torch.nn.functional.hardsigmoid)."""
    if inplace:
        return change("hardsigmoid", input, hardsigmoid)
    check_floating("hardsigmoid", input)
    return unary("hardsigmoid", Hardtanh(0.0, 6.0), input + 3.0) / 6.0


@in_float32
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · min(max(x + 3, 0), 6)/6 (torch.nn.functional.hardswish; Howard et al. 2019)."""
    return change("hardswish", input, hardswish) if inplace else unary("hardswish", Hardswish(), input)


@in_float32
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha · (eˣ − 1) (torch.nn.functional.elu; Clevert et al. 2016)."""
    alpha = number("elu", "alpha", alpha)
    return change("elu_", input, lambda x: elu(x, alpha)) if inplace else unary("elu", ELU(alpha), input)


SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@in_float32
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """s · elu(x, α), whose fixed point is mean 0 and variance 1 (torch.nn.functional.selu; Klambauer et al. 2017)."""
    return change("selu_", input, selu) if inplace else unary("selu", ELU(SELU_ALPHA, SELU_SCALE), input)


@in_float32
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where x > 0, else alpha · (exp(x/alpha) − 1) (torch.nn.functional.celu). Raises ValueError for alpha = 0."""
    alpha = number("celu", "alpha", alpha)
    if not alpha:
        raise ValueError("celu: alpha must not be 0")
    if inplace:
        return change("celu_", input, lambda x: celu(x, alpha))
    return unary("celu", ELU(alpha, input_scale=1 / alpha), input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value (torch.nn.functional.threshold)."""
    bound, value = number("threshold", "threshold", threshold), number("threshold", "value", value)
    if inplace:
        return change("threshold_", input, lambda x: unary("threshold", Threshold(bound, value), x))
    return unary("threshold", Threshold(bound, value), input)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x where |x| > lambd, else 0 (torch.nn.functional.hardshrink)."""
    return unary("hardshrink", Hardshrink(number("hardshrink", "lambd", lambd)), input)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved by lambd towards 0, and 0 where |x| ≤ lambd (torch.nn.functional.softshrink). ValueError if lambd < 0."""
    return unary("softshrink", Softshrink(number("softshrink", "lambd", lambd, 0)), input)


relu_, leaky_relu_ = register("relu_", relu), register("leaky_relu_", leaky_relu)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """elu in place (torch.nn.functional.elu_)."""
    return elu(input, alpha, inplace=True)


def selu_(input: Tensor) -> Tensor:
    """selu in place (torch.nn.functional.selu_)."""
    return selu(input, inplace=True)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """celu in place (torch.nn.functional.celu_)."""
    return celu(input, alpha, inplace=True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """hardtanh in place (torch.nn.functional.hardtanh_)."""
    return hardtanh(input, min_val, max_val, inplace=True)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """threshold in place (torch.nn.functional.threshold_)."""
    return _threshold(input, threshold, value, inplace=True)


_threshold = threshold  # which the argument of the same name hides
