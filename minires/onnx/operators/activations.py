"""Activation functions: Relu and its relatives, and the softmaxes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minires import functional as F
from minires.core.tensor import Tensor
from minires.onnx.node import Node, operator

for _name, _function in {"Sigmoid": F.sigmoid, "Tanh": F.tanh, "Softplus": F.softplus, "Softsign": F.softsign}.items():

    def _compute(node: Node, x: Tensor, function: Callable[..., Any] = _function) -> Tensor:
        return function(x)

    operator(_name)(_compute)


@operator("Relu")
def relu(node: Node, x: Tensor) -> Tensor:
    """max(x, 0)."""
    return F.relu(x)


@operator("LeakyRelu", "alpha")
def leaky_relu(node: Node, x: Tensor) -> Tensor:
    """x where x > 0, else alpha · x."""
    return F.leaky_relu(x, node.number("alpha"))


@operator("PRelu")
def prelu(node: Node, x: Tensor, slope: Tensor) -> Tensor:
    """x where x > 0, else slope · x; the slope broadcasts to x."""
    if slope.ndim in (0, 1) and slope.numel() == 1:
        return F.prelu(x, slope.reshape((1,)))
    if node.version < 7 and slope.ndim == 1:
        slope = slope.reshape((-1, *(1,) * (x.ndim - 2)))
    if x.ndim > 1 and slope.shape == (x.shape[1], *(1,) * (x.ndim - 2)):  # one for each channel, as PyTorch writes it
        return F.prelu(x, slope.reshape((x.shape[1],)))
    return F.relu(x) - slope * F.relu(-x)


@operator("Elu", "alpha")
def elu(node: Node, x: Tensor) -> Tensor:
    """x where x > 0, else alpha · (eˣ − 1)."""
    return F.elu(x, node.number("alpha"))


@operator("Celu", "alpha")
def celu(node: Node, x: Tensor) -> Tensor:
    """x where x > 0, else alpha · (e^(x/alpha) − 1)."""
    return F.celu(x, node.number("alpha"))


@operator("Selu", "alpha gamma")
def selu(node: Node, x: Tensor) -> Tensor:
    """gamma · x where x > 0, else gamma · alpha · (eˣ − 1)."""
    return node.number("gamma") * F.elu(x, node.number("alpha"))


@operator("ThresholdedRelu", "alpha")
def thresholded_relu(node: Node, x: Tensor) -> Tensor:
    """x where x > alpha, else 0."""
    return F.threshold(x, node.number("alpha"), 0.0)


@operator("HardSigmoid", "alpha beta")
def hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    """min(max(alpha · x + beta, 0), 1)."""
    return F.clip(node.number("alpha") * x + node.number("beta"), 0.0, 1.0)


@operator("HardSwish")
def hard_swish(node: Node, x: Tensor) -> Tensor:
    """x · min(max(x/6 + ½, 0), 1)."""
    return F.hardswish(x)


@operator("Gelu", "approximate")
def gelu(node: Node, x: Tensor) -> Tensor:
    """x · Φ(x), or its approximation by tanh."""
    return F.gelu(x, node.get("approximate", "none"))


@operator("Mish")
def mish(node: Node, x: Tensor) -> Tensor:
    """x · tanh(ln(1 + eˣ))."""
    return F.mish(x)


@operator("Swish", "alpha")
def swish(node: Node, x: Tensor) -> Tensor:
    """x · σ(alpha · x)."""
    return x * F.sigmoid(node.number("alpha") * x)


@operator("Shrink", "bias lambd")
def shrink(node: Node, x: Tensor) -> Tensor:
    """x + bias below −lambd, x − bias above lambd, 0 between."""
    bias, most = node.number("bias"), node.number("lambd")
    dtype = x.dtype
    x = x if dtype.kind == "f" else x.astype("float32")
    return F.where(x < -most, x + bias, F.where(x > most, x - bias, 0.0 * x)).astype(dtype)


def _over_rest(node: Node, x: Tensor, function: Callable[[Tensor, int], Tensor]) -> Tensor:
    """`function` along an axis; before opset 13 over all axes from `axis` on, as if they were one."""
    axis = int(node.number("axis"))
    if node.version >= 13:
        return function(x, axis)
    first = axis + x.ndim if axis < 0 else axis
    return function(x.reshape((math.prod(x.shape[:first]), -1)), 1).reshape(x.shape)


@operator("Softmax", "axis")
def softmax(node: Node, x: Tensor) -> Tensor:
    """eˣ / Σ eˣ along an axis."""
    return _over_rest(node, x, F.softmax)


@operator("LogSoftmax", "axis")
def log_softmax(node: Node, x: Tensor) -> Tensor:
    """x − ln Σ eˣ along an axis."""
    return _over_rest(node, x, F.log_softmax)
