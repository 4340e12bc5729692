"""Dropout (Srivastava et al. 2014), inverted: the elements that stay are scaled up, so eval mode needs no scaling."""

from __future__ import annotations

import numpy as np

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.random import default_generator
from minires.core.settings import flag, number
from minires.core.tensor import Tensor
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
    changing it. Raises ValueError unless
    0 ≤ p ≤ 1, DtypeError for integers.
    """
    check_floating("dropout", input)
    p = number("dropout", "p", p, 0, 1)
    if not flag("dropout", "training", training) or p == 0:
        return input
    generator = default_generator() if generator is None else generator
    survives = generator.random(input.shape, dtype=np.float32) >= p
    scale = 1 / (1 - p) if p < 1 else 0.0
    with np.errstate(over="ignore"):  # 1/(1 − p) may be more than float16 holds
        mask = np.where(survives, scale, 0.0).astype(input.dtype)
    op = Dropout(backend.to_device(mask, input.device))
    return change("dropout", input, op) if inplace else op(input)
