"""Layer normalisation (Ba et al. 2016)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from minires import backend
from minires.core.operators import METHODS
from minires.core.settings import number
from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError
from minires.ops.float16 import in_float32
from minires.ops.operands import check_floating, check_real, check_tensor, lengths_of
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
    if not isinstance(normalized_shape, Iterable):
        raise ShapeError(f"layer_norm: normalized_shape must be a tuple: write ({normalized_shape!r},)")
    shape, eps = tuple(lengths_of("layer_norm", normalized_shape)), number("layer_norm", "eps", eps, 0)
    if not shape or input.shape[-len(shape) :] != shape:
        raise ShapeError(f"layer_norm: input {input.shape} does not end in normalized_shape {shape}")
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is None:
            continue
        check_tensor("layer_norm", tensor)
        if tensor.shape != shape:
            raise ShapeError(f"layer_norm: {name} {tensor.shape} must be {shape}")
        if tensor.dtype != input.dtype:
            raise DtypeError(f"layer_norm: input is {input.dtype}, {name} is {tensor.dtype}; convert with .astype()")
    axes = tuple(range(input.ndim - len(shape), input.ndim))
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
