"""What the normalisations check of their arguments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError
from minires.ops.operands import check_device, check_floating, check_real, check_tensor, lengths_of


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
    check_statistics("batch_norm", x, running_mean, running_var)
    check_per_channel("batch_norm", x, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    channels = x.shape[1] if x.numel() else 0
    if residual is not None:
        check_tensor("batch_norm", residual)
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


def check_statistics(op: str, x: Tensor, running_mean: Tensor | None, running_var: Tensor | None) -> None:
    """Raise ShapeError if one of the running statistics is missing, DeviceError if they are on another device."""
    for tensor in (running_mean, running_var):
        if tensor is not None:
            check_tensor(op, tensor)
    if (running_mean is None) != (running_var is None):
        raise ShapeError(f"{op}: running_mean and running_var belong together: give both or neither")
    check_device(op, x, *(t for t in (running_mean, running_var) if t is not None))


def check_per_channel(op: str, x: Tensor, **named: Tensor | None) -> None:
    """Raise ShapeError or DtypeError unless each of the named tensors is None, or (C,) and of x's dtype."""
    channels = x.shape[x.ndim > 1] if x.ndim else 0
    for name, tensor in named.items():
        if tensor is None:
            continue
        check_tensor(op, tensor)
        if tensor.shape != (channels,):
            raise ShapeError(f"{op}: {name} {tensor.shape} must be ({channels},) for input {x.shape}")
        if tensor.dtype != x.dtype:
            raise DtypeError(f"{op}: input is {x.dtype}, {name} is {tensor.dtype}; convert one with .astype()")


def check_last_axes(op: str, x: Tensor, normalized_shape: Sequence[int], **named: Tensor | None) -> tuple[int, ...]:
    """The last axes, whose lengths are normalized_shape. Raises unless the named are like these."""
    if not isinstance(normalized_shape, Iterable):
        raise ShapeError(f"{op}: normalized_shape must be a tuple: write ({normalized_shape!r},)")
    shape = tuple(lengths_of(op, normalized_shape))
    if not shape or x.shape[-len(shape) :] != shape:
        raise ShapeError(f"{op}: input {x.shape} does not end in normalized_shape {shape}")
    for name, tensor in named.items():
        if tensor is None:
            continue
        check_tensor(op, tensor)
        if tensor.shape != shape:
            raise ShapeError(f"{op}: {name} {tensor.shape} must be {shape}")
        if tensor.dtype != x.dtype:
            raise DtypeError(f"{op}: input is {x.dtype}, {name} is {tensor.dtype}; convert with .astype()")
    return tuple(range(x.ndim - len(shape), x.ndim))
