"""Operations that ONNX has no operator for, as compositions of operations for which it has one."""

from __future__ import annotations

import math

import numpy as np

from minires import functional as F
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.onnx.recording import Composition
from minires.ops.activations import GELU, GELUTanh, LogSigmoid, Mish, SiLU
from minires.ops.cast import Relayout
from minires.ops.exponential import Expm1, Log1p, Log2, Log10
from minires.ops.exponential_sums import LogAddExp


def _gelu_tanh(op: Function, x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + F.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def _log_add_exp(op: Function, a: Tensor, b: Tensor) -> Tensor:
    """ln(eᵃ + eᵇ) = max(a, b) + ln(1 + e^(−|a − b|)), which does not overflow."""
    return F.maximum(a, b) + F.softplus(-F.abs(a - b))


COMPOSITIONS: dict[type[Function], Composition] = {
    SiLU: lambda op, x: x * F.sigmoid(x),
    GELU: lambda op, x: 0.5 * x * (1.0 + F.erf(x / math.sqrt(2))),
    GELUTanh: _gelu_tanh,
    LogSigmoid: lambda op, x: -F.softplus(-x),  # not ln σ(x), which is −∞ where σ(x) is too small for its dtype
    Mish: lambda op, x: x * F.tanh(F.softplus(x)),
    Log1p: lambda op, x: F.log(1.0 + x),
    Expm1: lambda op, x: F.exp(x) - 1.0,
    Log2: lambda op, x: F.log(x) / math.log(2),
    Log10: lambda op, x: F.log(x) / math.log(10),
    LogAddExp: _log_add_exp,
    Relayout: lambda op, x: x * np.ones((), x.dtype),
}
