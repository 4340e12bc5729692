"""Layers of no family: linear, flatten, dropout, ReLU. Constructors follow the argument order of torch.nn.

They raise ShapeError, or ValueError for other numbers, where an argument makes no sense.
"""

from __future__ import annotations

from typing import Any

from minires import functional as F
from minires.core.tensor import Tensor
from minires.nn.checks import check_sizes, check_true_or_false, init_like_torch, is_number, zeros
from minires.nn.module import Module
from minires.nn.parameter import Parameter


class Linear(Module):
    """y = x Wᵀ + b; weight (out, in), bias (out,) (torch.nn.Linear)."""

    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        check_sizes("Linear", in_features=in_features, out_features=out_features)
        check_true_or_false("Linear", bias=bias)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(zeros(out_features, in_features))
        self.register_parameter("bias", Parameter(zeros(out_features)) if bias else None)
        self.reset_parameters()
        self._place(device, dtype)

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init_like_torch(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class ReLU(Module):
    """max(x, 0) (torch.nn.ReLU).

    With `inplace`, x itself becomes that: whoever uses x afterwards, as a shortcut does, finds max(x, 0).
    """

    inplace = False  # also of a layer that was pickled before layers had this attribute

    def __init__(self, inplace: bool = False) -> None:
        check_true_or_false("ReLU", inplace=inplace)
        self.inplace = bool(inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.relu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Flatten(Module):
    """Joins the axes start_dim … end_dim into one, by default (N, C, H, W) -> (N, C·H·W) (torch.nn.Flatten)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """(N, …) -> (N, features), by default."""
        return F.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Dropout(Module):
    """In training, zeroes each element with probability p and scales the rest by 1/(1 − p) (torch.nn.Dropout).

    With `inplace`, x itself becomes that.
    """

    inplace = False

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        if not (is_number(p) and 0 <= p <= 1):
            raise ValueError(f"Dropout: p = {p!r} must be a probability between 0 and 1")
        check_true_or_false("Dropout", inplace=inplace)
        self.p = p
        self.inplace = bool(inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Identity(Module):
    """Returns its input itself: the shortcut of a residual block whose shape does not change (torch.nn.Identity).

    It stands in the place of any layer, so it takes that layer's arguments, whatever they are, and needs none of them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return input
