"""Convolution in groups on the GPU: prepares the geometry for the kernels of grouped.cu, and launches them."""

from __future__ import annotations

import math

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cuda import layout, sources
from minires.backend.cuda.eligibility import MAX_CHANNELS, MAX_ROWS
from minires.backend.cuda.launch import MAX_GRID_YZ, blocks, launch
from minires.backend.cuda.row_blocks import FINAL_CHANNELS, THREADS, scalar_row_block, split_rows
from minires.backend.shapes import Pair, Window


def is_countable(images: int, w: Array, input_size: Pair, output_size: Pair, window: Window, groups: int) -> bool:
    """Whether 32 bits hold all numbers that the kernels count; w (O, C/groups, kh, kw)."""
    sizes = (*window.padded_size(input_size), *(number for pair in window for number in pair))
    numbers = (images * math.prod(input_size), images * math.prod(output_size), *sizes)
    fits = max(numbers) <= MAX_ROWS and max(w.shape[0], groups * w.shape[1]) <= MAX_CHANNELS
    return fits and window.area * w.shape[1] <= MAX_GRID_YZ


def forward(
    x: Array, w: Array, bias: Array | None, window: Window, groups: int, residual: Array | None, relu: bool
) -> Array:
    """max(x ∗ w + bias + residual, 0): y (N, O, Ho, Wo); bias, residual and ReLU are optional."""
    output_size, outputs = window.output_size(x.shape[2:]), w.shape[0]
    x, weight = layout.channels_last(x), layout.dense(w.transpose(2, 3, 1, 0))
    bias = None if bias is None else layout.dense(bias)
    residual = None if residual is None else layout.channels_last(residual)
    y, rows, block = layout.empty_image(x.shape[0], outputs, *output_size), _rows(x, output_size), _block(outputs)
    geometry = _geometry(x.shape[1], outputs, groups, x.shape[2:], output_size, window)
    launch(
        "grouped", "grouped_conv2d", block.grid(rows), THREADS,
        x, weight, bias, residual, y, geometry, rows, block.lanes, relu,
    )  # fmt: skip
    return y


def grad_input(gy: Array, w: Array, input_size: Pair, window: Window, groups: int) -> Array:
    """The input gradient (N, C, H, W)."""
    outputs, width, kh, kw = w.shape
    by_group = w.reshape(groups, outputs // groups, width, kh, kw).transpose(3, 4, 1, 0, 2)
    gy, weight, channels = layout.channels_last(gy), layout.dense(by_group), groups * width
    gx, rows, block = layout.empty_image(gy.shape[0], channels, *input_size), _rows(gy, input_size), _block(channels)
    geometry = _geometry(channels, outputs, groups, input_size, gy.shape[2:], window)
    launch(
        "grouped", "grouped_grad_input", block.grid(rows), THREADS,
        gy, weight, gx, geometry, rows, block.lanes,
    )  # fmt: skip
    return gx


def grad_weight(x: Array, gy: Array, window: Window, groups: int) -> Array:
    """The weight gradient (O, C/groups, kh, kw)."""
    x, gy = layout.channels_last(x), layout.channels_last(gy)
    channels, outputs, rows = x.shape[1], gy.shape[1], _rows(gy, gy.shape[2:])
    width, taps, block = channels // groups, window.area, _block(gy.shape[1])
    chunks = split_rows(block, rows, taps * width)
    parts, gw = layout.empty(chunks.number, taps * width, outputs), layout.empty(outputs, width, *window.kernel)
    geometry = _geometry(channels, outputs, groups, x.shape[2:], gy.shape[2:], window)
    launch(
        "grouped", "grouped_grad_weight", (chunks.number, block.channel_blocks, taps * width), THREADS,
        x, gy, parts, geometry, rows, block.lanes, chunks.rows,
    )  # fmt: skip
    launch(
        "grouped", "grouped_grad_weight_reduce", (taps * width, blocks(outputs, FINAL_CHANNELS)), THREADS,
        parts, gw, outputs, width, taps, chunks.number,
    )  # fmt: skip
    return gw


_block = scalar_row_block  # each thread has one channel of the result


def _rows(images: Array, size: Pair) -> int:
    return int(images.shape[0]) * math.prod(size)


def _geometry(
    channels: int, outputs: int, groups: int, input_size: Pair, output_size: Pair, window: Window
) -> np.ndarray:
    """The kernel argument `Geometry` of grouped.cu, as bytes."""
    vertical, horizontal = zip(input_size, output_size, *window, strict=True)
    return sources.pack(
        "grouped",
        "Geometry",
        channels=channels,
        outputs=outputs,
        width=channels // groups,
        depth=outputs // groups,
        vertical=vertical,
        horizontal=horizontal,
    )
