"""Batch normalisation (Ioffe & Szegedy 2015, Algorithm 1) and log-softmax."""

from __future__ import annotations

import numpy as np

from minires.backend.arrays import Array, array_module
from minires.backend.reference.elementwise import relu_mask
from minires.backend.reference.float16 import widened


def _other_axes(x: Array) -> tuple[int, ...]:
    """All axes except the channel axis 1."""
    return (0, *range(2, x.ndim))


def _per_channel(v: Array, x: Array) -> Array:
    """(C,) -> (1, C, 1, …), which broadcasts with x."""
    return v.reshape(1, -1, *(1,) * (x.ndim - 2))


def batch_norm(
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    residual: Array | None,
    relu: bool,
) -> Array:
    xp, dtype = array_module(x), x.dtype
    x, var = widened(x), widened(var)
    scale = 1 / xp.sqrt(var + var.dtype.type(eps))  # w / √(σ² + ε)
    if weight is not None:
        scale = scale * weight
    y = x - _per_channel(mean, x)  # subtract μ first: x·scale − μ·scale cancels where |μ| ≫ σ
    y *= _per_channel(scale, x)  # in place from here on: allocating costs more than the arithmetic
    if bias is not None:
        y += _per_channel(bias, x)
    if residual is not None:
        y += residual
    if relu:
        if y.dtype.kind == "c":
            y[y.real <= 0] = 0
        else:
            xp.maximum(y, y.dtype.type(0), out=y)
    return y.astype(dtype, copy=False)


def batch_norm_stats(x: Array) -> tuple[Array, Array]:
    x = widened(x)
    axes = _other_axes(x)
    mean = x.mean(axis=axes)
    centred = x - _per_channel(mean, x)
    centred *= centred
    var = centred.mean(axis=axes)
    if x.dtype == np.float32 and not array_module(x).isfinite(var).all():  # x² is larger than float32 holds
        return batch_norm_stats(x.astype(np.float64))
    return mean, var


def batch_norm_update_stats(
    running_mean: Array, running_var: Array, mean: Array, var: Array, m: int, momentum: float
) -> None:
    running_mean[...] = (1 - momentum) * running_mean + momentum * mean
    running_var[...] = (1 - momentum) * running_var + momentum * (var * (m / (m - 1)))  # ∞ stays ∞


def batch_norm_grad(
    gy: Array, x: Array, mean: Array, var: Array, weight: Array | None, eps: float, y: Array | None
) -> tuple[Array, Array, Array]:
    xp, dtype = array_module(x), x.dtype
    if y is not None:
        gy = relu_mask(gy, y)
    var = widened(var)
    gy, x = (each.astype(xp.result_type(each, var), copy=False) for each in (gy, x))
    axes = _other_axes(x)
    m = x.size // x.shape[1]
    inverse = 1 / xp.sqrt(var + var.dtype.type(eps))
    x_hat = (x - _per_channel(mean, x)) * _per_channel(inverse, x)
    gb = gy.sum(axis=axes)
    gw = (gy * x_hat).sum(axis=axes)
    gx = gy - _per_channel(gb / m, x) - x_hat * _per_channel(gw / m, x)
    gx *= _per_channel(inverse if weight is None else inverse * weight, x)
    return gx.astype(dtype, copy=False), gw.astype(dtype, copy=False), gb.astype(dtype, copy=False)


def log_softmax(x: Array, axis: int) -> Array:
    xp = array_module(x)
    shifted = x - x.real.max(axis=axis, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True))
