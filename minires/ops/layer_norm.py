"""Layer normalisation (Ba et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minires import backend
from minires.core.operators import METHODS
from minires.core.settings import number
from minires.core.tensor import Tensor
from minires.ops.float16 import in_float32
from minires.ops.norm_arguments import check_last_axes
from minires.ops.operands import check_floating, check_real
from minires.ops.reduction import mean, var


@in_float32
def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """y = w·(x − mean)/√(var + ε) + b over the last axes, with the biased variance (torch.nn.functional.layer_norm).

    input (…, *normalized_shape), weight and bias of normalized_shape. Raises ShapeError where shapes do not fit.
    """
    check_floating("layer_norm", input)
    check_real("layer_norm", input)
    axes = check_last_axes("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    eps = number("layer_norm", "eps", eps, 0)
    y = _normalized(input, axes, eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _normalized(input: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """(x − mean)/√(var + ε) over the axes; in float64 where a square overflows float32, on the CPU."""
    variance = var(input, axes, correction=0, keepdim=True)
    is_watched = input.dtype == np.float32 and input.device == "cpu"  # on a GPU the look would be a wait
    if is_watched and not backend.isfinite(variance.data):
        return METHODS["astype"](_normalized(METHODS["astype"](input, np.float64), axes, eps), np.float32)
    return (input - mean(input, axes, keepdim=True)) * (variance + eps) ** -0.5
