"""Operations that ONNX has no operator for, as compositions of operations for which it has one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minires import functional as F
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.onnx.recording import Composition
from minires.ops.activations import GELU, GELUTanh, LogSigmoid, Mish, SiLU, Softplus
from minires.ops.cast import Relayout
from minires.ops.exponential import Expm1, Log1p, Log2, Log10
from minires.ops.exponential_sums import LogAddExp


def _gelu_tanh(op: Function, x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + F.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def _softplus(op: Any, x: Tensor) -> Tensor:
    """ln(1 + e^(βx))/β = max(x, 0) + ln(1 + e^(−β|x|))/β, which does not overflow."""
    return F.relu(x) + F.log(1.0 + F.exp(F.abs(x) * -op.beta)) / op.beta


def _log_add_exp(op: Function, a: Tensor, b: Tensor) -> Tensor:
    return F.maximum(a, b) + F.log(1.0 + F.exp(-F.abs(a - b)))


COMPOSITIONS: dict[type[Function], Composition] = {
    SiLU: lambda op, x: x * F.sigmoid(x),
    GELU: lambda op, x: 0.5 * x * (1.0 + F.erf(x / math.sqrt(2))),
    GELUTanh: _gelu_tanh,
    Softplus: _softplus,
    LogSigmoid: lambda op, x: F.log(F.sigmoid(x)),
    Mish: lambda op, x: x * F.tanh(F.relu(x) + F.log(1.0 + F.exp(-F.abs(x)))),
    Log1p: lambda op, x: F.log(1.0 + x),
    Expm1: lambda op, x: F.exp(x) - 1.0,
    Log2: lambda op, x: F.log(x) / math.log(2),
    Log10: lambda op, x: F.log(x) / math.log(10),
    LogAddExp: _log_add_exp,
    Relayout: lambda op, x: x * np.ones((), x.dtype),
}
