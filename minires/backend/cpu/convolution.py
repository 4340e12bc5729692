"""Convolution in C, each call by the algorithm that `algorithms` gives for its shape."""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.cpu import algorithms, machine
from minires.backend.cpu.algorithms import Shape
from minires.backend.cpu.eligibility import check_integers, is_supported
from minires.backend.shapes import Pair, Window


def conv2d(x: Array, w: Array, bias: Array | None, window: Window, groups: int) -> Array:
    if not is_supported(x, w, bias):
        return NotImplemented
    shape = _shape(x.shape[0], x.shape[1], w.shape[0], x.shape[2:], window, groups)
    return machine.library.conv2d(x, w, bias, None, False, *window[1:], groups, algorithms.forward(shape))


def conv2d_grad_input(
    gy: Array, w: Array, input_size: Pair, window: Window, groups: int, plus: Array | None = None
) -> Array:
    if not is_supported(gy, w, plus):
        return NotImplemented
    shape = _shape(gy.shape[0], w.shape[1] * groups, w.shape[0], input_size, window, groups)
    algorithm = algorithms.grad_input(shape, input_size)
    return machine.library.conv2d_grad_input(gy, w, input_size, *window[1:], groups, algorithm, plus)


def conv2d_grad_weight(x: Array, gy: Array, window: Window, groups: int) -> Array:
    if not is_supported(x, gy):
        return NotImplemented
    shape = _shape(x.shape[0], x.shape[1], gy.shape[1], x.shape[2:], window, groups)
    return machine.library.conv2d_grad_weight(x, gy, *window, groups, algorithms.grad_weight(shape))


def _shape(images: int, channels: int, outputs: int, input_size: Pair, window: Window, groups: int) -> Shape:
    check_integers("conv2d", window)
    return Shape(images, channels, outputs, window.output_size(input_size), window, groups)
