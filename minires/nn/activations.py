"""Activation functions as layers, for `Sequential`. `ReLU` is among the layers."""

from __future__ import annotations

import operator

from minires import functional as F
from minires.core.tensor import Tensor
from minires.nn.checks import check_true_or_false, is_number
from minires.nn.module import Module


class Tanh(Module):
    """tanh x (torch.nn.Tanh)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.tanh(x)


class Sigmoid(Module):
    """1/(1 + e⁻ˣ) (torch.nn.Sigmoid)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.sigmoid(x)


class LeakyReLU(Module):
    """x where x ≥ 0, else negative_slope·x; with `inplace`, x itself becomes that (torch.nn.LeakyReLU)."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        if not is_number(negative_slope):
            raise TypeError(f"LeakyReLU: negative_slope={negative_slope!r} must be a number")
        check_true_or_false("LeakyReLU", inplace=inplace)
        self.negative_slope, self.inplace = negative_slope, bool(inplace)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.leaky_relu(x, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class Softmax(Module):
    """eˣ / Σ eˣ along `dim`, which must be named (torch.nn.Softmax)."""

    def __init__(self, dim: int) -> None:
        self.dim = operator.index(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """x − ln Σ eˣ along `dim`, which must be named (torch.nn.LogSoftmax)."""

    def __init__(self, dim: int) -> None:
        self.dim = operator.index(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.log_softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
