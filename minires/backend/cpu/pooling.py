"""Pooling in C, for windows of at most 256 kernel positions: argmax is a byte."""

from __future__ import annotations

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cpu import machine
from minires.backend.cpu.eligibility import check_integers, is_supported
from minires.backend.shapes import Pair, Window


def max_pool2d(x: Array, window: Window, ceil_mode: bool) -> tuple[Array, Array]:
    if window.argmax_dtype != "uint8" or not is_supported(x):
        return NotImplemented
    check_integers("pooling", window)
    y, argmax = machine.library.max_pool2d(x, window.output_size(x.shape[2:], ceil_mode), *window)
    return y, argmax


def max_pool2d_route(gy: Array, argmax: Array, input_size: Pair, window: Window) -> Array:
    if argmax.dtype != np.uint8 or not is_supported(gy):
        return NotImplemented
    return machine.library.max_pool2d_route(gy, argmax, input_size, *window)


def avg_pool2d(x: Array, window: Window, ceil_mode: bool, count_include_pad: bool) -> Array:
    if window.area > 256 or window.dilation != (1, 1) or not is_supported(x):
        return NotImplemented
    check_integers("pooling", window)
    output_size = window.output_size(x.shape[2:], ceil_mode)
    return machine.library.avg_pool2d(x, output_size, *window[:3], count_include_pad, None)


def avg_pool2d_split(gy: Array, input_size: Pair, window: Window, count_include_pad: bool) -> Array:
    if window.area > 256 or window.dilation != (1, 1) or not is_supported(gy):
        return NotImplemented
    return machine.library.avg_pool2d_split(gy, input_size, *window[:3], count_include_pad)
