"""The C kernels on the CPU: the build that is loaded, its threads, and the memory it keeps."""

from __future__ import annotations

import math

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cpu import algorithms
from minires.backend.cpu.algorithms import Shape
from minires.backend.cpu.eligibility import is_supported as _fit
from minires.backend.cpu.machine import (
    ISA,
    cache_state,
    empty_cache,
    get_num_threads,
    library,
    set_cache_limit,
    set_num_threads,
)
from minires.backend.shapes import Pair, conv_size, pool_size
from minires.errors import ShapeError

# -- convolution -------------------------------------------------------------------------------------------------------


def _check_integers(op: str, **geometry: Pair) -> None:
    """Raise ShapeError for numbers that the kernels' 64-bit integers do not hold; what they hold, they check."""
    for name, values in geometry.items():
        if max(values) >= 1 << 63:
            raise ShapeError(f"{op}: {name} {values} is too large: the kernels count with 64 bits")


def _shape(images: int, channels: int, outputs: int, image: Pair, kernel: Pair, *geometry: Pair) -> Shape:
    """Of a convolution; geometry is stride, padding, dilation."""
    _check_integers("conv2d", **dict(zip(("stride", "padding", "dilation"), geometry, strict=True)))
    ho, wo = (conv_size(*each) for each in zip(image, kernel, *geometry, strict=True))
    return Shape(images, channels, outputs, (ho, wo), kernel, *geometry)


def conv2d(x: Array, w: Array, bias: Array | None, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    if groups != 1 or not _fit(x, w, bias):
        return NotImplemented
    shape = _shape(x.shape[0], x.shape[1], w.shape[0], x.shape[2:], w.shape[2:], stride, padding, dilation)
    return library.conv2d(x, w, bias, None, False, stride, padding, dilation, algorithms.forward(shape))


def conv2d_grad_input(
    gy: Array, w: Array, image: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    strided_and_dilated = any(s > 1 and d > 1 for s, d in zip(stride, dilation, strict=True))
    if groups != 1 or strided_and_dilated or not _fit(gy, w):
        return NotImplemented
    shape = _shape(gy.shape[0], w.shape[1], w.shape[0], image, w.shape[2:], stride, padding, dilation)
    return library.conv2d_grad_input(gy, w, image, stride, padding, dilation, algorithms.grad_input(shape, image))


def conv2d_grad_weight(
    x: Array, gy: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    if groups != 1 or not _fit(x, gy):
        return NotImplemented
    shape = _shape(x.shape[0], x.shape[1], gy.shape[1], x.shape[2:], kernel_size, stride, padding, dilation)
    return library.conv2d_grad_weight(x, gy, kernel_size, stride, padding, dilation, algorithms.grad_weight(shape))


# -- pooling -----------------------------------------------------------------------------------------------------------


def _pooled(image: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> Pair:
    _check_integers("pooling", stride=stride, padding=padding, dilation=dilation)
    ho, wo = (pool_size(*each, ceil_mode) for each in zip(image, kernel, stride, padding, dilation, strict=True))
    return ho, wo


def max_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    if math.prod(kernel_size) > 256 or not _fit(x):
        return NotImplemented
    output = _pooled(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    y, argmax = library.max_pool2d(x, output, kernel_size, stride, padding, dilation)
    return y, argmax


def max_pool2d_route(
    gy: Array, argmax: Array, image: Pair, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    if argmax.dtype != np.uint8 or not _fit(gy):
        return NotImplemented
    return library.max_pool2d_route(gy, argmax, image, kernel_size, stride, padding, dilation)


def avg_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Pair, ceil_mode: bool, count_include_pad: bool
) -> Array:
    if math.prod(kernel_size) > 256 or not _fit(x):
        return NotImplemented
    output = _pooled(x.shape[2:], kernel_size, stride, padding, (1, 1), ceil_mode)
    return library.avg_pool2d(x, output, kernel_size, stride, padding, count_include_pad, None)


def avg_pool2d_split(
    gy: Array, image: Pair, kernel_size: Pair, stride: Pair, padding: Pair, count_include_pad: bool
) -> Array:
    if math.prod(kernel_size) > 256 or not _fit(gy):
        return NotImplemented
    return library.avg_pool2d_split(gy, image, kernel_size, stride, padding, count_include_pad)


__all__ = [
    "ISA",
    "cache_state",
    "empty_cache",
    "get_num_threads",
    "library",
    "set_cache_limit",
    "set_num_threads",
]
