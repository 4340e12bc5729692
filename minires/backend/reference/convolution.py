"""Convolution and its two gradients as three matrix products, by im2col.

    y  = w @ columns + b           columns = im2col(padded x)
    gx = col2im(wᵀ @ gy)
    gw = gy @ columnsᵀ

Here w is the matrix (O, C·kh·kw), y and gy are matrices (O, N·Ho·Wo), and columns are (C·kh·kw, N·Ho·Wo). With G
groups each product becomes G products, one for each group: of O/G rows of w with the columns of C/G channels.

The kernels `conv2d`, … that the contract names are in `blocking.py`. They cut the images into blocks, since columns are
kh·kw times as large as the image, write the padding around each block, and call these functions on it.
"""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.reference.im2col import col2im, im2col
from minires.backend.shapes import Pair, Window


def conv2d_block(padded: Array, w: Array, bias: Array | None, window: Window, groups: int) -> Array:
    """y = w @ columns + b: padded (N, C, H, W), w (O, C/G, kh, kw), bias (O,) -> (N, O, Ho, Wo)."""
    y = _weight_matrix(w, groups) @ _by_group(im2col(padded, window), groups)
    if bias is not None:
        y += bias.reshape(groups, -1, 1)
    n, output_size = padded.shape[0], window.without_padding.output_size(padded.shape[2:])
    return y.reshape(w.shape[0], n, *output_size).transpose(1, 0, 2, 3)


def conv2d_grad_input_block(gy: Array, w: Array, padded_size: Pair, window: Window, groups: int) -> Array:
    """gx = col2im(wᵀ @ gy): gy (N, O, Ho, Wo), w (O, C/G, kh, kw) -> (N, C, H, W), where (H, W) = padded_size."""
    columns = _weight_matrix(w, groups).transpose(0, 2, 1) @ _image_matrix(gy, groups)
    return col2im(columns, (gy.shape[0], w.shape[1] * groups, *padded_size), window)


def conv2d_grad_weight_block(padded: Array, gy: Array, window: Window, groups: int) -> Array:
    """gw = gy @ columnsᵀ: padded (N, C, H, W), gy (N, O, Ho, Wo) -> (O, C/G, kh, kw)."""
    columns = _by_group(im2col(padded, window), groups)
    gw = _image_matrix(gy, groups) @ columns.transpose(0, 2, 1)
    return gw.reshape(gy.shape[1], padded.shape[1] // groups, *window.kernel)


def _weight_matrix(w: Array, groups: int) -> Array:
    """(O, C/G, kh, kw) -> (G, O/G, C/G·kh·kw)."""
    return w.reshape(groups, w.shape[0] // groups, -1)


def _image_matrix(y: Array, groups: int) -> Array:
    """(N, O, Ho, Wo) -> (G, O/G, N·Ho·Wo)."""
    return y.transpose(1, 0, 2, 3).reshape(groups, y.shape[1] // groups, -1)


def _by_group(columns: Array, groups: int) -> Array:
    """(C·kh·kw, N·Ho·Wo) -> (G, C/G·kh·kw, N·Ho·Wo)."""
    return columns.reshape(groups, columns.shape[0] // groups, -1)
