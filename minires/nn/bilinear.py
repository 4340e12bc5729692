"""The layer of two inputs that has weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minires import functional as F
from minires.core.tensor import Tensor
from minires.nn import init
from minires.nn.checks import check_sizes, check_true_or_false
from minires.nn.module import Module
from minires.nn.parameter import Parameter


class Bilinear(Module):
    """yₒ = Σᵢⱼ uᵢ Wₒᵢⱼ vⱼ + bₒ; weight (out, in1, in2), bias (out,) (torch.nn.Bilinear)."""

    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        sizes = {"in1_features": in1_features, "in2_features": in2_features, "out_features": out_features}
        check_sizes("Bilinear", **sizes)
        check_true_or_false("Bilinear", bias=bias)
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = Parameter(np.zeros((out_features, in1_features, in2_features), np.float32))
        self.register_parameter("bias", Parameter(np.zeros(out_features, np.float32)) if bias else None)
        self.reset_parameters()
        self._place(device, dtype)

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniformly from ±1/√in1, as torch does."""
        bound = 1 / math.sqrt(self.in1_features)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        """(…, in1) and (…, in2) -> (…, out)."""
        return F.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        sizes = f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"
