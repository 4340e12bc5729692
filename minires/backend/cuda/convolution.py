"""Convolution on the GPU: prepares the geometry for the kernels of conv.cu and conv_weight.cu, and launches them.

Convolutions in groups go to grouped.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cuda import grouped, layout, sources
from minires.backend.cuda.eligibility import is_supported
from minires.backend.cuda.launch import blocks, launch
from minires.backend.cuda.precision import tf32
from minires.backend.cuda.tiles import LARGE, MAX_COLUMNS, MAX_ROWS, choose_tile, is_too_deep, split_k
from minires.backend.shapes import Pair, Window

THREADS = 256  # of a block whose threads compute one number each


class Axis(NamedTuple):
    """The geometry along one axis of an image: output p and tap i meet at pixel p·step + origin + i·tap.

    Tap i of `taps` is row `first` + `every`·i of the kernel. Output p is stored at pixel `place` + `apart`·p of the
    result.
    """

    outputs: int
    step: int
    origin: int
    taps: int
    tap: int
    first: int = 0
    every: int = 1
    place: int = 0
    apart: int = 1


def forward_axes(output_size: Pair, window: Window) -> tuple[Axis, Axis]:
    """The vertical and the horizontal axis: output p and tap i meet at pixel p·s − P + i·d."""
    vertical, horizontal = (Axis(o, s, -p, k, d) for o, k, s, p, d in zip(output_size, *window, strict=True))
    return vertical, horizontal


def phases(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Iterator[Axis]:
    """For each phase a < s, the pixels h = a + s·p of the input gradient. They meet the taps i with s | a + P − i·d.

    The taps are i = first + every·i', every = s/gcd(s, d); they meet gy at (a + P − first·d)/s + p − i'·every·d/s.
    """
    every = stride // math.gcd(stride, dilation)
    for a in range(min(stride, size)):
        first = next((i for i in range(min(every, kernel)) if (a + padding - i * dilation) % stride == 0), kernel)
        taps = len(range(first, kernel, every))
        origin = (a + padding - first * dilation) // stride
        yield Axis(len(range(a, size, stride)), 1, origin, taps, -(every * dilation // stride), first, every, a, stride)


def divider(d: int) -> tuple[int, int, int]:
    """A Divider of kernels/cuda/division.cuh: (d, m, b − 32) with b = 31 + ⌈log₂ d⌉ and m = ⌈2ᵇ/d⌉; m = 0 for d ≤ 1."""
    if d <= 1:
        return 1, 0, 0
    b = 31 + (d - 1).bit_length()
    return d, -(-(1 << b) // d), b - 32


def ceil4(channels: int) -> int:
    """The next multiple of 4, the number of channels that a kernel reads at once."""
    return 4 * blocks(channels, 4)


def padded_nhwc(x: Array) -> Array:
    """The image (N, C, H, W) as (N, H, W, C), with C padded with zeros to a multiple of 4."""
    x = layout.channels_last(x)
    n, c, h, w = x.shape
    rows = x.transpose(0, 2, 3, 1)
    if c % 4 == 0:
        return rows
    y = layout.empty(n, h, w, ceil4(c))
    launch("layout", "pad_channels", (blocks(y.size, THREADS),), THREADS, x, y, n * h * w, c, ceil4(c))
    return y


def packed_weight(w: Array, for_input: bool) -> Array:
    """w (O, C, kh, kw) as the right matrix of conv.cu: (taps, C, O) or, for the input gradient, (taps, O, C).

    C and O are padded with zeros to multiples of 4.
    """
    w = layout.dense(w)
    outputs, channels, taps = w.shape[0], w.shape[1], w.shape[2] * w.shape[3]
    depth, stride = (ceil4(outputs), ceil4(channels)) if for_input else (ceil4(channels), ceil4(outputs))
    packed = layout.empty(taps, depth, stride)
    grid, constants = (blocks(packed.size, THREADS),), LARGE.constants  # the kernel needs them only to compile
    launch(
        "conv", "pack_weight", grid, THREADS,
        w, packed, outputs, channels, taps, depth, stride, for_input, TF32=0, **constants,
    )  # fmt: skip
    return packed


class Convolution(NamedTuple):
    """A launch of conv.cu: y = patches of x (N, H, W, C), gathered along two axes, times packed weights."""

    x: Array
    w: Array
    y: Array
    vertical: Axis
    horizontal: Axis
    kernel_width: int

    @property
    def rows(self) -> int:
        """Rows of the matrix product, one for each output position of each image: M of the GEMM."""
        return int(self.x.shape[0]) * self.vertical.outputs * self.horizontal.outputs

    @property
    def depth(self) -> int:
        """Length of the sums, one term for each tap and input channel: K of the GEMM."""
        return self.vertical.taps * self.horizontal.taps * int(self.x.shape[3])

    def geometry(self) -> np.ndarray:
        """The kernel argument `Geometry` of conv.cu, as bytes."""
        y, x = self.vertical, self.horizontal
        n, height, width, channels = self.x.shape
        return sources.pack(
            "conv", "Geometry", images=n, height=height, width=width, channels=channels,
            rows=self.rows, columns=self.y.shape[1], stride=self.w.shape[2], depth=self.depth,
            area=divider(y.outputs * x.outputs), across=divider(x.outputs),
            channel=divider(channels), tap_columns=divider(x.taps),
            step_y=y.step, step_x=x.step, origin_y=y.origin, origin_x=x.origin, tap_y=y.tap, tap_x=x.tap,
            first_y=y.first, first_x=x.first, every_y=y.every, every_x=x.every, taps=self.kernel_width,
            is_whole=y.every == x.every == 1 and y.first == x.first == 0,
            result_height=self.y.shape[2], result_width=self.y.shape[3],
            place_y=y.place, place_x=x.place, apart_y=y.apart, apart_x=x.apart,
        )  # fmt: skip

    def run(self, bias: Array | None = None, residual: Array | None = None, relu: bool = False) -> None:
        """Launch the product. With too few tiles for a GPU, K is split, and a second kernel adds up the parts."""
        rows, columns, depth = self.rows, int(self.y.shape[1]), self.depth
        if not rows:
            return
        constants = {"TF32": tf32()}
        tile = choose_tile(rows, columns, constants["TF32"])
        constants |= tile.constants
        splits, chunk = split_k(tile, rows, columns, depth)
        geometry = self.geometry()
        parts = layout.empty(splits, rows, columns) if splits > 1 else None
        launch(
            "conv", "conv2d", (*tile.grid(rows, columns), splits), tile.threads,
            self.x, self.w, bias, residual, self.y, parts, geometry, chunk, relu, **constants,
        )  # fmt: skip
        if parts is not None:
            grid = (blocks(rows * columns, THREADS),)
            launch(
                "conv", "conv2d_reduce", grid, THREADS,
                parts, bias, residual, self.y, geometry, splits, relu, **constants,
            )  # fmt: skip


def conv2d(x: Array, w: Array, bias: Array | None, window: Window, groups: int) -> Array:
    return fused_conv2d(x, w, bias, window, groups)


def fused_conv2d(
    x: Array,
    w: Array,
    bias: Array | None,
    window: Window,
    groups: int,
    residual: Array | None = None,
    relu: bool = False,
    packed: Array | None = None,
) -> Array:
    """conv2d, plus `residual`, then ReLU, in one pass; `packed` is packed_weight(w, False), or None to pack it here."""
    if not is_supported(x, w, bias, residual):
        return NotImplemented
    output_size = window.output_size(x.shape[2:])
    if groups > 1:
        if not grouped.is_countable(x.shape[0], w, x.shape[2:], output_size, window, groups):
            return NotImplemented
        return grouped.forward(x, w, bias, window, groups, residual, relu)
    if not _representable(x.shape[0], x.shape[2:], output_size, w, window):
        return NotImplemented
    y = layout.empty_image(x.shape[0], w.shape[0], *output_size)
    bias = None if bias is None else layout.dense(bias)
    residual = None if residual is None else layout.channels_last(residual)
    packed = packed_weight(w, for_input=False) if packed is None else packed
    Convolution(padded_nhwc(x), packed, y, *forward_axes(output_size, window), w.shape[3]).run(bias, residual, relu)
    return y


def conv2d_grad_input(
    gy: Array, w: Array, input_size: Pair, window: Window, groups: int, plus: Array | None = None
) -> Array:
    gx = _grad_input(gy, w, input_size, window, groups)
    return gx if gx is NotImplemented or plus is None else gx + plus


def _grad_input(gy: Array, w: Array, input_size: Pair, window: Window, groups: int) -> Array:
    if not is_supported(gy, w) or 0 in input_size:
        return NotImplemented
    if groups > 1:
        if not grouped.is_countable(gy.shape[0], w, input_size, gy.shape[2:], window, groups):
            return NotImplemented
        return grouped.grad_input(gy, w, input_size, window, groups)
    if not _representable(gy.shape[0], input_size, gy.shape[2:], w, window):
        return NotImplemented
    gx = layout.empty_image(gy.shape[0], w.shape[1], *input_size)
    packed, rows = packed_weight(w, for_input=True), padded_nhwc(gy)
    vertical, horizontal = (list(phases(*each)) for each in zip(input_size, *window, strict=True))
    for y in vertical:
        for x in horizontal:
            Convolution(rows, packed, gx, y, x, w.shape[3]).run()
    return gx


def conv2d_grad_weight(x: Array, gy: Array, window: Window, groups: int) -> Array:
    if not is_supported(x, gy):
        return NotImplemented
    gw = layout.empty(gy.shape[1], x.shape[1] // groups, *window.kernel)
    if groups > 1:
        if not grouped.is_countable(x.shape[0], gw, x.shape[2:], gy.shape[2:], window, groups):
            return NotImplemented
        return grouped.grad_weight(x, gy, window, groups)
    if not _representable(x.shape[0], x.shape[2:], gy.shape[2:], gw, window):
        return NotImplemented
    if is_too_deep(x.shape[0] * math.prod(gy.shape[2:])):
        return NotImplemented
    rows, gradients = padded_nhwc(x), padded_nhwc(gy)
    channels, outputs, taps = rows.shape[3], gradients.shape[3], window.area
    (ho, wo), (_, stride, padding, dilation) = gy.shape[2:], window
    geometry = sources.pack(
        "conv_weight", "Geometry", height=x.shape[2], width=x.shape[3], channels=channels,
        pixels=x.shape[0] * ho * wo, outputs=outputs, columns=taps * channels,
        area=divider(ho * wo), across=divider(wo), channel=divider(channels), tap_columns=divider(window.kernel[1]),
        step_y=stride[0], step_x=stride[1], origin_y=-padding[0], origin_x=-padding[1],
        tap_y=dilation[0], tap_x=dilation[1],
    )  # fmt: skip
    constants = {"TF32": tf32()}
    tile = choose_tile(outputs, taps * channels, constants["TF32"])
    constants |= tile.constants
    splits, chunk = split_k(tile, outputs, taps * channels, x.shape[0] * ho * wo)
    parts = layout.empty(splits, outputs, taps * channels)
    grid = (*tile.grid(outputs, taps * channels), splits)
    launch(
        "conv_weight", "conv2d_grad_weight", grid, tile.threads, rows, gradients, parts, geometry, chunk, **constants
    )
    launch(
        "conv_weight", "conv2d_grad_weight_reduce", (blocks(gw.size, THREADS),), THREADS,
        parts, gw, splits, outputs, channels, taps, x.shape[1], gw.size, **constants,
    )  # fmt: skip
    return gw


def _representable(n: int, input_size: Pair, output_size: Pair, w: Array, window: Window) -> bool:
    """Whether the kernels' 32-bit integers can index every pixel that a tap may meet, and every row and column."""
    most = 1 << 29
    farthest = max((o + 1) * s + p + k * d for o, k, s, p, d in zip(output_size, *window, strict=True))
    pixels, outputs = math.prod(input_size), math.prod(output_size)
    phase = math.prod(max(1, size // s) for size, s in zip(input_size, window.stride, strict=True))
    reads = max(
        _images_of_a_tile(outputs) * pixels * ceil4(w.shape[1]),
        _images_of_a_tile(phase) * outputs * ceil4(w.shape[0]),
    )
    columns = window.area * ceil4(max(w.shape[:2]))
    return (
        max(farthest, *input_size) < most
        and reads < 1 << 31
        and n * max(pixels, outputs) <= MAX_ROWS
        and columns <= MAX_COLUMNS
    )


def _images_of_a_tile(pixels: int) -> int:
    """Upper bound on the number of images that one tile spans, where each image has `pixels` rows of the matrix."""
    return LARGE.rows // pixels + 2
