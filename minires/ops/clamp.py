"""Limits: `clip`, which is torch's clamp. Bounds are numbers, or Tensors, which get the gradient where they hold."""

from __future__ import annotations

import math

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.numpy_functions import refuses_out
from minires.core.operators import Operand, method
from minires.core.settings import number
from minires.core.tensor import Tensor
from minires.ops.arithmetic import maximum, minimum
from minires.ops.elementwise import Clip, where
from minires.ops.operands import check_broadcast, check_real, check_tensor, same_kind, unary
from minires.ops.shape import BroadcastTo


class AtLeast(Function):
    """y = max(x, b): the gradient goes to b where x < b, else to x, unlike Maximum's also where both are equal.

    x and b have one shape.
    """

    loses = "<"  # x loses where x < b

    def forward(self, x: Array, b: Array) -> Array:
        return backend.maximum(x, b)

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        x, b = self.inputs
        bounded = Tensor(self.branches(x.data, b.data))
        gx = where(bounded, 0.0, g) if self.needs_input_grad[0] else None
        gb = where(bounded, g, 0.0) if self.needs_input_grad[1] else None
        return gx, gb

    def branches(self, x: Array, b: Array) -> Array:
        return backend.compare(x, b, self.loses)

    def on_branches(self, branches: Array, x: Array, b: Array) -> Array:
        return backend.where(branches, b, x)


class AtMost(AtLeast):
    """y = min(x, b), with the conventions of AtLeast."""

    loses = ">"

    def forward(self, x: Array, b: Array) -> Array:
        return backend.minimum(x, b)


@refuses_out
@method("clip")
def clip(input: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """Each element limited to [min, max]; None leaves that side open (torch.clamp).

    The gradient goes to input on the closed interval, else to the bound. Where min > max, the result is max. Raises
    ValueError for two Nones.
    """
    check_tensor("clip", input)
    if min is None and max is None:
        raise ValueError("clip: at least one of min and max must be given")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        return _by_tensors(input, min, max)
    low = -math.inf if min is None else number("clip", "min", min)
    high = math.inf if max is None else number("clip", "max", max)
    if input.dtype.kind in "iu":
        check_real("clip", input)
        input = input if min is None else maximum(input, low)
        return input if max is None else minimum(input, high)
    return unary("clip", Clip(low, high), input)


def _by_tensors(x: Tensor, low: Operand | None, high: Operand | None) -> Tensor:
    for bound, op in ((low, AtLeast()), (high, AtMost())):
        if bound is not None:
            x, limit = same_kind(x, bound)
            shape = check_broadcast("clip", x, limit)
            x, limit = (each if each.shape == shape else BroadcastTo(shape)(each) for each in (x, limit))
            check_real("clip", x)
            x = op(x, limit)
    return x


@refuses_out
@method("clamp_min")
def clamp_min(input: Tensor, min: Operand) -> Tensor:
    """Each element, but at least min (torch.clamp_min)."""
    return clip(input, min, None)


@refuses_out
@method("clamp_max")
def clamp_max(input: Tensor, max: Operand) -> Tensor:
    """Each element, but at most max (torch.clamp_max)."""
    return clip(input, None, max)


clamp = clip
