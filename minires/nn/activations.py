"""Activation functions as layers, for `Sequential`. `ReLU` is among the layers.

A layer with `inplace=True` changes what it is given: a shortcut that uses it afterwards finds the result.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from minires import functional as F
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.nn.checks import check_true_or_false, is_number
from minires.nn.module import Module
from minires.nn.parameter import Parameter


class Tanh(Module):
    """tanh x (torch.nn.Tanh)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.tanh(input)


class Sigmoid(Module):
    """1/(1 + e⁻ˣ) (torch.nn.Sigmoid)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.sigmoid(input)


class LeakyReLU(Module):
    """x where x ≥ 0, else negative_slope·x; with `inplace`, x itself becomes that (torch.nn.LeakyReLU)."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        if not is_number(negative_slope):
            raise TypeError(f"LeakyReLU: negative_slope={negative_slope!r} must be a number")
        check_true_or_false("LeakyReLU", inplace=inplace)
        self.negative_slope, self.inplace = negative_slope, bool(inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class Softmax(Module):
    """eˣ / Σ eˣ along `dim`, which must be named (torch.nn.Softmax)."""

    def __init__(self, dim: int) -> None:
        self.dim = operator.index(dim)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """x − ln Σ eˣ along `dim`, which must be named (torch.nn.LogSoftmax)."""

    def __init__(self, dim: int) -> None:
        self.dim = operator.index(dim)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


def _number(layer: str, name: str, value: Any) -> Any:
    """`value` if it is a number. Raises TypeError for others."""
    if not is_number(value):
        raise TypeError(f"{layer}: {name}={value!r} must be a number")
    return value


class _InPlace(Module):
    """A layer whose only setting is `inplace`."""

    def __init__(self, inplace: bool = False) -> None:
        check_true_or_false(type(self).__name__, inplace=inplace)
        self.inplace = bool(inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class ReLU6(_InPlace):
    """min(max(x, 0), 6) (torch.nn.ReLU6)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.relu6(input, self.inplace)


class Hardsigmoid(_InPlace):
    """min(max(x + 3, 0), 6)/6 (torch.nn.Hardsigmoid)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.hardsigmoid(input, self.inplace)


class Hardswish(_InPlace):
    """x · min(max(x + 3, 0), 6)/6 (torch.nn.Hardswish)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.hardswish(input, self.inplace)


class SELU(_InPlace):
    """A scaled ELU with the fixed point mean 0 and variance 1 (torch.nn.SELU)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.selu(input, self.inplace)


class SiLU(_InPlace):
    """x · σ(x), also called swish (torch.nn.SiLU)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.silu(input, self.inplace)


class Mish(_InPlace):
    """x · tanh(ln(1 + eˣ)) (torch.nn.Mish)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.mish(input, self.inplace)


class LogSigmoid(Module):
    """ln σ(x) (torch.nn.LogSigmoid)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.logsigmoid(input)


class Softsign(Module):
    """x/(1 + |x|) (torch.nn.Softsign)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.softsign(input)


class Tanhshrink(Module):
    """x − tanh x (torch.nn.Tanhshrink)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.tanhshrink(input)


class ELU(Module):
    """x where x > 0, else alpha·(eˣ − 1) (torch.nn.ELU)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        check_true_or_false("ELU", inplace=inplace)
        self.alpha, self.inplace = _number("ELU", "alpha", alpha), bool(inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class CELU(Module):
    """x where x > 0, else alpha·(exp(x/alpha) − 1) (torch.nn.CELU)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        check_true_or_false("CELU", inplace=inplace)
        self.alpha, self.inplace = _number("CELU", "alpha", alpha), bool(inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.celu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class Hardtanh(Module):
    """min(max(x, min_val), max_val) (torch.nn.Hardtanh). Raises ValueError unless min_val < max_val."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        check_true_or_false("Hardtanh", inplace=inplace)
        if not _number("Hardtanh", "min_val", min_val) < _number("Hardtanh", "max_val", max_val):
            raise ValueError(f"Hardtanh: min_val={min_val} must be less than max_val={max_val}")
        self.min_val, self.max_val, self.inplace = min_val, max_val, bool(inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}" + (", inplace=True" if self.inplace else "")


class Threshold(Module):
    """x where x > threshold, else value (torch.nn.Threshold)."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        check_true_or_false("Threshold", inplace=inplace)
        self.threshold, self.value = _number("Threshold", "threshold", threshold), _number("Threshold", "value", value)
        self.inplace = bool(inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}" + (", inplace=True" if self.inplace else "")


class Hardshrink(Module):
    """x where |x| > lambd, else 0 (torch.nn.Hardshrink)."""

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = _number("Hardshrink", "lambd", lambd)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(Module):
    """x moved by lambd towards 0, and 0 where |x| ≤ lambd (torch.nn.Softshrink)."""

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = _number("Softshrink", "lambd", lambd)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softplus(Module):
    """ln(1 + exp(beta·x))/beta, and x itself where beta·x > threshold (torch.nn.Softplus)."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta, self.threshold = _number("Softplus", "beta", beta), _number("Softplus", "threshold", threshold)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class GELU(Module):
    """x · Φ(x), Φ being the normal distribution's; or its approximation by "tanh" (torch.nn.GELU)."""

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: approximate={approximate!r} must be 'none' or 'tanh'")
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class GLU(Module):
    """a · σ(b), where the input is (a, b) along dim (torch.nn.GLU)."""

    def __init__(self, dim: int = -1) -> None:
        self.dim = operator.index(dim)

    def forward(self, input: Tensor) -> Tensor:
        """(…, 2n, …) -> (…, n, …)."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class PReLU(Module):
    """x where x > 0, else w·x, with w learned: one number, or one for each channel (torch.nn.PReLU)."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        self.num_parameters, self.init = operator.index(num_parameters), _number("PReLU", "init", init)
        if self.num_parameters < 1:
            raise ShapeError(f"PReLU: num_parameters={num_parameters} must be at least 1")
        self.weight = Parameter(np.zeros(self.num_parameters, np.float32))
        self.reset_parameters()
        self._place(device, dtype)

    def reset_parameters(self) -> None:
        """The numbers of a new layer: all are `init`."""
        self.weight.assign_(self.init)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, …) -> the same shape."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class Softmin(Module):
    """e⁻ˣ / Σ e⁻ˣ along `dim`, which must be named (torch.nn.Softmin)."""

    def __init__(self, dim: int) -> None:
        self.dim = operator.index(dim)

    def forward(self, input: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return F.softmin(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax2d(Module):
    """Softmax over the channels of images (torch.nn.Softmax2d)."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) -> the same shape."""
        if input.ndim not in (3, 4):
            raise ShapeError(f"Softmax2d: needs (N, C, H, W) or (C, H, W), got {input.shape}")
        return F.softmax(input, -3)
