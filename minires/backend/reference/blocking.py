"""The kernels of `convolution.py` and `pooling.py`, called on one piece of an image after another.

The columns of im2col are kh·kw times as large as the pixels that they were copied from. So they are made for a block of
output positions at a time (some images, some rows, some columns) and never kept: neither they, nor the pixels they are
made of, nor the product is larger than BLOCK_BYTES, unless a single position takes more. Max pooling looks at every
pixel kh·kw times, and finds those of a small piece in a cache. The results are the same for pieces of any size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from minires.backend.arrays import Array, array_module
from minires.backend.reference import convolution, pooling
from minires.backend.shapes import Pair, Window

# Both are measured (docs/performance.md): smaller pieces cost more calls than they save, larger ones leave the cache.
BLOCK_BYTES = 4 << 20
PIECE_BYTES = 512 << 10


def conv2d(x: Array, w: Array, bias: Array | None, window: Window, groups: int) -> Array:
    xp = array_module(x)
    y = xp.empty((x.shape[0], w.shape[0], *window.output_size(x.shape[2:])), xp.result_type(x, w))
    for block in blocks(x.shape[0], x.shape[2:], window, w, groups):
        y[block.output] = convolution.conv2d_block(block.padded(x), w, bias, window, groups)
    return y


def conv2d_grad_input(
    gy: Array, w: Array, input_size: Pair, window: Window, groups: int, plus: Array | None = None
) -> Array:
    xp = array_module(gy)
    gx = xp.zeros((gy.shape[0], w.shape[1] * groups, *input_size), xp.result_type(gy, w))
    for block in blocks(gy.shape[0], input_size, window, w, groups):
        padded = convolution.conv2d_grad_input_block(gy[block.output], w, block.padded_size, window, groups)
        gx[block.input] += padded[block.inside]  # neighbouring blocks share pixels
    return gx if plus is None else gx + plus


def conv2d_grad_weight(x: Array, gy: Array, window: Window, groups: int) -> Array:
    xp = array_module(x)
    gw = xp.zeros((gy.shape[1], x.shape[1] // groups, *window.kernel), xp.result_type(x, gy))
    for block in blocks(x.shape[0], x.shape[2:], window, gw, groups):
        gw += convolution.conv2d_grad_weight_block(block.padded(x), gy[block.output], window, groups)
    return gw


def max_pool2d(x: Array, window: Window, ceil_mode: bool) -> tuple[Array, Array]:
    xp = array_module(x)
    output_size = window.output_size(x.shape[2:], ceil_mode)
    y = xp.empty((*x.shape[:2], *output_size), x.dtype)
    argmax = xp.empty(y.shape, window.argmax_dtype)
    for piece in pieces(x):
        y[piece], argmax[piece] = pooling.max_pool2d_piece(x[piece], window, ceil_mode)
    # Where all pixels of a window are −∞ nothing was larger than the padding. Elsewhere the winner comes no earlier.
    xp.maximum(argmax, pooling.first_inside(x, window, output_size), out=argmax)
    return y, argmax


class Span(NamedTuple):
    """Some outputs along one axis, and the pixels that their windows cover."""

    outputs: slice
    pixels: slice  # those that lie in the image
    inside: slice  # where these lie among all that the windows cover; the others are padding
    length: int  # how many pixels the windows cover


class Block(NamedTuple):
    """A piece of the output: some images, some rows, some columns."""

    images: slice
    rows: Span
    columns: Span

    @property
    def output(self) -> tuple[slice, ...]:
        """The block in (N, O, Ho, Wo)."""
        return self.images, slice(None), self.rows.outputs, self.columns.outputs

    @property
    def input(self) -> tuple[slice, ...]:
        """The pixels in (N, C, H, W) that the block's windows cover."""
        return self.images, slice(None), self.rows.pixels, self.columns.pixels

    @property
    def padded_size(self) -> Pair:
        """Height and width of what the block's windows cover, padding included."""
        return self.rows.length, self.columns.length

    @property
    def inside(self) -> tuple[Any, ...]:
        """The pixels of `input` in (…, *padded_size)."""
        return ..., self.rows.inside, self.columns.inside

    def padded(self, x: Array) -> Array:
        """What the block's windows cover of x, zeros in the padding: (n, C, *padded_size)."""
        pixels = x[self.input]
        if pixels.shape[2:] == self.padded_size and pixels.strides[-1] == x.dtype.itemsize:
            return pixels  # there is no padding, and im2col finds the rows in order
        n, c = pixels.shape[:2]
        channels_first = array_module(x).zeros((c, n, *self.padded_size), x.dtype)  # in memory, as columns are
        channels_first[self.inside] = pixels.transpose(1, 0, 2, 3)
        return channels_first.transpose(1, 0, 2, 3)


def blocks(images: int, input_size: Pair, window: Window, w: Array, groups: int) -> Iterator[Block]:
    """Cut the output into blocks of at most BLOCK_BYTES: whole images if they fit, else rows, else single positions."""
    if not images:  # an empty batch has no blocks: results stay as they were made, empty or zero
        return
    ho, wo = window.output_size(input_size)
    channels, itemsize = w.shape[1] * groups, w.dtype.itemsize
    position_bytes = max(channels * window.area, w.shape[0]) * itemsize  # a column, or its product
    budget = max(1, BLOCK_BYTES // position_bytes)  # positions in a block
    width = min(wo, budget)
    height = min(ho, max(1, budget // wo))
    count = min(images, max(1, budget // (ho * wo)))

    def covered_bytes() -> int:
        h, v = window.covered_size((height, width))
        return count * channels * h * v * itemsize

    while covered_bytes() > BLOCK_BYTES and count * height * width > 1:
        # Large strides and dilations reach far beyond a block: halve the images, then the rows, then the columns.
        if count > 1:
            count = -(-count // 2)
        elif height > 1:
            height = -(-height // 2)
        else:
            width = -(-width // 2)
    for n in range(0, images, count):
        for p in range(0, ho, height):
            for q in range(0, wo, width):
                yield Block(
                    slice(n, min(n + count, images)),
                    _span(p, min(p + height, ho), input_size, window, axis=0),
                    _span(q, min(q + width, wo), input_size, window, axis=1),
                )


def _span(start: int, stop: int, input_size: Pair, window: Window, axis: int) -> Span:
    """The outputs start … stop − 1 along an axis."""
    size, stride = input_size[axis], window.stride[axis]
    first = start * stride - window.padding[axis]
    last = (stop - 1) * stride - window.padding[axis] + window.span[axis]
    low = min(max(first, 0), size)
    high = max(low, min(last, size))
    return Span(slice(start, stop), slice(low, high), slice(low - first, high - first), last - first)


def pieces(x: Array) -> Iterator[tuple[slice, slice]]:
    """Cut x (N, C, H, W) into pieces of at most PIECE_BYTES: some channels of one image."""
    plane = max(1, x.shape[2] * x.shape[3] * x.dtype.itemsize)
    channels = max(1, PIECE_BYTES // plane)
    for n in range(x.shape[0]):
        for c in range(0, x.shape[1], channels):
            yield slice(n, n + 1), slice(c, c + channels)
