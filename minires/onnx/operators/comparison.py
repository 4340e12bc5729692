"""Comparisons and logic: Equal, Less, Not, Where. They have no gradient, but for the two that Where chooses from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minires import functional as F
from minires.core.tensor import Tensor
from minires.onnx.node import Node, operator
from minires.onnx.operators.arithmetic import _aligned

_SAME: dict[str, Callable[..., Any]] = {
    "Equal": F.eq,
    "Less": F.lt,
    "LessOrEqual": F.le,
    "Greater": F.gt,
    "GreaterOrEqual": F.ge,
    "And": F.logical_and,
    "Or": F.logical_or,
    "Xor": F.logical_xor,
    "Not": F.logical_not,
    "IsNaN": F.isnan,
}

_BY_AXIS = {"Equal", "Less", "Greater", "And", "Or", "Xor"}  # whose second operand opset 6 may place at an axis

for _name, _function in _SAME.items():

    def _compute(node: Node, *inputs: Tensor, function: Callable[..., Any] = _function) -> Tensor:
        return function(*[_aligned(node, each, inputs[0]) for each in inputs])

    operator(_name, "axis broadcast" if _name in _BY_AXIS else "")(_compute)


@operator("IsInf", "detect_negative detect_positive")
def is_infinite(node: Node, x: Tensor) -> Tensor:
    """Where x is infinite, of the signs that the attributes name."""
    found = F.isinf(x)
    if not node.flag("detect_negative"):
        found = F.logical_and(found, x > 0)
    if not node.flag("detect_positive"):
        found = F.logical_and(found, x < 0)
    return found


@operator("Where")
def where(node: Node, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a where the condition holds, else b."""
    return F.where(condition, a, b)
