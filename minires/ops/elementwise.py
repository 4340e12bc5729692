"""Elementwise operations: each has a formula, and its derivative beside it.

For y = f(x) and the gradient g = ∂L/∂y of the output, backward returns ∂L/∂x = g · f′(x). It is written with Tensors
and other ops, so it can be differentiated again. `arithmetic.py` and its neighbours have the functions that users call.
"""

from __future__ import annotations

from collections.abc import Sequence

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.operators import Operand
from minires.core.tensor import Tensor
from minires.errors import DtypeError
from minires.ops.operands import as_tensor, check_broadcast, check_device, check_tensor, same_kind
from minires.ops.shape import sum_to

# ---------------------------------------------------------------------------------------------------------------------
# Ops of two operands. They broadcast, so each gradient is summed back to its operand's shape (`sum_to`).


class Add(Function):
    """y = a + b;  ∂y/∂a = ∂y/∂b = 1: both get the gradient unchanged. In `F(x) + x` this is the residual connection."""

    saved_inputs = ()

    def forward(self, a: Array, b: Array) -> Array:
        return backend.add(a, b)

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        a, b = self.inputs
        ga = sum_to(g, a.shape) if self.needs_input_grad[0] else None
        gb = sum_to(g, b.shape) if self.needs_input_grad[1] else None
        return ga, gb


class Subtract(Function):
    """y = a − b;  ∂y/∂a = 1,  ∂y/∂b = −1."""

    saved_inputs = ()

    def forward(self, a: Array, b: Array) -> Array:
        return backend.subtract(a, b)

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        a, b = self.inputs
        ga = sum_to(g, a.shape) if self.needs_input_grad[0] else None
        gb = sum_to(-g, b.shape) if self.needs_input_grad[1] else None
        return ga, gb


class Multiply(Function):
    """y = a · b;  ∂y/∂a = b,  ∂y/∂b = a."""

    @property
    def saved_inputs(self) -> Sequence[int]:  # type: ignore[override]  # each factor only for the other's gradient
        return [1 - i for i, needed in enumerate(self.needs_input_grad) if needed]

    def forward(self, a: Array, b: Array) -> Array:
        return backend.multiply(a, b)

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        a, b = self.inputs
        ga = sum_to(g * b, a.shape) if self.needs_input_grad[0] else None
        gb = sum_to(g * a, b.shape) if self.needs_input_grad[1] else None
        return ga, gb


class Divide(Function):
    """y = a / b;  ∂y/∂a = 1/b,  ∂y/∂b = −a/b²."""

    @property
    def saved_inputs(self) -> Sequence[int]:  # type: ignore[override]  # a only for the gradient of b
        return (0, 1) if self.needs_input_grad[1] else (1,)

    def forward(self, a: Array, b: Array) -> Array:
        return backend.divide(a, b)

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        a, b = self.inputs
        ga = sum_to(g / b, a.shape) if self.needs_input_grad[0] else None
        gb = sum_to(-g * (a / b / b), b.shape) if self.needs_input_grad[1] else None
        return ga, gb


class Power(Function):
    """y = aᵇ;  ∂y/∂a = b·aᵇ⁻¹ (0 where a = b = 0),  ∂y/∂b = aᵇ ln a (0 where a = 0 and b ≥ 0)."""

    def forward(self, a: Array, b: Array) -> Array:
        return backend.power(a, b)

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        a, b = self.inputs
        ga = gb = None
        if self.needs_input_grad[0]:
            # 0 · 0⁻¹ is NaN. Masking the product would not do, since its own derivative would be NaN: take 0 · 0¹.
            constant = Tensor(backend.multiply(backend.compare(a.data, 0, "=="), backend.compare(b.data, 0, "==")))
            ga = sum_to(g * (b * a ** where(constant, 1.0, b - 1)), a.shape)
        if self.needs_input_grad[1]:
            # Where a = 0, ln a is −∞ but aᵇ·ln a → 0: take the logarithm of 1 there. The result is torch's.
            vanishing = Tensor(backend.multiply(backend.compare(a.data, 0, "=="), backend.compare(b.data, 0, ">=")))
            gb = sum_to(g * where(vanishing, 0.0, a**b * where(vanishing, 1.0, a).log()), b.shape)
        return ga, gb


class Maximum(Function):
    """y = max(a, b): the gradient goes to the larger, or half of it to each where they are equal (torch.maximum)."""

    loses = ("<", ">")  # a loses where a < b, b loses where a > b

    def forward(self, a: Array, b: Array) -> Array:
        return backend.maximum(a, b)

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        a, b = self.inputs
        share = where(Tensor(backend.compare(a.data, b.data, "==")), g * 0.5, g)
        a_loses, b_loses = (Tensor(backend.compare(a.data, b.data, relation)) for relation in self.loses)
        ga = sum_to(where(a_loses, 0.0, share), a.shape) if self.needs_input_grad[0] else None
        gb = sum_to(where(b_loses, 0.0, share), b.shape) if self.needs_input_grad[1] else None
        return ga, gb

    def branches(self, a: Array, b: Array) -> Array:
        """1 where a wins, −1 where b does, 0 where they are equal."""
        a_loses, b_loses = (backend.astype(backend.compare(a, b, relation), "int8") for relation in self.loses)
        return backend.subtract(b_loses, a_loses)

    def on_branches(self, branches: Array, a: Array, b: Array) -> Array:
        half = backend.multiply(backend.add(a, b), a.dtype.type(0.5))
        b_or_half = backend.where(backend.compare(branches, 0, "<"), b, half)
        return backend.where(backend.compare(branches, 0, ">"), a, b_or_half)


class Minimum(Maximum):
    """y = min(a, b), with the conventions of Maximum."""

    loses = (">", "<")

    def forward(self, a: Array, b: Array) -> Array:
        return backend.minimum(a, b)


class Where(Function):
    """y = a where the condition holds, else b: each element's gradient goes to the operand that was taken."""

    saved_inputs = ()

    def __init__(self, condition: Array) -> None:
        self.condition = condition

    def forward(self, a: Array, b: Array) -> Array:
        return backend.where(self.condition, a, b)

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        a, b = self.inputs
        condition = Tensor(self.condition)
        ga = sum_to(where(condition, g, 0.0), a.shape) if self.needs_input_grad[0] else None
        gb = sum_to(where(condition, 0.0, g), b.shape) if self.needs_input_grad[1] else None
        return ga, gb

    def branches(self, a: Array, b: Array) -> Array:
        return self.condition  # it may come from comparing the very tensor by which f is differentiated

    def on_branches(self, branches: Array, a: Array, b: Array) -> Array:
        self.condition = branches
        return self.forward(a, b)


def where(condition: Tensor, input: Operand, other: Operand) -> Tensor:
    """input where condition holds, else other (torch.where). Raises DtypeError unless condition is bool."""
    check_tensor("where", condition)
    if condition.dtype.kind != "b":
        raise DtypeError(f"where: the condition must be bool, got {condition.dtype}; compare it, as in x != 0")
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        input = as_tensor(input, condition)  # like a bool: 1 is int64, 0.5 float32
    a, b = same_kind(input, other)
    check_device("where", condition, a, b)
    check_broadcast("where", condition, a, b)
    return Where(condition.data)(a, b)


# ---------------------------------------------------------------------------------------------------------------------
# Smooth ops of one operand.


class Negative(Function):
    """y = −x;  y′ = −1."""

    saved_inputs = ()

    def forward(self, x: Array) -> Array:
        return backend.negative(x)

    def backward(self, g: Tensor) -> Tensor:
        return -g


class Exp(Function):
    """y = eˣ;  y′ = y."""

    saved_inputs, saves_output = (), True

    def forward(self, x: Array) -> Array:
        return backend.exp(x)

    def backward(self, g: Tensor) -> Tensor:
        return g * self.output()


class Log(Function):
    """y = ln x;  y′ = 1/x."""

    def forward(self, x: Array) -> Array:
        return backend.log(x)

    def backward(self, g: Tensor) -> Tensor:
        return g / self.inputs[0]


class Sqrt(Function):
    """y = √x;  y′ = 1/(2y), infinite at 0."""

    saved_inputs, saves_output = (), True

    def forward(self, x: Array) -> Array:
        return backend.sqrt(x)

    def backward(self, g: Tensor) -> Tensor:
        return g / (2.0 * self.output())


class Tanh(Function):
    """y = tanh x;  y′ = 1 − y²."""

    saved_inputs, saves_output = (), True

    def forward(self, x: Array) -> Array:
        return backend.tanh(x)

    def backward(self, g: Tensor) -> Tensor:
        y = self.output()
        return g * (1.0 - y * y)


class Sigmoid(Function):
    """y = 1/(1 + e⁻ˣ);  y′ = y(1 − y)."""

    saved_inputs, saves_output = (), True

    def forward(self, x: Array) -> Array:
        return backend.sigmoid(x)

    def backward(self, g: Tensor) -> Tensor:
        y = self.output()
        return g * y * (1.0 - y)


# ---------------------------------------------------------------------------------------------------------------------
# Ops of one operand with a kink. The derivative is constant on either side, so masks (arrays) may enter backward.


class ReLU(Function):
    """y = max(x, 0);  y′ = 1 where x > 0, else 0. At the kink ReLU′(0) = 0, as in torch."""

    saved_inputs, saves_output = (), True

    def forward(self, x: Array) -> Array:
        return backend.relu(x)

    def backward(self, g: Tensor) -> Tensor:
        return where(self.output().detach() > 0, g, 0.0)  # y > 0 exactly where x > 0

    def backward_fused(self, g: Array) -> Array:
        return backend.relu_mask(g, self.output().data)

    def branches(self, x: Array) -> Array:
        return backend.compare(x, 0, ">")

    def on_branches(self, branches: Array, x: Array) -> Array:
        return backend.where(branches, x, x.dtype.type(0))


class LeakyReLU(Function):
    """y = x where x > 0, else αx;  y′ = 1 where x > 0, else α, also at 0 as in torch."""

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def forward(self, x: Array) -> Array:
        return backend.where(backend.compare(x, 0, ">"), x, backend.multiply(x, x.dtype.type(self.slope)))

    def backward(self, g: Tensor) -> Tensor:
        return where(Tensor(backend.compare(self.inputs[0].data, 0, ">")), g, g * self.slope)

    def branches(self, x: Array) -> Array:
        return backend.compare(x, 0, ">")

    def on_branches(self, branches: Array, x: Array) -> Array:
        return backend.where(branches, x, backend.multiply(x, x.dtype.type(self.slope)))


class Absolute(Function):
    """y = |x|;  y′ = sign x, 0 at 0."""

    def forward(self, x: Array) -> Array:
        return backend.absolute(x)

    def backward(self, g: Tensor) -> Tensor:
        return g * Tensor(backend.sign(self.inputs[0].data))

    def branches(self, x: Array) -> Array:
        """1 where x > 0, −1 where x < 0, 0 where x = 0."""
        above, below = (backend.astype(backend.compare(x, 0, relation), "int8") for relation in (">", "<"))
        return backend.subtract(above, below)

    def on_branches(self, branches: Array, x: Array) -> Array:
        return backend.multiply(x, backend.astype(branches, x.dtype))


class Clip(Function):
    """y = min(max(x, low), high);  y′ = 1 on the closed interval, else 0 (torch.clamp)."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def forward(self, x: Array) -> Array:
        x = backend.maximum(x, backend.as_array(x.dtype.type(self.low), x))
        return backend.minimum(x, backend.as_array(x.dtype.type(self.high), x))

    def backward(self, g: Tensor) -> Tensor:
        x = self.inputs[0].data
        inside = backend.multiply(backend.compare(x, self.low, ">="), backend.compare(x, self.high, "<="))
        return where(Tensor(inside), g, 0.0)

    def branches(self, x: Array) -> Array:
        """1 above the interval, −1 below, 0 on it. If low > high, y is high and the branch 1 everywhere."""
        raised = backend.maximum(x, backend.as_array(x.dtype.type(self.low), x))
        below = backend.astype(backend.compare(x, self.low, "<"), "int8")
        return backend.where(backend.compare(raised, self.high, ">"), below.dtype.type(1), backend.negative(below))

    def on_branches(self, branches: Array, x: Array) -> Array:
        low_or_x = backend.where(backend.compare(branches, 0, "<"), x.dtype.type(self.low), x)
        return backend.where(backend.compare(branches, 0, ">"), x.dtype.type(self.high), low_or_x)
