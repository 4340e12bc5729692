"""Convolution on the GPU: what the kernels of conv.cu and conv_weight.cu are to be told of its geometry."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cuda import layout, sources
from minires.backend.cuda.eligibility import fit
from minires.backend.cuda.launch import blocks, launch
from minires.backend.cuda.precision import tf32
from minires.backend.cuda.tiles import LARGE, MOST_COLUMNS, MOST_ROWS, choose, divide, is_too_deep
from minires.backend.shapes import Pair, conv_size

THREADS = 256  # in a block, where each thread makes one number


class Axis(NamedTuple):
    """What happens along one axis of an image: output p and tap i meet at pixel p·step + origin + i·tap.

    Tap i of `taps` is row `first` + `every`·i of the kernel; output p goes to pixel `place` + `apart`·p of the result.
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


def forward_axis(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Axis:
    """Output p and tap i meet at pixel p·s − P + i·d."""
    return Axis(conv_size(size, kernel, stride, padding, dilation), stride, -padding, kernel, dilation)


def phases(size: int, kernel: int, stride: int, padding: int, dilation: int) -> Iterator[Axis]:
    """For each a < s the pixels h = a + s·p of the input gradient, which meet the taps i with s | a + P − i·d.

    Those are i = first + every·i', with every = s/gcd(s, d); they meet gy at (a + P − first·d)/s + p − i'·every·d/s.
    """
    every = stride // math.gcd(stride, dilation)
    for a in range(min(stride, size)):
        first = next((i for i in range(min(every, kernel)) if (a + padding - i * dilation) % stride == 0), kernel)
        taps = len(range(first, kernel, every))
        origin = (a + padding - first * dilation) // stride
        yield Axis(len(range(a, size, stride)), 1, origin, taps, -(every * dilation // stride), first, every, a, stride)


def divider(d: int) -> tuple[int, int, int]:
    """Divider of kernels/cuda/division.cuh: (d, m, b − 32) with b = 31 + ⌈log₂ d⌉ and m = ⌈2ᵇ/d⌉; m = 0 for d ≤ 1."""
    if d <= 1:
        return 1, 0, 0
    b = 31 + (d - 1).bit_length()
    return d, -(-(1 << b) // d), b - 32


def padded(channels: int) -> int:
    """The next multiple of 4: what kernels read at once."""
    return -(-channels // 4) * 4


def four_channels(x: Array) -> Array:
    """The image channels-last, its channels padded with zeros to a multiple of 4 where they are not: (N, H, W, C)."""
    x = layout.channels_last(x)
    n, c, h, w = x.shape
    rows = x.transpose(0, 2, 3, 1)
    if c % 4 == 0:
        return rows
    y = layout.empty(n, h, w, padded(c))
    launch("layout", "pad_channels", (blocks(y.size, THREADS),), THREADS, x, y, n * h * w, c, padded(c))
    return y


def packed_weight(w: Array, for_input: bool) -> Array:
    """w (O, C, kh, kw) as the right matrix of conv.cu: (taps, C padded, O padded), or (taps, O, C) for the input."""
    w = layout.dense(w)
    outputs, channels, taps = w.shape[0], w.shape[1], w.shape[2] * w.shape[3]
    depth, stride = (padded(outputs), padded(channels)) if for_input else (padded(channels), padded(outputs))
    packed = layout.empty(taps, depth, stride)
    grid, constants = (blocks(packed.size, THREADS),), LARGE.constants  # which this kernel makes no use of
    launch(
        "conv", "pack_weight", grid, THREADS,
        w, packed, outputs, channels, taps, depth, stride, for_input, TF32=0, **constants,
    )  # fmt: skip
    return packed


class Convolution(NamedTuple):
    """x (N, H, W, C) gathered along two axes, times packed weights, into y: a launch of conv.cu."""

    x: Array
    w: Array
    y: Array
    vertical: Axis
    horizontal: Axis
    kernel_width: int

    @property
    def rows(self) -> int:
        """M."""
        return int(self.x.shape[0]) * self.vertical.outputs * self.horizontal.outputs

    @property
    def depth(self) -> int:
        """K."""
        return self.vertical.taps * self.horizontal.taps * int(self.x.shape[3])

    def geometry(self) -> np.ndarray:
        """For the kernels."""
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
        """Launch it, in parts where it has too few tiles for a GPU."""
        rows, columns, depth = self.rows, int(self.y.shape[1]), self.depth
        if not rows:
            return
        constants = {"TF32": tf32()}
        tile = choose(rows, columns, constants["TF32"])
        constants |= tile.constants
        splits, chunk = divide(tile, rows, columns, depth)
        geometry = self.geometry()
        parts = layout.empty(splits, rows, columns) if splits > 1 else None
        launch(
            "conv", "conv2d", (*tile.grid(rows, columns), splits), tile.threads,
            self.x, self.w, bias, residual, self.y, parts, geometry, chunk, relu, **constants,
        )  # fmt: skip
        if parts is not None:
            grid = (blocks(rows * columns, THREADS),)
            launch("conv", "finish", grid, THREADS, parts, bias, residual, self.y, geometry, splits, relu, **constants)


def conv2d(x: Array, w: Array, bias: Array | None, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    return fused_conv2d(x, w, bias, stride, padding, dilation, groups)


def fused_conv2d(
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    residual: Array | None = None,
    relu: bool = False,
    packed: Array | None = None,
) -> Array:
    """conv2d, then + residual, then ReLU, in one pass; `packed` is packed_weight(w, False) where that is at hand."""
    if groups != 1 or not fit(x, w, bias, residual):
        return NotImplemented
    vertical, horizontal = (
        forward_axis(*each) for each in zip(x.shape[2:], w.shape[2:], stride, padding, dilation, strict=True)
    )
    output = (vertical.outputs, horizontal.outputs)
    if not _representable(x.shape[0], x.shape[2:], output, w, stride, padding, dilation):
        return NotImplemented
    y = layout.empty_image(x.shape[0], w.shape[0], *output)
    bias = None if bias is None else layout.dense(bias)
    residual = None if residual is None else layout.channels_last(residual)
    packed = packed_weight(w, for_input=False) if packed is None else packed
    Convolution(four_channels(x), packed, y, vertical, horizontal, w.shape[3]).run(bias, residual, relu)
    return y


def conv2d_grad_input(
    gy: Array, w: Array, image: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    if groups != 1 or not fit(gy, w) or 0 in image:
        return NotImplemented
    if not _representable(gy.shape[0], image, gy.shape[2:], w, stride, padding, dilation):
        return NotImplemented
    gx = layout.empty_image(gy.shape[0], w.shape[1], *image)
    packed, rows = packed_weight(w, for_input=True), four_channels(gy)
    vertical, horizontal = (
        list(phases(*each)) for each in zip(image, w.shape[2:], stride, padding, dilation, strict=True)
    )
    for y in vertical:
        for x in horizontal:
            Convolution(rows, packed, gx, y, x, w.shape[3]).run()
    return gx


def conv2d_grad_weight(
    x: Array, gy: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    if groups != 1 or not fit(x, gy):
        return NotImplemented
    gw = layout.empty(gy.shape[1], x.shape[1], *kernel_size)
    if not _representable(x.shape[0], x.shape[2:], gy.shape[2:], gw, stride, padding, dilation):
        return NotImplemented
    if is_too_deep(x.shape[0] * math.prod(gy.shape[2:])):
        return NotImplemented
    rows, gradients = four_channels(x), four_channels(gy)
    channels, outputs, taps = rows.shape[3], gradients.shape[3], math.prod(kernel_size)
    ho, wo = gy.shape[2:]
    geometry = sources.pack(
        "conv_weight", "Geometry", height=x.shape[2], width=x.shape[3], channels=channels,
        pixels=x.shape[0] * ho * wo, outputs=outputs, columns=taps * channels,
        area=divider(ho * wo), across=divider(wo), channel=divider(channels), tap_columns=divider(kernel_size[1]),
        step_y=stride[0], step_x=stride[1], origin_y=-padding[0], origin_x=-padding[1],
        tap_y=dilation[0], tap_x=dilation[1],
    )  # fmt: skip
    constants = {"TF32": tf32()}
    tile = choose(outputs, taps * channels, constants["TF32"])
    constants |= tile.constants
    splits, chunk = divide(tile, outputs, taps * channels, x.shape[0] * ho * wo)
    parts = layout.empty(splits, outputs, taps * channels)
    grid = (*tile.grid(outputs, taps * channels), splits)
    launch(
        "conv_weight", "conv2d_grad_weight", grid, tile.threads, rows, gradients, parts, geometry, chunk, **constants
    )
    launch(
        "conv_weight", "finish_weight", (blocks(gw.size, THREADS),), THREADS,
        parts, gw, splits, outputs, channels, taps, x.shape[1], gw.size, **constants,
    )  # fmt: skip
    return gw


def _representable(n: int, image: Pair, output: Pair, w: Array, stride: Pair, padding: Pair, dilation: Pair) -> bool:
    """Whether the kernels' 32-bit numbers hold every pixel that a tap may meet, and every row and column."""
    kernel, most = w.shape[2:], 1 << 29
    farthest = max(
        (o + 1) * s + P + k * d for o, s, P, k, d in zip(output, stride, padding, kernel, dilation, strict=True)
    )
    pixels, outputs = math.prod(image), math.prod(output)
    phase = math.prod(max(1, size // s) for size, s in zip(image, stride, strict=True))
    reads = max(
        _images_of_a_tile(outputs) * pixels * padded(w.shape[1]),
        _images_of_a_tile(phase) * outputs * padded(w.shape[0]),
    )
    columns = math.prod(kernel) * padded(max(w.shape[:2]))
    return (
        max(farthest, *image) < most
        and reads < 1 << 31
        and n * max(pixels, outputs) <= MOST_ROWS
        and columns <= MOST_COLUMNS
    )


def _images_of_a_tile(pixels: int) -> int:
    """Of how many images the rows of a tile can be at most, a row being one of so many pixels of each."""
    return LARGE.rows // pixels + 2
