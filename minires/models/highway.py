"""Highway networks (Srivastava et al. 2015, arXiv 1505.00387): each layer mixes its output with its input by a gate.

    y = H(x)·T(x) + x·C(x),   H(x) = relu(W_H x + b_H),   T(x) = σ(W_T x + b_T),   C = 1 − T or a gate of its own

b_T is negative at the start, so that a deep network starts by carrying its input through. With T = C = 1 a layer is
residual. The dense network stands here; convolutional ones are a `ResNet` of single convolutions with gates.
"""

from __future__ import annotations

from typing import Any, Literal

from minires import functional as F
from minires import nn
from minires.core.tensor import Tensor

Carry = Literal["coupled", "own"]
LAYERS = ("highway", "residual", "plain")


class HighwayLayer(nn.Module):
    """A dense highway layer of `width` units.

    carry: "coupled" for C = 1 − T, "own" for a gate of its own, which starts with the bias −gate_bias.
    """

    def __init__(self, width: int, carry: Carry = "coupled", gate_bias: float = -2.0) -> None:
        self.transform = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        self.carry = nn.Linear(width, width) if carry == "own" else None
        for gate, start in ((self.gate, gate_bias), (self.carry, -gate_bias)):
            if gate is not None and gate.bias is not None:
                nn.init.constant_(gate.bias, start)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(T(x), C(x)), each (N, width)."""
        t = F.sigmoid(self.gate(x))
        return t, 1 - t if self.carry is None else F.sigmoid(self.carry(x))

    def forward(self, x: Tensor) -> Tensor:
        """(N, width) -> (N, width)."""
        t, c = self.gates(x)
        return t * F.relu(self.transform(x)) + c * x


class DenseLayer(nn.Module):
    """y = relu(W x + b), or with `residual` relu(W x + b) + x."""

    def __init__(self, width: int, residual: bool) -> None:
        self.transform, self.residual = nn.Linear(width, width), residual

    def forward(self, x: Tensor) -> Tensor:
        """(N, width) -> (N, width)."""
        y = F.relu(self.transform(x))
        return y + x if self.residual else y


class DenseHighway(nn.Module):
    """The network of the paper's MNIST experiments: one plain layer, depth − 1 highway layers, a classifier.

    Args:
        depth: the number of layers, as the paper counts them: without the classifier.
        num_classes: outputs of the classifier.
        in_channels, image: the image is in_channels × image × image pixels.
        width: the units of a layer. A plain layer of 71 has about as many parameters as a highway layer of 50.
        layer: "highway", or for comparison "residual" (T = C = 1) or "plain" (T = 1, C = 0).
        carry, gate_bias: as of HighwayLayer; None stands for "coupled" and −2.

    Weights W_H start from N(0, 2/fan_in), biases as 0 but for the gates'. Raises ValueError for other values.
    """

    def __init__(
        self,
        depth: int,
        num_classes: int = 10,
        *,
        in_channels: int = 1,
        image: int = 28,
        width: int = 50,
        layer: str = "highway",
        carry: Carry | None = None,
        gate_bias: float | None = None,
    ) -> None:
        if not all(isinstance(size, int) and size >= 1 for size in (depth - 1, width, image)):
            raise ValueError(
                f"DenseHighway: depth {depth} must be 2 or more, width {width} and image {image} at least 1"
            )
        if layer not in LAYERS or carry not in ("coupled", "own", None):
            raise ValueError(
                f"DenseHighway: layer {layer!r} must be one of {', '.join(map(repr, LAYERS))}, carry {carry!r} "
                "'coupled' or 'own'"
            )
        if layer != "highway" and (carry, gate_bias) != (None, None):
            raise ValueError(f"DenseHighway: carry and gate_bias are of gates, which layer={layer!r} has not")
        self.first = nn.Linear(in_channels * image * image, width)
        gates: dict[str, Any] = {"carry": carry or "coupled", "gate_bias": -2.0 if gate_bias is None else gate_bias}
        self.layers = nn.Sequential(
            *(
                HighwayLayer(width, **gates) if layer == "highway" else DenseLayer(width, layer == "residual")
                for _ in range(depth - 1)
            )
        )
        self.fc = nn.Linear(width, num_classes)
        for linear in (self.first, *(each.transform for each in self.layers)):
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, in_channels, image, image) -> logits (N, num_classes)."""
        return self.fc(self.layers(F.relu(self.first(F.flatten(x, 1)))))
