"""Dropout (Srivastava et al. 2014), inverted: the elements that stay are scaled up, so eval mode needs no scaling."""

from __future__ import annotations

from typing import Any

import numpy as np

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.random import default_generator
from minires.core.settings import flag, number
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.elementwise import where
from minires.ops.inplace import change
from minires.ops.operands import check_floating


class Dropout(Function):
    """y = x · mask / (1 − p);  y′ = mask / (1 − p). The caller draws the mask, so that forward can be run again."""

    saved_inputs = ()

    def __init__(self, scaled_mask: Array) -> None:
        self.scaled_mask = scaled_mask

    def forward(self, x: Array) -> Array:
        return backend.multiply(x, self.scaled_mask)

    def backward(self, g: Tensor) -> Tensor:
        return Dropout(self.scaled_mask)(g)


def dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Zero each element with probability p and scale the rest by 1/(1 − p) (torch.nn.functional.dropout).

    Draws from `generator` or the thread's default. Returns input itself unless training; with `inplace`, always, after
    changing it. Raises ValueError unless 0 ≤ p ≤ 1, DtypeError for integers.
    """
    check_floating("dropout", input)
    return _dropped("dropout", input, input.shape, p, training, inplace, generator)


def _dropped(
    name: str, x: Tensor, shape: tuple[int, ...], p: float, training: bool, inplace: bool, generator: Any
) -> Tensor:
    """x · mask / (1 − p), with a mask of `shape`, which broadcasts to x."""
    p = number(name, "p", p, 0, 1)
    if not flag(name, "training", training) or p == 0:
        return x
    survives = _survivors(shape, p, generator)
    scale = 1 / (1 - p) if p < 1 else 0.0
    with np.errstate(over="ignore"):  # 1/(1 − p) may be more than float16 holds
        mask = np.where(survives, scale, 0.0).astype(x.dtype)
    op = Dropout(backend.to_device(mask, x.device))
    return change(name, x, op) if inplace else op(x)


def _survivors(shape: tuple[int, ...], p: float, generator: np.random.Generator | None) -> np.ndarray:
    generator = default_generator() if generator is None else generator
    return np.asarray(generator.random(shape, dtype=np.float32) >= p)


def _channels_dropped(
    name: str, x: Tensor, axes: int, p: float, training: bool, inplace: bool, generator: Any
) -> Tensor:
    """Drop whole channels of x (N, C, …) or, of one sample, (C, …), with so many axes behind C."""
    check_floating(name, x)
    if x.ndim not in (axes + 1, axes + 2):
        raise ShapeError(f"{name}: needs (N, C, …) or (C, …) with {axes} axes behind C, got {x.shape}")
    return _dropped(name, x, x.shape[:-axes] + (1,) * axes, p, training, inplace, generator)


def dropout1d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Zero whole channels of (N, C, L) or (C, L) as dropout does elements (torch.nn.functional.dropout1d)."""
    return _channels_dropped("dropout1d", input, 1, p, training, inplace, generator)


def dropout2d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Zero whole channels of images (N, C, H, W) or (C, H, W) (torch.nn.functional.dropout2d; Tompson et al. 2015).

    Raises ShapeError for other shapes, among them (N, C, L), which torch takes with a warning: that is dropout1d's.
    """
    return _channels_dropped("dropout2d", input, 2, p, training, inplace, generator)


def dropout3d(
    input: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Zero whole channels of (N, C, D, H, W) or (C, D, H, W) (torch.nn.functional.dropout3d)."""
    return _channels_dropped("dropout3d", input, 3, p, training, inplace, generator)


_SATURATION = -1.7580993408473766  # of selu, for x → −∞


def alpha_dropout(
    input: Tensor,
    p: float = 0.5,
    training: bool = False,
    inplace: bool = False,
    *,
    generator: np.random.Generator | None = None,
) -> Tensor:
    """Dropout that keeps mean 0 and variance 1, for selu (torch.nn.functional.alpha_dropout; Klambauer et al. 2017).

    A dropped element becomes s = −1.758, selu's limit; then all are multiplied by a = ((1 − p)(1 + p·s²))^−½, and
    −a·p·s is added.
    """
    check_floating("alpha_dropout", input)
    p = number("alpha_dropout", "p", p, 0, 1)
    if not flag("alpha_dropout", "training", training) or p == 0:
        return input
    survives = Tensor(backend.to_device(_survivors(input.shape, p, generator), input.device))
    a = ((1 - p) * (1 + p * _SATURATION**2)) ** -0.5 if p < 1 else 0.0

    def compute(x: Tensor) -> Tensor:
        return where(survives, x, _SATURATION) * a - a * p * _SATURATION

    return change("alpha_dropout", input, compute) if inplace else compute(input)
