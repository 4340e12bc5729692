"""Elementwise operations that have one ONNX operator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minires.core.function import Function
from minires.onnx.recording import Call
from minires.onnx.writing.graph import Graph, emits, host
from minires.ops import clamp, elementwise, exponential, rectifiers, rounding, trigonometry, vector_norm
from minires.ops.activations import Softplus, Softsign
from minires.ops.cast import AsType, Clone, ToDevice
from minires.ops.linear import MatMul
from minires.ops.loss import LogSoftmax

_SAME: dict[type[Function], str] = {
    elementwise.Add: "Add",
    elementwise.Subtract: "Sub",
    elementwise.Multiply: "Mul",
    elementwise.Divide: "Div",
    elementwise.Power: "Pow",
    elementwise.Maximum: "Max",
    elementwise.Minimum: "Min",
    clamp.AtLeast: "Max",
    clamp.AtMost: "Min",
    elementwise.Negative: "Neg",
    elementwise.Exp: "Exp",
    elementwise.Log: "Log",
    elementwise.Sqrt: "Sqrt",
    elementwise.Tanh: "Tanh",
    elementwise.Sigmoid: "Sigmoid",
    elementwise.ReLU: "Relu",
    elementwise.Absolute: "Abs",
    exponential.Erf: "Erf",
    Softsign: "Softsign",
    rectifiers.PReLU: "PRelu",
    rectifiers.Hardswish: "HardSwish",
    rounding.Sign: "Sign",
    trigonometry.Sin: "Sin",
    trigonometry.Cos: "Cos",
    trigonometry.Tan: "Tan",
    trigonometry.Sinh: "Sinh",
    trigonometry.Cosh: "Cosh",
    trigonometry.Asin: "Asin",
    trigonometry.Acos: "Acos",
    trigonometry.Atan: "Atan",
    vector_norm.Root: "Sqrt",
    MatMul: "MatMul",
    Clone: "Identity",
    ToDevice: "Identity",
}


@emits(*_SAME)
def same(graph: Graph, call: Call) -> None:
    """One node, with the same inputs and no attribute."""
    kind = next(kind for kind in type(call.op).__mro__ if kind in _SAME)
    graph.add(_SAME[kind], [graph.name(number, call) for number in call.inputs], call.output)


def _with(graph: Graph, call: Call, op: str, **attributes: Any) -> None:
    graph.add(op, [graph.name(number, call) for number in call.inputs], call.output, **attributes)


@emits(elementwise.LeakyReLU)
def leaky_relu(graph: Graph, call: Call) -> None:
    """LeakyRelu."""
    _with(graph, call, "LeakyRelu", alpha=float(vars(call.op)["slope"]))


@emits(rectifiers.ELU)
def elu(graph: Graph, call: Call) -> None:
    """Elu, Selu or Celu, by its three settings."""
    alpha, scale, inner = (float(vars(call.op)[name]) for name in ("alpha", "scale", "input_scale"))
    if inner == 1:
        op, attributes = ("Elu", {"alpha": alpha}) if scale == 1 else ("Selu", {"alpha": alpha, "gamma": scale})
        _with(graph, call, op, **attributes)
    elif scale == 1 and math.isclose(alpha * inner, 1):
        _with(graph, call, "Celu", alpha=alpha)
    else:
        graph.refuse(call, "has settings that no ONNX operator has")


@emits(Softplus)
def softplus(graph: Graph, call: Call) -> None:
    """ln(1 + e^(βx))/β: Softplus between a product and a quotient."""
    x, beta = graph.name(call.inputs[0], call), vars(call.op)["beta"]
    if beta == 1:
        graph.add("Softplus", [x], call.output)
        return
    factor = graph.constant(np.array(beta, graph.record.arrays[call.output].dtype))
    graph.add("Div", [graph.add("Softplus", [graph.add("Mul", [x, factor])]), factor], call.output)


@emits(elementwise.Clip)
def clip(graph: Graph, call: Call) -> None:
    """Clip, with the limits that there are."""
    dtype = graph.record.arrays[call.output].dtype
    limits = [
        "" if math.isinf(limit) else graph.constant(np.array(limit, dtype))
        for limit in (vars(call.op)["low"], vars(call.op)["high"])
    ]
    while limits and not limits[-1]:
        limits.pop()
    graph.add("Clip", [graph.name(call.inputs[0], call), *limits], call.output)


@emits(rectifiers.Threshold)
def threshold(graph: Graph, call: Call) -> None:
    """ThresholdedRelu, which replaces by 0."""
    if vars(call.op)["value"] != 0:
        graph.refuse(call, "replaces by another number than 0, which no ONNX operator does")
    _with(graph, call, "ThresholdedRelu", alpha=float(vars(call.op)["threshold"]))


@emits(rectifiers.Hardshrink)
def hardshrink(graph: Graph, call: Call) -> None:
    """Shrink."""
    lambd = float(vars(call.op)["lambd"])
    _with(graph, call, "Shrink", lambd=lambd, bias=lambd if isinstance(call.op, rectifiers.Softshrink) else 0.0)


@emits(rounding.Round)
def rounding_(graph: Graph, call: Call) -> None:
    """Floor, Ceil or Round; there is no operator that cuts off."""
    how = vars(call.op)["towards"]
    if how not in ("floor", "ceil", "even"):
        graph.refuse(call, f"rounds by {how!r}, which no ONNX operator does")
    _with(graph, call, {"floor": "Floor", "ceil": "Ceil", "even": "Round"}[how])


@emits(elementwise.Where)
def where(graph: Graph, call: Call) -> None:
    """Where, with the condition as a constant: it does not depend on the input, or the recording had refused it."""
    condition = graph.number_or_array(vars(call.op)["condition"], vars(graph.twin_op(call))["condition"], call)
    graph.add("Where", [condition, *(graph.name(number, call) for number in call.inputs)], call.output)


@emits(AsType)
def cast(graph: Graph, call: Call) -> None:
    """Cast."""
    from onnx import helper

    _with(graph, call, "Cast", to=helper.np_dtype_to_tensor_dtype(graph.record.arrays[call.output].dtype))


@emits(LogSoftmax)
def log_softmax(graph: Graph, call: Call) -> None:
    """LogSoftmax."""
    _with(graph, call, "LogSoftmax", axis=int(vars(call.op)["axis"]))


__all__ = ["host"]
