"""A small relative of logsumexp, of two operands. Nothing overflows, since differences alone are raised."""

from __future__ import annotations

import math

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.operators import Operand, method
from minires.core.tensor import Tensor
from minires.ops.activations import sigmoid
from minires.ops.arithmetic import subtract
from minires.ops.operands import check_broadcast, check_floating, check_real, same_kind
from minires.ops.shape import sum_to


class LogAddExp(Function):
    """y = ln(eᵃ + eᵇ) = m + ln(eᵃ⁻ᵐ + eᵇ⁻ᵐ) with m = max(a, b);  ∂y/∂a = 1/(1 + eᵇ⁻ᵃ) = σ(a − b), ∂y/∂b = σ(b − a)."""

    def forward(self, a: Array, b: Array) -> Array:
        m = backend.maximum(a, b)
        is_finite = backend.compare(backend.absolute(m), math.inf, "<")
        shift = backend.where(is_finite, m, m.dtype.type(0))  # ∞ − ∞ would be NaN
        total = backend.add(backend.exp(backend.subtract(a, shift)), backend.exp(backend.subtract(b, shift)))
        return backend.add(shift, backend.log(total))

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        a, b = self.inputs
        share = sigmoid(subtract(a, b))  # of a
        ga = sum_to(g * share, a.shape) if self.needs_input_grad[0] else None
        gb = sum_to(g * sigmoid(subtract(b, a)), b.shape) if self.needs_input_grad[1] else None
        return ga, gb


@method("logaddexp")
def logaddexp(input: Operand, other: Operand) -> Tensor:
    """ln(eᵃ + eᵇ) of each pair of elements, without overflow (torch.logaddexp). Shapes broadcast."""
    a, b = same_kind(input, other)
    check_floating("logaddexp", a)
    check_real("logaddexp", a)
    check_broadcast("logaddexp", a, b)
    return LogAddExp()(a, b)
