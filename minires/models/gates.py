"""How a block joins F(x) and its shortcut s, where it does not simply add them.

    constant scaling    a·F(x) + b·s                                             He et al. 2016, Fig. 2b
    exclusive gating    g·F(x) + (1 − g)·s       a highway with C = 1 − T        Srivastava et al. 2015; Fig. 2c
    shortcut-only           F(x) + (1 − g)·s                                     He et al. 2016, Fig. 2d
    highway             t·F(x) + c·s             T and C each a gate of its own  Srivastava et al. 2015, equation 2

Papers: Srivastava arXiv 1505.00387, He arXiv 1603.05027. Each gate is σ(W x + b) of the block's input x, a number for
each channel and pixel of F(x). With t = c = 1 the highway is the residual block.
"""

from __future__ import annotations

from minires import functional as F
from minires import nn
from minires.core.tensor import Tensor
from minires.models.shortcuts import conv3x3

GATES = ("exclusive", "shortcut_only", "highway", None)
FORMS = ("conv1x1", "conv3x3", "two_convs")


class Gate(nn.Module):
    """σ(W x + b), between 0 and 1.

    form: W is a convolution "conv1x1" (He et al. 2016) or "conv3x3", with a bias that starts as `bias`; or "two_convs",
    3×3, batch norm, ReLU, 3×3, batch norm, whose last bias starts as `bias` (Srivastava 2025).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, form: str, bias: float) -> None:
        if form == "two_convs":
            last: nn.Conv2d | nn.BatchNorm2d = nn.BatchNorm2d(outputs)
            first = conv3x3(inputs, outputs, stride), nn.BatchNorm2d(outputs), nn.ReLU()
            self.logit: nn.Module = nn.Sequential(*first, conv3x3(outputs, outputs), last)
        else:
            kernel = {"conv1x1": 1, "conv3x3": 3}[form]
            self.logit = last = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
        assert last.bias is not None
        nn.init.constant_(last.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, ⌈H/stride⌉, ⌈W/stride⌉)."""
        return F.sigmoid(self.logit(x))


class Scaled(nn.Module):
    """a·F(x) + b·s with constants a and b."""

    def __init__(self, residual_scale: float, shortcut_scale: float) -> None:
        self.residual_scale, self.shortcut_scale = residual_scale, shortcut_scale

    def forward(self, x: Tensor, residual: Tensor | None, shortcut: Tensor) -> Tensor:
        """Three tensors of one shape, of which x is not used; residual None stands for zeros."""
        kept = self.shortcut_scale * shortcut
        return kept if residual is None else self.residual_scale * residual + kept

    def extra_repr(self) -> str:
        return f"{self.residual_scale}·F(x) + {self.shortcut_scale}·s"


class Exclusive(nn.Module):
    """g·F(x) + (1 − g)·s."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def forward(self, x: Tensor, residual: Tensor | None, shortcut: Tensor) -> Tensor:
        """x (N, C, H, W), the block's input; residual and shortcut in the block's output shape."""
        g = self.gate(x)
        carried = (1 - g) * shortcut
        return carried if residual is None else g * residual + carried


class ShortcutOnly(nn.Module):
    """F(x) + (1 − g)·s."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    def forward(self, x: Tensor, residual: Tensor | None, shortcut: Tensor) -> Tensor:
        """x (N, C, H, W), the block's input; residual and shortcut in the block's output shape."""
        carried = (1 - self.gate(x)) * shortcut
        return carried if residual is None else residual + carried


class Highway(nn.Module):
    """t·F(x) + c·s, with a transform gate t and a carry gate c."""

    def __init__(self, transform: Gate, carry: Gate) -> None:
        self.transform, self.carry = transform, carry

    def forward(self, x: Tensor, residual: Tensor | None, shortcut: Tensor) -> Tensor:
        """x (N, C, H, W), the block's input; residual and shortcut in the block's output shape."""
        carried = self.carry(x) * shortcut
        return carried if residual is None else self.transform(x) * residual + carried
