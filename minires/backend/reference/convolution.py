"""Convolution by im2col: write the patches as the columns of a matrix, and convolution is one matrix product.

For a block of output positions (some images, some rows, some columns):

    patch    (C, n, h, v)                 the zero-padded input that the block reads
    columns  (G, C/G · kh · kw, n · p · q)   column (n,p,q) is the receptive field of that output position
    y block  = w (G, O/G, C/G · kh · kw) @ columns

The input gradient runs the same road backwards: columns = wᵀ @ gy, and col2im adds each column back to where
im2col had read it; pixels that several windows share receive the sum. The weight gradient is gy @ columnsᵀ.

Columns are kh·kw times as large as what they were copied from, so they are made block by block, never kept,
and never larger than `BLOCK_BYTES`; nor is the patch or the product, unless that of a single position is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from minires.backend.arrays import Array, array_module
from minires.backend.shapes import Pair, conv_size, reach

BLOCK_BYTES = 4 << 20  # measured: large enough for an efficient matrix product, small enough to stay near a cache


class Windows(NamedTuple):
    """The geometry that the three kernels share; each field is (vertical, horizontal)."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    def output(self, image: Pair) -> Pair:
        """Output size (Ho, Wo) of an image (H, W)."""
        ho, wo = (
            conv_size(*each) for each in zip(image, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        )
        return ho, wo


class Span(NamedTuple):
    """Along one axis: outputs start … stop, and the input pixels they read, cut at the image's border."""

    start: int
    stop: int
    inside: slice  # where the pixels lie in the image
    placed: slice  # where they lie in the patch; the rest of the patch is padding
    length: int  # of the patch


class Block(NamedTuple):
    """One piece of the output: some images, some rows, some columns."""

    images: slice
    rows: Span
    columns: Span

    @property
    def output(self) -> tuple[slice, slice, slice, slice]:
        """Index of the block in (N, O, Ho, Wo)."""
        return (
            self.images,
            slice(None),
            slice(self.rows.start, self.rows.stop),
            slice(self.columns.start, self.columns.stop),
        )

    @property
    def input(self) -> tuple[slice, slice, slice, slice]:
        """Index in (N, C, H, W) of the pixels that the block reads."""
        return self.images, slice(None), self.rows.inside, self.columns.inside


def _span(start: int, stop: int, size: int, axis: int, windows: Windows) -> Span:
    first = start * windows.stride[axis] - windows.padding[axis]
    last = (
        (stop - 1) * windows.stride[axis] - windows.padding[axis] + reach(windows.kernel[axis], windows.dilation[axis])
    )
    low, high = min(max(first, 0), size), max(min(last, size), 0)
    high = max(low, high)
    return Span(start, stop, slice(low, high), slice(low - first, high - first), last - first)


def blocks(images: int, image: Pair, windows: Windows, w: Array, groups: int) -> Iterator[Block]:
    """Cut the output into blocks that take at most BLOCK_BYTES: whole images if they fit, else rows, else pixels."""
    if not images:  # an empty batch has no blocks: results stay as they were made, empty or zero
        return
    ho, wo = windows.output(image)
    budget = max(1, BLOCK_BYTES // _bytes_per_output(w, groups))  # positions in a block
    width = min(wo, budget)
    height = min(ho, max(1, budget // wo))
    count = min(images, max(1, budget // (ho * wo)))
    while _patch_bytes(count, (height, width), windows, w, groups) > BLOCK_BYTES and count * height * width > 1:
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
                    _span(p, min(p + height, ho), image[0], 0, windows),
                    _span(q, min(q + width, wo), image[1], 1, windows),
                )


def im2col(x: Array, block: Block, windows: Windows, groups: int) -> Array:
    """columns[g, (c,i,j), (n,p,q)] = patch[g·C/G + c, n, p·s + i·d, q·s + j·d]; (G, C/G·kh·kw, n·p·q)."""
    xp = array_module(x)
    pixels = x[block.input].transpose(1, 0, 2, 3)
    channels, n = pixels.shape[:2]
    patch = xp.zeros((channels, n, block.rows.length, block.columns.length), x.dtype)
    patch[:, :, block.rows.placed, block.columns.placed] = pixels
    columns = xp.empty((channels, *windows.kernel, n, *_extent(block)), x.dtype)
    for i, j, window in _shifts(block, windows):
        columns[:, i, j] = patch[:, :, window[0], window[1]]
    return columns.reshape(groups, channels // groups * windows.kernel[0] * windows.kernel[1], -1)


def col2im(columns: Array, block: Block, windows: Windows) -> Array:
    """Its adjoint: patch[c, n, p·s + i·d, q·s + j·d] += columns[(c,i,j), (n,p,q)], cut to the image; (n, C, h, v)."""
    xp = array_module(columns)
    n = block.images.stop - block.images.start
    columns = columns.reshape(-1, *windows.kernel, n, *_extent(block))
    patch = xp.zeros((columns.shape[0], n, block.rows.length, block.columns.length), columns.dtype)
    for i, j, window in _shifts(block, windows):
        patch[:, :, window[0], window[1]] += columns[:, i, j]
    return patch[:, :, block.rows.placed, block.columns.placed].transpose(1, 0, 2, 3)


def _extent(block: Block) -> Pair:
    return block.rows.stop - block.rows.start, block.columns.stop - block.columns.start


def _shifts(block: Block, windows: Windows) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
    """For each kernel position (i, j), the pixels of the patch that it meets as the window slides."""
    (rows, columns), (sh, sw), (dh, dw) = _extent(block), windows.stride, windows.dilation
    for i in range(windows.kernel[0]):
        for j in range(windows.kernel[1]):
            yield (
                i,
                j,
                (
                    slice(i * dh, i * dh + (rows - 1) * sh + 1, sh),
                    slice(j * dw, j * dw + (columns - 1) * sw + 1, sw),
                ),
            )


def _bytes_per_output(w: Array, groups: int) -> int:
    """What one output position takes with all its channels: the larger of its column and its product."""
    return int(max(w.shape[1] * groups * w.shape[2] * w.shape[3], w.shape[0]) * w.dtype.itemsize)


def _patch_bytes(images: int, output: Pair, windows: Windows, w: Array, groups: int) -> int:
    """The padded input that a block of so many images and (rows, columns) of output reads."""
    rows, columns = (
        (o - 1) * s + reach(k, d)
        for o, s, k, d in zip(output, windows.stride, windows.kernel, windows.dilation, strict=True)
    )
    return int(images * w.shape[1] * groups * rows * columns * w.dtype.itemsize)


def conv2d(x: Array, w: Array, bias: Array | None, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Array:
    xp = array_module(x)
    windows = Windows(w.shape[2:], stride, padding, dilation)
    outputs = w.shape[0]
    y = xp.empty((x.shape[0], outputs, *windows.output(x.shape[2:])), xp.result_type(x, w))
    w_matrix = w.reshape(groups, outputs // groups, -1)
    for block in blocks(x.shape[0], x.shape[2:], windows, w, groups):
        product = w_matrix @ im2col(x, block, windows, groups)  # (G, O/G, n·p·q)
        if bias is not None:
            product += bias.reshape(groups, -1, 1)
        y[block.output] = product.reshape(outputs, -1, *_extent(block)).transpose(1, 0, 2, 3)
    return y


def conv2d_grad_input(
    gy: Array, w: Array, image: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    xp = array_module(gy)
    windows = Windows(w.shape[2:], stride, padding, dilation)
    gx = xp.zeros((gy.shape[0], w.shape[1] * groups, *image), xp.result_type(gy, w))
    w_transposed = w.reshape(groups, w.shape[0] // groups, -1).transpose(0, 2, 1)
    for block in blocks(gy.shape[0], image, windows, w, groups):
        gy_matrix = _as_matrix(gy[block.output], groups)
        gx[block.input] += col2im(w_transposed @ gy_matrix, block, windows)  # blocks overlap by a kernel's reach
    return gx


def conv2d_grad_weight(
    x: Array, gy: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    xp = array_module(x)
    windows = Windows(kernel_size, stride, padding, dilation)
    gw = xp.zeros((gy.shape[1], x.shape[1] // groups, *kernel_size), xp.result_type(x, gy))
    gw_matrix = gw.reshape(groups, gy.shape[1] // groups, -1)
    for block in blocks(x.shape[0], x.shape[2:], windows, gw, groups):
        gw_matrix += _as_matrix(gy[block.output], groups) @ im2col(x, block, windows, groups).transpose(0, 2, 1)
    return gw


def _as_matrix(gy: Array, groups: int) -> Array:
    """(n, O, p, q) -> (G, O/G, n·p·q)."""
    return gy.transpose(1, 0, 2, 3).reshape(groups, gy.shape[1] // groups, -1)
