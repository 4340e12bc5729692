"""The CPU provider: kernels in C (`kernels/cpu/`), for NumPy arrays of float32.

Its images are channels-last in memory, (N, C, H, W) in shape. Whatever it does not do (groups, empty arrays, broadcast
operands, layouts with gaps) it declines with NotImplemented, and `dispatch` asks the next provider.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cpu import algorithms
from minires.backend.cpu.algorithms import Shape
from minires.backend.cpu.machine import (
    ISA,
    cache_state,
    empty_cache,
    get_num_threads,
    library,
    set_cache_limit,
    set_num_threads,
)
from minires.backend.shapes import Pair, Window
from minires.errors import ShapeError

name = "cpu"

Axes = tuple[int, ...]


def serves(array: Array) -> bool:
    """NumPy arrays of float32."""
    return isinstance(array, np.ndarray) and array.dtype == np.float32


def _fit(*arrays: Array | None) -> bool:
    """Whether all arrays are float32 with something in them; None is no obstacle."""
    return all(array is None or (serves(array) and array.size > 0) for array in arrays)


# -- convolution -------------------------------------------------------------------------------------------------------


def _check_integers(op: str, window: Window) -> None:
    """Raise ShapeError for numbers that do not fit the kernels' 64-bit integers; all that fit, the kernels check."""
    for name, values in window._asdict().items():
        if max(values) >= 1 << 63:
            raise ShapeError(f"{op}: {name} {values} is too large: the kernels count with 64 bits")


def _shape(images: int, channels: int, outputs: int, input_size: Pair, window: Window) -> Shape:
    _check_integers("conv2d", window)
    return Shape(images, channels, outputs, window.output_size(input_size), window)


def conv2d(x: Array, w: Array, bias: Array | None, window: Window, groups: int) -> Array:
    if groups != 1 or not _fit(x, w, bias):
        return NotImplemented
    shape = _shape(x.shape[0], x.shape[1], w.shape[0], x.shape[2:], window)
    return library.conv2d(x, w, bias, None, False, *window[1:], algorithms.forward(shape))


def conv2d_grad_input(gy: Array, w: Array, input_size: Pair, window: Window, groups: int) -> Array:
    strided_and_dilated = any(s > 1 and d > 1 for s, d in zip(window.stride, window.dilation, strict=True))
    if groups != 1 or strided_and_dilated or not _fit(gy, w):
        return NotImplemented
    shape = _shape(gy.shape[0], w.shape[1], w.shape[0], input_size, window)
    return library.conv2d_grad_input(gy, w, input_size, *window[1:], algorithms.grad_input(shape, input_size))


def conv2d_grad_weight(x: Array, gy: Array, window: Window, groups: int) -> Array:
    if groups != 1 or not _fit(x, gy):
        return NotImplemented
    shape = _shape(x.shape[0], x.shape[1], gy.shape[1], x.shape[2:], window)
    return library.conv2d_grad_weight(x, gy, *window, algorithms.grad_weight(shape))


# -- normalisation -----------------------------------------------------------------------------------------------------


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
    if not _is_image_or_rows(x) or not _fit(x, mean, var, weight, bias, residual):
        return NotImplemented
    return library.batch_norm(x, mean, var, weight, bias, eps, residual, relu, None)


def batch_norm_stats(x: Array) -> tuple[Array, Array]:
    if not _is_image_or_rows(x) or not _fit(x):
        return NotImplemented
    mean, var = library.batch_norm_stats(x)
    return mean, var


def batch_norm_grad(
    gy: Array, x: Array, mean: Array, var: Array, weight: Array | None, eps: float, y: Array | None
) -> tuple[Array, Array, Array]:
    if not _is_image_or_rows(x) or not _fit(gy, x, mean, var, weight, y):
        return NotImplemented
    gx, gw, gb = library.batch_norm_grad(gy, x, mean, var, weight, eps, y)
    return gx, gw, gb


# -- pooling -----------------------------------------------------------------------------------------------------------


def max_pool2d(x: Array, window: Window, ceil_mode: bool) -> tuple[Array, Array]:
    if window.argmax_dtype != "uint8" or not _fit(x):
        return NotImplemented
    _check_integers("pooling", window)
    y, argmax = library.max_pool2d(x, window.output_size(x.shape[2:], ceil_mode), *window)
    return y, argmax


def max_pool2d_route(gy: Array, argmax: Array, input_size: Pair, window: Window) -> Array:
    if argmax.dtype != np.uint8 or not _fit(gy):
        return NotImplemented
    return library.max_pool2d_route(gy, argmax, input_size, *window)


def avg_pool2d(x: Array, window: Window, ceil_mode: bool, count_include_pad: bool) -> Array:
    if window.area > 256 or window.dilation != (1, 1) or not _fit(x):
        return NotImplemented
    _check_integers("pooling", window)
    output_size = window.output_size(x.shape[2:], ceil_mode)
    return library.avg_pool2d(x, output_size, *window[:3], count_include_pad, None)


def avg_pool2d_split(gy: Array, input_size: Pair, window: Window, count_include_pad: bool) -> Array:
    if window.area > 256 or window.dilation != (1, 1) or not _fit(gy):
        return NotImplemented
    return library.avg_pool2d_split(gy, input_size, *window[:3], count_include_pad)


def sum(x: Array, axes: Axes, keepdims: bool) -> Array:
    """Over all pixels of a channels-last image: the global pooling; or of all images, or over rows: a bias's gradient.

    NumPy adds what does not lie innermost in one chain of float32, of any length; these sums are made of short ones.
    """
    if not _fit(x) or (x.ndim == 4 and x.flags.c_contiguous):
        return NotImplemented
    if (x.ndim, axes) == (4, (2, 3)):
        y = library.sum_pixels(x, 1.0, None)
    elif (x.ndim, axes) in ((4, (0, 2, 3)), (2, (0,))):
        y = library.sum_rows(x)
    else:
        return NotImplemented
    return y.reshape([1 if axis in axes else n for axis, n in enumerate(x.shape)]) if keepdims else y


def broadcast_to(x: Array, shape: Axes) -> Array:
    """Its adjoint: one number for each image and channel, on all pixels. Other broadcasts are views, and free."""
    if len(shape) != 4 or x.shape != (*shape[:2], 1, 1) or 0 in shape:
        return NotImplemented
    return library.repeat_pixels(x.reshape(x.shape[:2]), shape[2], shape[3])


# -- images that keep their layout -------------------------------------------------------------------------------------


def pad(x: Array, widths: Sequence[Pair], value: float) -> Array:
    """Of images: the reference's result would not be channels-last, and every kernel behind it slower for that."""
    if x.ndim != 4 or not _fit(x):
        return NotImplemented
    y = library.empty_image(*(before + n + after for (before, after), n in zip(widths, x.shape, strict=True)))
    y.fill(value)
    y[tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))] = x
    return y


def index_add(g: Array, key: Any, shape: Axes) -> Array:
    """Of images, where the key is slices: no element is named twice."""
    if len(shape) != 4 or not isinstance(key, tuple) or not all(isinstance(part, slice) for part in key) or 0 in shape:
        return NotImplemented
    z = library.empty_image(*shape)
    z.fill(0)
    z[key] = g
    return z


# -- elementwise -------------------------------------------------------------------------------------------------------


def add(x: Array, y: Array) -> Array:
    if not (serves(y) and _fit(x)):
        return NotImplemented
    z = library.add(x, y, False, None)
    return NotImplemented if z is None else z


def relu(x: Array) -> Array:
    y = library.relu(x, None) if x.size else None
    return NotImplemented if y is None else y


def relu_mask(gy: Array, y: Array) -> Array:
    gx = library.relu_mask(gy, y) if _fit(gy, y) else None
    return NotImplemented if gx is None else gx


# -- rows of numbers ---------------------------------------------------------------------------------------------------


def matmul(x: Array, y: Array) -> Array:
    if x.ndim != 2 or y.ndim != 2 or not _fit(x, y):
        return NotImplemented
    return library.matmul(x, y, None, None)


def log_softmax(x: Array, axis: int) -> Array:
    if axis != x.ndim - 1 or not _fit(x):
        return NotImplemented
    return library.log_softmax(x)


def cross_entropy(x: Array, labels: Array) -> Array:
    return library.cross_entropy(x, labels) if _fit(x) else NotImplemented


def cross_entropy_grad(g: Array, x: Array, labels: Array) -> Array:
    return library.cross_entropy_grad(g, x, labels) if _fit(g, x) else NotImplemented


def sgd_step(
    parameters: list[Array],
    gradients: list[Array],
    velocities: list[Array] | None,
    lr: float,
    momentum: float,
    weight_decay: float,
    dampening: float,
    nesterov: bool,
) -> None:
    arrays = [*parameters, *gradients, *(velocities or [])]
    if not all(serves(array) for array in arrays) or not all(array.flags.c_contiguous for array in parameters):
        return NotImplemented
    library.sgd(parameters, gradients, velocities, lr, momentum, weight_decay, dampening, nesterov)
    return None


__all__ = [
    "ISA",
    "add",
    "avg_pool2d",
    "avg_pool2d_split",
    "batch_norm",
    "batch_norm_grad",
    "batch_norm_stats",
    "broadcast_to",
    "cache_state",
    "conv2d",
    "conv2d_grad_input",
    "conv2d_grad_weight",
    "cross_entropy",
    "cross_entropy_grad",
    "empty_cache",
    "get_num_threads",
    "index_add",
    "library",
    "log_softmax",
    "matmul",
    "max_pool2d",
    "max_pool2d_route",
    "name",
    "pad",
    "relu",
    "relu_mask",
    "serves",
    "set_cache_limit",
    "set_num_threads",
    "sgd_step",
    "sum",
]
