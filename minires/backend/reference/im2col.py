"""im2col and col2im: the patches of an image as the columns of a matrix, and the way back.

Both work on an image that already has its padding. A 3×3 image and a 2×2 window with stride 1 make four patches:

    padded            columns, one for each patch
    a b c             a b d e        kernel position (0, 0)
    d e f    im2col   b c e f        (0, 1)
    g h i    ──────→  d e g h        (1, 0)
                      e f h i        (1, 1)

col2im adds each number of such a matrix to the pixel it was copied from. From a matrix of ones it makes the number of
patches that share each pixel:

    columns           padded
    1 1 1 1           1 2 1
    1 1 1 1  col2im   2 4 2
    1 1 1 1  ──────→  1 2 1
    1 1 1 1

Symbols: n image, c channel, (p, q) output, (i, j) kernel position, s stride, d dilation; Ho×Wo outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minires.backend.arrays import Array, array_module
from minires.backend.shapes import Pair, Window


def im2col(padded: Array, window: Window) -> Array:
    """columns[(c,i,j), (n,p,q)] = padded[n, c, p·s + i·d, q·s + j·d]

    padded (N, C, H, W) -> columns (C·kh·kw, N·Ho·Wo).
    """
    n, c, h, w = padded.shape
    ho, wo = window.without_padding.output_size((h, w))
    channels_first = padded.transpose(1, 0, 2, 3)
    columns = array_module(padded).empty((c, *window.kernel, n, ho, wo), padded.dtype)
    for i, j, pixels in kernel_positions(window, (ho, wo)):
        columns[:, i, j] = channels_first[pixels]
    return columns.reshape(c * window.area, n * ho * wo)


def col2im(columns: Array, padded_shape: tuple[int, int, int, int], window: Window) -> Array:
    """padded[n, c, p·s + i·d, q·s + j·d] += columns[(c,i,j), (n,p,q)], starting from zeros

    columns (C·kh·kw, N·Ho·Wo) -> padded (N, C, H, W) = padded_shape. It is the adjoint of im2col, the
    transpose of that linear map: Σ im2col(x) · columns = Σ x · col2im(columns).
    """
    n, c, h, w = padded_shape
    ho, wo = window.without_padding.output_size((h, w))
    columns = columns.reshape(c, *window.kernel, n, ho, wo)
    channels_first = array_module(columns).zeros((c, n, h, w), columns.dtype)
    for i, j, pixels in kernel_positions(window, (ho, wo)):
        channels_first[pixels] += columns[:, i, j]
    return channels_first.transpose(1, 0, 2, 3)


def kernel_positions(window: Window, output_size: Pair) -> Iterator[tuple[int, int, Any]]:
    """(i, j, pixels) for each kernel position, row by row: `pixels` are those that (i, j) meets in all windows.

    padded[pixels] is (…, Ho, Wo), and its element (p, q) is padded[…, p·s + i·d, q·s + j·d].
    """
    (ho, wo), (sh, sw), (dh, dw) = output_size, window.stride, window.dilation
    for i in range(window.kernel[0]):
        for j in range(window.kernel[1]):
            vertical = slice(i * dh, i * dh + (ho - 1) * sh + 1, sh)
            horizontal = slice(j * dw, j * dw + (wo - 1) * sw + 1, sw)
            yield i, j, (..., vertical, horizontal)
