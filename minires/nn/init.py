"""Initial values of weights. Their variance is chosen so that signals neither fade nor explode with depth.

For y = W x with fan_in inputs, Var(y) = fan_in · Var(W) · Var(x). Glorot & Bengio (2010) balance forward and backward:
Var(W) = 2/(fan_in + fan_out). ReLU halves the second moment, so He et al. (2015) take Var(W) = 2/fan.
A uniform distribution on [−a, a] has variance a²/3, hence a = √3 · std.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Literal

import numpy as np

from minires.core.modes import no_grad, switch
from minires.core.random import default_generator
from minires.core.settings import integer, number
from minires.core.tensor import Tensor
from minires.errors import ShapeError

Mode = Literal["fan_in", "fan_out"]

_draws: ContextVar[bool] = ContextVar("minires_init_draws", default=True)


def no_draws() -> AbstractContextManager[None]:
    """Within the block, `normal_` and `uniform_`, and what is built on them, leave a tensor as it is.

    For a network whose weights are loaded next: drawing the 11.7 million of ResNet-18 takes longer than to classify a
    photograph. (torch.nn.utils.skip_init does it for one layer.)
    """
    return switch(_draws, False)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight of shape (out, in, …): how many inputs one output has, and one input outputs.

    Raises ShapeError for fewer than two axes.
    """
    if len(shape) < 2:
        raise ShapeError(f"fan in and fan out need a weight of at least two axes, got {shape}")
    receptive_field = math.prod(shape[2:])
    return shape[1] * receptive_field, shape[0] * receptive_field


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """`fans` of a tensor, under the name by which layers written for torch call it in `reset_parameters`."""
    return fans(tensor.shape)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """√2 for ReLU, √(2/(1 + a²)) for leaky ReLU of slope a, 5/3 for tanh, 3/4 for SELU, else 1 (torch's name).

    param: the slope a; 0.01 if it is None. Raises ValueError for an unknown nonlinearity.
    """
    slope = number("calculate_gain", "param", 0.01 if param is None else param)
    known = {"relu": math.sqrt(2), "leaky_relu": math.sqrt(2 / (1 + slope**2)), "tanh": 5 / 3, "selu": 0.75}
    known |= dict.fromkeys(("linear", "sigmoid"), 1.0)
    known |= dict.fromkeys((f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)), 1.0)
    if nonlinearity not in known:
        raise ValueError(f"calculate_gain: nonlinearity {nonlinearity!r} must be one of {', '.join(known)}")
    return known[nonlinearity]


def _fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode {mode!r} must be 'fan_in' or 'fan_out'")
    return fans(tensor.shape)[mode == "fan_out"]


def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: np.random.Generator | None = None
) -> Tensor:
    """Fill tensor, in place, with numbers drawn from N(mean, std²) (torch.nn.init.normal_)."""
    if not std >= 0:
        raise ValueError(f"normal_: std {std} must be 0 or more")
    if not _draws.get():
        return tensor
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Fill tensor, in place, with numbers drawn uniformly from [a, b) (torch.nn.init.uniform_)."""
    if not _draws.get():
        return tensor
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill tensor, in place, with one value (torch.nn.init.constant_)."""
    with no_grad():
        return tensor.fill_(val)


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
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Draw from N(0, gain²/fan), in place (He et al. 2015; torch.nn.init.kaiming_normal_)."""
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode)), generator=generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Draw uniformly from ±√3 · gain/√fan, in place (He et al. 2015; torch.nn.init.kaiming_uniform_)."""
    bound = math.sqrt(3) * calculate_gain(nonlinearity, a) / math.sqrt(_fan(tensor, mode))
    return uniform_(tensor, -bound, bound, generator=generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Draw from N(0, gain² · 2/(fan_in + fan_out)), in place (Glorot & Bengio 2010; torch.nn.init.xavier_normal_)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / sum(fans(tensor.shape))), generator=generator)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Draw uniformly from ±gain · √(6/(fan_in + fan_out)), in place (Glorot & Bengio 2010; torch's xavier_uniform_)."""
    bound = gain * math.sqrt(6 / sum(fans(tensor.shape)))
    return uniform_(tensor, -bound, bound, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Draw from N(mean, std²) within [a, b], in place (torch.nn.init.trunc_normal_).

    a and b are absolute, not multiples of std. Numbers are drawn, and those that are rejected are drawn again: from
    the normal distribution those outside [a, b]; where most would be, from a uniform one those above the density.
    """
    if not (std > 0 and a < b):
        raise ValueError(f"trunc_normal_: needs std > 0 and a < b, got {std=}, {a=}, {b=}")
    random = default_generator() if generator is None else generator
    below = [(1 + math.erf((bound - mean) / std / math.sqrt(2))) / 2 for bound in (a, b)]
    is_normal = below[1] - below[0] > 0.3
    peak = min(max(a, mean), b)  # where in [a, b] the density is largest
    numbers = np.empty(tensor.numel())
    rejected = np.ones(tensor.numel(), bool)
    while count := int(rejected.sum()):
        drawn = random.normal(mean, std, count) if is_normal else random.uniform(a, b, count)
        numbers[rejected] = drawn
        if is_normal:
            rejected[rejected] = (drawn < a) | (drawn > b)
        else:
            density = np.exp(((peak - mean) ** 2 - (drawn - mean) ** 2) / (2 * std**2))
            rejected[rejected] = random.random(count) > density
    return _set(tensor, numbers.reshape(tensor.shape))


def eye_(tensor: Tensor) -> Tensor:
    """Fill a tensor of two axes, in place, with the identity matrix (torch.nn.init.eye_)."""
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: needs a tensor of two axes, got {tensor.shape}")
    return _set(tensor, np.eye(*tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill the weight (out, in/groups, k, …) of a convolution so that it hands its input on (torch.nn.init.dirac_).

    Output channel i of each group is input channel i of it; further output channels are zero.
    """
    if tensor.ndim not in (3, 4, 5):
        raise ShapeError(f"dirac_: needs the weight of a convolution, of three to five axes, got {tensor.shape}")
    out, inputs, *kernel = tensor.shape
    if out % integer("dirac_", "groups", groups, 1):
        raise ShapeError(f"dirac_: {groups=} must divide the {out} output channels")
    numbers = np.zeros(tensor.shape)
    for group in range(groups):
        for channel in range(min(out // groups, inputs)):
            numbers[(group * (out // groups) + channel, channel, *(size // 2 for size in kernel))] = 1
    return _set(tensor, numbers)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """Fill tensor, as a matrix W (out, rest), with W Wᵀ = gain² I or Wᵀ W = gain² I (Saxe et al. 2014; torch's name).

    W is Q of the QR decomposition of a Gaussian matrix. Q is uniform only if the diagonal of R is positive, so columns
    are multiplied by its signs.
    """
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_: needs a tensor of at least two axes, got {tensor.shape}")
    if not tensor.numel():
        return tensor
    rows, columns = tensor.shape[0], tensor.numel() // tensor.shape[0]
    random = default_generator() if generator is None else generator
    q, r = np.linalg.qr(random.normal(size=(max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))
    return _set(tensor, gain * (q if rows >= columns else q.T).reshape(tensor.shape))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: np.random.Generator | None = None) -> Tensor:
    """Draw from N(0, std²), and set the share `sparsity` of each column to zero (Martens 2010; torch's sparse_)."""
    if tensor.ndim != 2:
        raise ShapeError(f"sparse_: needs a tensor of two axes, got {tensor.shape}")
    rows, columns = tensor.shape
    zeros = math.ceil(number("sparse_", "sparsity", sparsity, 0, 1) * rows)
    random = default_generator() if generator is None else generator
    numbers = random.normal(0, std, tensor.shape)
    for column in range(columns):
        numbers[random.permutation(rows)[:zeros], column] = 0
    return _set(tensor, numbers)


def _set(tensor: Tensor, numbers: np.ndarray) -> Tensor:
    """Write `numbers` into tensor, in its dtype and on its device; returns tensor."""
    with no_grad():
        tensor[...] = Tensor(numbers.astype(tensor.dtype)).to(tensor.device)
    return tensor
