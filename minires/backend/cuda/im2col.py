"""im2col and col2im on the GPU, for study. They are not in the contract, and only their tests call them."""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.launch import blocks, launch
from minires.backend.shapes import Pair, conv_size

THREADS = 256


def im2col(x: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    """columns[(c,i,j), (n,p,q)] = x[n, c, p·s + i·d − P, q·s + j·d − P], 0 outside the image; (C·kh·kw, N·Ho·Wo)."""
    n, c, h, w = x.shape
    geometry = _geometry((h, w), kernel_size, stride, padding, dilation)
    columns = layout.empty(c * kernel_size[0] * kernel_size[1], n * geometry[0] * geometry[1])
    grid = (blocks(columns.size, THREADS),)
    launch("im2col", "im2col", grid, THREADS, layout.dense(x), columns, n, c, h, w, *geometry)
    return columns


def col2im(
    columns: Array, shape: tuple[int, int, int, int], kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """The adjoint: x[n, c, p·s + i·d − P, q·s + j·d − P] += columns[(c,i,j), (n,p,q)]; `shape` is (N, C, H, W)."""
    x = layout.empty(*shape)
    geometry = _geometry(shape[2:], kernel_size, stride, padding, dilation)
    launch("im2col", "col2im", (blocks(x.size, THREADS),), THREADS, layout.dense(columns), x, *shape, *geometry)
    return x


def _geometry(image: Pair, *windows: Pair) -> list[int]:
    """The last arguments of both kernels: Ho, Wo, kh, kw, then stride, padding and dilation."""
    output = [conv_size(*each) for each in zip(image, *windows, strict=True)]
    return [*output, *(number for pair in windows for number in pair)]
