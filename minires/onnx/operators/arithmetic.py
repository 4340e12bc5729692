"""Elementwise arithmetic: Add, Mul, Pow, Exp, Max and their like. Operands broadcast as in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from minires import functional as F
from minires.core.tensor import Tensor
from minires.onnx.node import Node, operator

# Operators that are one function of MiniRes, without attributes and with the same meaning.
_SAME: dict[str, Callable[..., Any]] = {
    "Sub": F.sub,
    "Exp": F.exp,
    "Log": F.log,
    "Sqrt": F.sqrt,
    "Erf": F.erf,
    "Neg": F.neg,
    "Sin": F.sin,
    "Cos": F.cos,
    "Tan": F.tan,
    "Sinh": F.sinh,
    "Cosh": F.cosh,
    "Asin": F.asin,
    "Acos": F.acos,
    "Atan": F.atan,
    "Floor": F.floor,
    "Ceil": F.ceil,
    "Round": F.round,
    "Sign": F.sign,
    "Add": F.add,
    "Mul": F.mul,
}


def _entered(name: str, function: Callable[..., Any]) -> None:
    def compute(node: Node, *inputs: Tensor) -> Tensor:
        return function(*[_aligned(node, each, inputs[0]) for each in inputs])

    binary = name in ("Add", "Sub", "Mul")
    operator(name, "axis broadcast" if binary else "")(compute)


def _aligned(node: Node, x: Tensor, first: Tensor) -> Tensor:
    """x for opset 6, where a second operand may be placed at an axis of the first; later versions broadcast."""
    axis = node.get("axis")
    if axis is None or x is first or node.version >= 7:
        return x
    return x.reshape((*x.shape, *(1,) * (first.ndim - axis - x.ndim)))


for _name, _function in _SAME.items():
    _entered(_name, _function)


@operator("Abs")
def absolute(node: Node, x: Tensor) -> Tensor:
    """|x|; unsigned integers are themselves."""
    return x if x.dtype.kind in "ub" else F.abs(x)


@operator("Div", "axis broadcast")
def divide(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """a / b; integers are divided towards 0."""
    b = _aligned(node, b, a)
    if a.dtype.kind in "iu":
        zero = b.numpy() == 0
        if zero.any():
            node.refuse("divides an integer by 0")
        return F.divide(a, b, rounding_mode="trunc")
    return F.divide(a, b)


@operator("Reciprocal")
def reciprocal(node: Node, x: Tensor) -> Tensor:
    """1 / x."""
    return F.reciprocal(x)


@operator("Pow", "axis broadcast", settings=(1,))
def power(node: Node, base: Tensor, exponent: Tensor) -> Tensor:
    """baseᵉˣᵖᵒⁿᵉⁿᵗ, in the dtype of the base. An exponent 2 is a product, whose second derivative is exact at 0."""
    exponent = _aligned(node, exponent, base)
    if base.dtype.kind not in "fc":
        with np.errstate(all="ignore"):
            found = np.power(base.numpy(), exponent.numpy().astype(np.result_type(base.dtype, exponent.dtype)))
        return Tensor(np.asarray(found).astype(base.dtype))
    return F.pow(base, exponent.astype(base.dtype))


@operator("Mod", "fmod")
def modulo(node: Node, a: Tensor, b: Tensor) -> Tensor:
    """The rest of a / b: with the sign of b, or with fmod=1 that of a."""
    function = F.fmod if node.flag("fmod") else F.remainder
    return function(a, b)


@operator("Max")
def maximum(node: Node, *inputs: Tensor) -> Tensor:
    """The largest of the inputs, elementwise."""
    return reduce(F.maximum, inputs)


@operator("Min")
def minimum(node: Node, *inputs: Tensor) -> Tensor:
    """The smallest of the inputs, elementwise."""
    return reduce(F.minimum, inputs)


@operator("Sum")
def total(node: Node, *inputs: Tensor) -> Tensor:
    """The sum of the inputs, elementwise."""
    return reduce(F.add, inputs)


@operator("Mean")
def mean(node: Node, *inputs: Tensor) -> Tensor:
    """The mean of the inputs, elementwise."""
    return reduce(F.add, inputs) / float(len(inputs))


@operator("Clip", "min max", settings=(1, 2))
def clip(node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """min(max(x, low), high); before opset 11 the limits are attributes."""
    limits: list[Any] = [node.get("min"), node.get("max")] if node.version < 11 else [low, high]
    lower, upper = (each.item() if isinstance(each, Tensor) else each for each in limits)
    if node.version < 11:  # the standard's defaults there are the largest numbers of float32: no limits
        largest = float(np.finfo(np.float32).max)
        lower, upper = (None if each is None or abs(each) >= largest else each for each in (lower, upper))
    if x.dtype.kind not in "fc":
        found: Any = x.numpy()
        found = found if lower is None else np.maximum(found, found.dtype.type(lower))
        return Tensor(np.asarray(found if upper is None else np.minimum(found, found.dtype.type(upper))))
    if lower is None and upper is None:
        return x
    return F.clip(x, lower, upper)
