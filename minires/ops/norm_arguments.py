"""What batch normalisation checks of its arguments."""

from __future__ import annotations

from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError
from minires.ops.operands import check_device, check_floating, check_real, check_tensor


def check_batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    residual: Tensor | None,
    training: bool,
) -> None:
    """Raise ShapeError or DtypeError unless these fit each other. An empty input has no statistics, and fits."""
    check_floating("batch_norm", x)
    check_real("batch_norm", x)
    if x.ndim < 2 and x.numel():
        raise ShapeError(f"batch_norm: needs input (N, C, …), got {x.shape}")
    channels = x.shape[x.ndim > 1] if x.ndim else 0
    named = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for tensor in (*named.values(), residual):
        if tensor is not None:
            check_tensor("batch_norm", tensor)
    if (running_mean is None) != (running_var is None):
        raise ShapeError("batch_norm: running_mean and running_var belong together: give both or neither")
    check_device("batch_norm", x, *(t for t in (running_mean, running_var) if t is not None))
    for name, tensor in named.items():
        if tensor is not None and tensor.shape != (channels,):
            raise ShapeError(f"batch_norm: {name} {tensor.shape} must be ({channels},) for input {x.shape}")
        if tensor is not None and tensor.dtype != x.dtype:
            raise DtypeError(f"batch_norm: input is {x.dtype}, {name} is {tensor.dtype}; convert one with .astype()")
    if residual is not None and (residual.shape, residual.dtype) != (x.shape, x.dtype):
        raise ShapeError(
            f"batch_norm: residual {residual.shape} {residual.dtype} must be like input {x.shape} {x.dtype}"
        )
    if training and 0 < x.numel() < 2 * channels:
        raise ShapeError(
            f"batch_norm: input {x.shape} has {x.numel() // channels} value(s) per channel; training needs "
            "at least two to estimate a variance. Use a larger batch or image, or model.eval()"
        )
    if not training and (running_mean is None or running_var is None):
        raise ShapeError("batch_norm: eval mode needs running_mean and running_var")
