"""Max and average pooling: for each kernel position (i, j), all windows at once.

    one 2×2 window      max                 average
    x = 3 9             y = 9               y = (3 + 9 + 4 + 1)/4 = 4.25
        4 1             argmax = 1

    gx, from            0  gy               gy/4  gy/4
    the gradient gy     0  0                gy/4  gy/4

`argmax` is the kernel position i·kw + j of the winner inside its window. Backward goes over the same kernel positions:
the windows whose winner is (i, j) add their gradient to the pixel that they have there; average pooling adds a share of
every window's gradient. Symbols are those of `im2col.py`, P is the padding; an adjoint is a linear map's transpose.
"""

from __future__ import annotations

from minires.backend.arrays import Array, array_module
from minires.backend.reference.elementwise import maximum
from minires.backend.reference.im2col import kernel_positions
from minires.backend.shapes import Pair, Window
from minires.errors import ShapeError


def max_pool2d_piece(x: Array, window: Window, ceil_mode: bool) -> tuple[Array, Array]:
    """y[n,c,p,q] = max_{i,j} x[n, c, p·s + i·d − P, q·s + j·d − P], by real parts in a complex step; and its argmax."""
    xp = array_module(x)
    output_size = window.output_size(x.shape[2:], ceil_mode)
    padded = _pad(x, window, output_size, -xp.inf)
    y = xp.full((*x.shape[:2], *output_size), -xp.inf, x.dtype)
    argmax = xp.zeros(y.shape, window.argmax_dtype)
    for i, j, pixels in kernel_positions(window, output_size):
        value = xp.ascontiguousarray(padded[pixels])
        larger = (value.real > y.real) | (value != value)  # the first of equal pixels wins, and a NaN over any number
        # Later positions have larger numbers: the maximum writes this one where `larger`, and keeps argmax elsewhere.
        xp.maximum(argmax, larger * argmax.dtype.type(i * window.kernel[1] + j), out=argmax)
        y = maximum(y, value)
    return y, argmax


def first_inside(x: Array, window: Window, output_size: Pair) -> Array:
    """(Ho, Wo): for each window its first kernel position inside the image. It wins if all pixels there are −∞."""
    xp = array_module(x)
    inside = _pad(xp.ones((1, 1, *x.shape[2:]), bool), window, output_size, False)[0, 0]
    first = xp.zeros(output_size, window.argmax_dtype)
    for i, j, pixels in reversed(list(kernel_positions(window, output_size))):
        first[inside[pixels]] = i * window.kernel[1] + j
    return first


def max_pool2d_route(gy: Array, argmax: Array, input_size: Pair, window: Window) -> Array:
    """gx[n,c,h,v] = Σ gy[n,c,p,q] over the windows whose winner is pixel (h, v)."""
    xp = array_module(gy)
    gx = xp.zeros((*gy.shape[:2], *_padded_size(input_size, window, gy.shape[2:])), gy.dtype)
    for i, j, pixels in kernel_positions(window, gy.shape[2:]):
        gx[pixels] += xp.where(argmax == i * window.kernel[1] + j, gy, gy.dtype.type(0))
    return _crop(gx, window, input_size)


def max_pool2d_gather(x: Array, argmax: Array, window: Window) -> Array:
    """y[n,c,p,q] = x at the winner of window (p, q), 0 if that is padding: the adjoint of routing."""
    xp = array_module(x)
    padded = _pad(x, window, argmax.shape[2:], 0)
    y = xp.zeros(argmax.shape, x.dtype)
    for i, j, pixels in kernel_positions(window, argmax.shape[2:]):
        xp.copyto(y, padded[pixels], where=argmax == i * window.kernel[1] + j)
    return y


def avg_pool2d(x: Array, window: Window, ceil_mode: bool, count_include_pad: bool) -> Array:
    """y[n,c,p,q] = 1/D Σ_{i,j} x[n, c, p·s + i − P, q·s + j − P]."""
    output_size = window.output_size(x.shape[2:], ceil_mode)
    padded = _pad(x, window, output_size, 0)
    y = array_module(x).zeros((*x.shape[:2], *output_size), x.dtype)
    for _, _, pixels in kernel_positions(window, output_size):
        y += padded[pixels]
    y /= _divisor(x, window, x.shape[2:], output_size, count_include_pad)
    return y


def avg_pool2d_split(gy: Array, input_size: Pair, window: Window, count_include_pad: bool) -> Array:
    """gx[n,c,h,v] = Σ gy[n,c,p,q] / D over the windows that contain pixel (h, v): the adjoint of averaging."""
    xp = array_module(gy)
    gx = xp.zeros((*gy.shape[:2], *_padded_size(input_size, window, gy.shape[2:])), gy.dtype)
    share = gy / _divisor(gy, window, input_size, gy.shape[2:], count_include_pad)
    for _, _, pixels in kernel_positions(window, gy.shape[2:]):
        gx[pixels] += share
    return _crop(gx, window, input_size)


def _pad(x: Array, window: Window, output_size: Pair, value: float) -> Array:
    """x with `value` around it: (N, C, *_padded_size)."""
    size = _padded_size(x.shape[2:], window, output_size)
    if size == x.shape[2:]:
        return x
    padded = array_module(x).full((*x.shape[:2], *size), value, x.dtype)
    _crop(padded, window, x.shape[2:])[...] = x
    return padded


def _padded_size(input_size: Pair, window: Window, output_size: Pair) -> Pair:
    """Size of the image with its padding, enlarged in ceil mode if the last window reaches beyond the padding."""
    (top, left), (height, width) = window.padding, input_size
    covered = window.covered_size(output_size)
    return max(covered[0], top + height), max(covered[1], left + width)


def _crop(padded: Array, window: Window, input_size: Pair) -> Array:
    """The image inside its padding, a view."""
    (top, left), (height, width) = window.padding, input_size
    return padded[:, :, top : top + height, left : left + width]


def _divisor(x: Array, window: Window, input_size: Pair, output_size: Pair, count_include_pad: bool) -> Array:
    """D (Ho, Wo): how many pixels of each window lie inside the padded image, or inside the image alone."""
    if window.dilation != (1, 1):
        raise ShapeError(f"average pooling has no dilation, got {window.dilation}")
    xp = array_module(x)
    counts = []
    for size, outputs, k, s, p in zip(input_size, output_size, *window[:3], strict=True):
        start = xp.arange(outputs) * s - p
        stop = xp.minimum(start + k, size + p)  # in ceil mode the last window may reach beyond the padding
        counts.append(stop - start if count_include_pad else xp.minimum(stop, size) - xp.maximum(start, 0))
    return (counts[0][:, None] * counts[1][None, :]).astype(x.dtype)
