"""im2col and col2im on the GPU, for study. They are not in the contract, and only their tests call them."""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.launch import blocks, launch
from minires.backend.shapes import Pair, Window

THREADS = 256


def im2col(x: Array, window: Window) -> Array:
    """columns[(c,i,j), (n,p,q)] = x[n, c, p·s + i·d − P, q·s + j·d − P], 0 outside the image; (C·kh·kw, N·Ho·Wo)."""
    n, c, h, w = x.shape
    ho, wo = window.output_size((h, w))
    columns = layout.empty(c * window.area, n * ho * wo)
    grid = (blocks(columns.size, THREADS),)
    launch("im2col", "im2col", grid, THREADS, layout.dense(x), columns, n, c, h, w, *_geometry((h, w), window))
    return columns


def col2im(columns: Array, shape: tuple[int, int, int, int], window: Window) -> Array:
    """The adjoint: x[n, c, p·s + i·d − P, q·s + j·d − P] += columns[(c,i,j), (n,p,q)]; `shape` is (N, C, H, W)."""
    x = layout.empty(*shape)
    geometry = _geometry(shape[2:], window)
    launch("im2col", "col2im", (blocks(x.size, THREADS),), THREADS, layout.dense(columns), x, *shape, *geometry)
    return x


def _geometry(input_size: Pair, window: Window) -> list[int]:
    """The last arguments of both kernels: Ho, Wo, then the pairs of the window."""
    return [number for pair in (window.output_size(input_size), *window) for number in pair]
