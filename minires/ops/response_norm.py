"""Normalisation by the size of the numbers alone: root mean square norm, and AlexNet's local response norm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minires.core.settings import integer, number
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.float16 import in_float32
from minires.ops.norm_arguments import check_last_axes
from minires.ops.operands import check_floating, check_real
from minires.ops.padding import pad
from minires.ops.pool import avg_pool2d
from minires.ops.reduction import mean
from minires.ops.shape import reshape


@in_float32
def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """y = w·x/√(mean x² + ε) over the last axes (Zhang & Sennrich 2019; torch.nn.functional.rms_norm).

    input (…, *normalized_shape), weight of normalized_shape. eps=None is the dtype's machine epsilon. Raises ShapeError
    where shapes do not fit, DtypeError where dtypes differ.
    """
    check_floating("rms_norm", input)
    check_real("rms_norm", input)
    axes = check_last_axes("rms_norm", input, normalized_shape, weight=weight)
    eps = float(np.finfo(input.dtype).eps) if eps is None else number("rms_norm", "eps", eps, 0)
    y = input * (mean(input * input, axes, keepdim=True) + eps) ** -0.5 if input.numel() else input.clone()
    return y if weight is None else y * weight


@in_float32
def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """y = x/(k + α·s)^β, with s the mean of x² over `size` neighbouring channels, zeros beyond the first and the last.

    input (N, C, …) with at least one more axis -> like input (Krizhevsky et al. 2012;
    torch.nn.functional.local_response_norm). Raises ShapeError, ValueError.
    """
    op = "local_response_norm"
    check_floating(op, input)
    check_real(op, input)
    size = integer(op, "size", size, 1)
    alpha, beta, k = number(op, "alpha", alpha), number(op, "beta", beta), number(op, "k", k)
    if input.ndim < 3:
        raise ShapeError(f"{op}: needs input (N, C, L), (N, C, H, W) or with more axes, got {input.shape}")
    if not input.numel():
        return input.clone()
    planes = reshape(input * input, (input.shape[0], 1, input.shape[1], -1))  # the channels as rows
    means = avg_pool2d(pad(planes, (0, 0, size // 2, (size - 1) // 2)), (size, 1), 1)
    return input / (reshape(means, input.shape) * alpha + k) ** beta
