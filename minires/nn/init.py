"""Initial values of weights. Their variance is chosen so that signals neither fade nor explode with depth.

For y = W x with fan_in inputs, Var(y) = fan_in · Var(W) · Var(x). Glorot & Bengio (2010) balance forward and backward:
Var(W) = 2/(fan_in + fan_out). ReLU halves the second moment, so He et al. (2015) take Var(W) = 2/fan.
A uniform distribution on [−a, a] has variance a²/3, hence a = √3 · std.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from minires.core.modes import no_grad
from minires.core.tensor import Tensor
from minires.errors import ShapeError

Mode = Literal["fan_in", "fan_out"]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight of shape (out, in, …): how many inputs one output has, and one input outputs.

    Raises ShapeError for fewer than two axes.
    """
    if len(shape) < 2:
        raise ShapeError(f"fan in and fan out need a weight of at least two axes, got {shape}")
    receptive_field = math.prod(shape[2:])
    return shape[1] * receptive_field, shape[0] * receptive_field


def gain(nonlinearity: str, a: float = 0.0) -> float:
    """√2 for ReLU, √(2/(1 + a²)) for leaky ReLU of slope a, 5/3 for tanh, else 1 (torch.nn.init.calculate_gain).

    Raises ValueError for an unknown nonlinearity.
    """
    leaky = math.sqrt(2 / (1 + a * a))
    known = {"relu": math.sqrt(2), "leaky_relu": leaky, "tanh": 5 / 3, "linear": 1.0, "sigmoid": 1.0}
    if nonlinearity not in known:
        raise ValueError(f"gain: nonlinearity {nonlinearity!r} must be one of {', '.join(known)}")
    return known[nonlinearity]


calculate_gain = gain  # torch's name


def _fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode {mode!r} must be 'fan_in' or 'fan_out'")
    return fans(tensor.shape)[mode == "fan_out"]


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: np.random.Generator | None = None
) -> Tensor:
    """Fill tensor, in place, with numbers drawn from N(mean, std²) (torch.nn.init.normal_)."""
    if not std >= 0:
        raise ValueError(f"normal_: std {std} must be 0 or more")
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, *, generator: np.random.Generator | None = None) -> Tensor:
    """Fill tensor, in place, with numbers drawn uniformly from [a, b) (torch.nn.init.uniform_)."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def constant_(tensor: Tensor, value: float) -> Tensor:
    """Fill tensor, in place, with one value (torch.nn.init.constant_)."""
    with no_grad():
        return tensor.fill_(value)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill tensor, in place, with zeros (torch.nn.init.zeros_)."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill tensor, in place, with ones (torch.nn.init.ones_)."""
    return constant_(tensor, 1.0)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Draw from N(0, gain²/fan), in place (He et al. 2015; torch.nn.init.kaiming_normal_)."""
    return normal_(tensor, 0.0, gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)), generator=generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Draw uniformly from ±√3 · gain/√fan, in place (He et al. 2015; torch.nn.init.kaiming_uniform_)."""
    bound = math.sqrt(3) * gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator=generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, *, generator: np.random.Generator | None = None) -> Tensor:
    """Draw from N(0, gain² · 2/(fan_in + fan_out)), in place (Glorot & Bengio 2010; torch.nn.init.xavier_normal_)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(fans(tensor.shape))), generator=generator)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, *, generator: np.random.Generator | None = None) -> Tensor:
    """Draw uniformly from ±gain · √(6/(fan_in + fan_out)), in place (Glorot & Bengio 2010; torch's xavier_uniform_)."""
    bound = gain * math.sqrt(6 / sum(fans(tensor.shape)))
    return uniform_(tensor, -bound, bound, generator=generator)
