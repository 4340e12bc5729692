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
    gy: Array,
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    eps: float,
    y: Array | None,
    bias: Array | None = None,
) -> tuple[Array, Array, Array]:
    g, x_hat, inverse = _gradient_and_x_hat(gy, x, mean, var, eps, y)
    gw, gb = _sums(g, x_hat)
    gx = _input_gradient(g, x_hat, inverse, weight, gw, gb, x.size // x.shape[1])
    return gx.astype(x.dtype, copy=False), gw.astype(x.dtype, copy=False), gb.astype(x.dtype, copy=False)


def batch_norm_grad_sums(
    gy: Array, x: Array, mean: Array, var: Array, eps: float, y: Array | None
) -> tuple[Array, Array]:
    g, x_hat, _ = _gradient_and_x_hat(gy, x, mean, var, eps, y)
    gw, gb = _sums(g, x_hat)
    return gw.astype(x.dtype, copy=False), gb.astype(x.dtype, copy=False)


def batch_norm_grad_input(
    gy: Array,
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    eps: float,
    y: Array | None,
    gw: Array,
    gb: Array,
    m: int,
) -> Array:
    g, x_hat, inverse = _gradient_and_x_hat(gy, x, mean, var, eps, y)
    return _input_gradient(g, x_hat, inverse, weight, gw, gb, m).astype(x.dtype, copy=False)


def _gradient_and_x_hat(
    gy: Array, x: Array, mean: Array, var: Array, eps: float, y: Array | None
) -> tuple[Array, Array, Array]:
    """g, x̂ = (x − μ)/√(σ² + ε), and 1/√(σ² + ε): each in the statistics' dtype if that is wider."""
    xp = array_module(x)
    if y is not None:
        gy = relu_mask(gy, y)
    var = widened(var)
    gy, x = (each.astype(xp.result_type(each, var), copy=False) for each in (gy, x))
    inverse = 1 / xp.sqrt(var + var.dtype.type(eps))
    return gy, (x - _per_channel(mean, x)) * _per_channel(inverse, x), inverse


def _sums(g: Array, x_hat: Array) -> tuple[Array, Array]:
    axes = _other_axes(g)
    return (g * x_hat).sum(axis=axes), g.sum(axis=axes)


def _input_gradient(
    g: Array, x_hat: Array, inverse: Array, weight: Array | None, gw: Array, gb: Array, m: int
) -> Array:
    gx = g - _per_channel(gb / m, g) - x_hat * _per_channel(gw / m, g)
    gx *= _per_channel(inverse if weight is None else inverse * weight, g)
    return gx


def log_softmax(x: Array, axis: int) -> Array:
    xp = array_module(x)
    shifted = x - x.real.max(axis=axis, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True))
