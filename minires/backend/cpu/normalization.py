"""Batch normalisation in C."""

from __future__ import annotations

import math

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cpu import machine
from minires.backend.cpu.eligibility import is_supported


def _is_image_or_rows(x: Array) -> bool:
    return x.ndim in (2, 4)


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
    if not _is_image_or_rows(x) or not is_supported(x, mean, var, weight, bias, residual):
        return NotImplemented
    return machine.library.batch_norm(x, mean, var, weight, bias, eps, residual, relu, None)


def batch_norm_stats(x: Array) -> tuple[Array, Array]:
    if not _is_image_or_rows(x) or not is_supported(x):
        return NotImplemented
    mean, var = machine.library.batch_norm_stats(x)
    if not math.isfinite(np.add.reduce(var)) and np.isfinite(x).all():
        return NotImplemented  # the squares overflow float32, and the reference takes float64
    return mean, var


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
    if not _is_image_or_rows(x) or not is_supported(gy, x, mean, var, weight, y, bias):
        return NotImplemented
    gx, gw, gb = machine.library.batch_norm_grad(gy, x, mean, var, weight, eps, y, bias)
    return gx, gw, gb


def batch_norm_grad_sums(
    gy: Array, x: Array, mean: Array, var: Array, eps: float, y: Array | None
) -> tuple[Array, Array]:
    if not _is_image_or_rows(x) or not is_supported(gy, x, mean, var, y):
        return NotImplemented
    gw, gb = machine.library.batch_norm_grad_sums(gy, x, mean, var, eps, y)
    return gw, gb


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
    if not _is_image_or_rows(x) or not is_supported(gy, x, mean, var, weight, y, gw, gb):
        return NotImplemented
    return machine.library.batch_norm_grad_input(gy, x, mean, var, weight, eps, y, gw, gb, m)
