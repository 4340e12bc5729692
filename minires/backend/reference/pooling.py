"""Max and average pooling, by shifted slices: for each place (i, j) in the window, all windows at once.

Max pooling remembers *which* element of each window won, as the number i·kw + j. Backward is then one line: for each
(i, j), the windows whose winner is (i, j) hand their gradient to the pixel they have there.
"""

from __future__ import annotations

from collections.abc import Iterator

from minires.backend.arrays import Array, array_module
from minires.backend.reference.elementwise import maximum
from minires.backend.shapes import Pair, pool_size

Window = tuple[slice, slice, slice, slice]

PIECE_BYTES = 512 << 10  # measured: a smaller piece costs more calls than it saves, a larger one leaves the cache


def _padded(x: Array, output: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, value: float) -> Array:
    """x with `value` around it, as far as the windows reach (in ceil mode beyond the padding)."""
    ph, pw, bottom, right = _margins(x.shape[2:], output, kernel, stride, padding, dilation)
    if not (ph or pw or bottom or right):
        return x
    xp = array_module(x)
    image = xp.full((*x.shape[:2], ph + x.shape[2] + bottom, pw + x.shape[3] + right), value, x.dtype)
    image[:, :, ph : ph + x.shape[2], pw : pw + x.shape[3]] = x
    return image


def _margins(
    image: Pair, output: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> tuple[int, int, int, int]:
    """Pixels that the windows reach beyond the image: above, left, below, right."""
    below, right = (
        max(0, (o - 1) * s + d * (k - 1) + 1 - p - size)
        for size, o, k, s, p, d in zip(image, output, kernel, stride, padding, dilation, strict=True)
    )
    return padding[0], padding[1], below, right


def _places(output: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> Iterator[tuple[int, Window]]:
    """(i·kw + j, the pixel at place (i, j) of every window) for each place, in row-major order."""
    (ho, wo), (sh, sw), (dh, dw) = output, stride, dilation
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            rows = slice(i * dh, i * dh + (ho - 1) * sh + 1, sh)
            columns = slice(j * dw, j * dw + (wo - 1) * sw + 1, sw)
            yield i * kernel[1] + j, (slice(None), slice(None), rows, columns)


def _index_type(kernel: Pair) -> str:
    return "uint8" if kernel[0] * kernel[1] <= 256 else "int32"


def _output(image: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> Pair:
    ho, wo = (pool_size(*each, ceil_mode) for each in zip(image, kernel, stride, padding, dilation, strict=True))
    return ho, wo


def max_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    xp = array_module(x)
    output = _output(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    geometry = (output, kernel_size, stride, padding, dilation)
    y = xp.full((*x.shape[:2], *output), -xp.inf, x.dtype)
    argmax = xp.empty(y.shape, _index_type(kernel_size))
    argmax[...] = _first_inside(x, *geometry)
    for piece in _pieces(x):
        image = _padded(x[piece], *geometry, value=-xp.inf)
        best, winner = y[piece], argmax[piece]
        for number, place in _places(output, kernel_size, stride, dilation):
            value = xp.ascontiguousarray(image[place])
            better = (value.real > best.real) | (value != value)  # strictly: ties stay with the first; NaN wins
            # The winner is the last place that beat all before it, and numbers ascend: a maximum, cheaper than a mask.
            xp.maximum(winner, better * winner.dtype.type(number), out=winner)
            best[...] = maximum(best, value)
    return y, argmax


def _pieces(x: Array) -> Iterator[tuple[slice, slice]]:
    """Some channels of one image after another, so few that each look at their pixels finds them in a cache."""
    plane = max(1, x.shape[2] * x.shape[3] * x.dtype.itemsize)
    channels = max(1, PIECE_BYTES // plane)
    for n in range(x.shape[0]):
        for c in range(0, x.shape[1], channels):
            yield slice(n, n + 1), slice(c, c + channels)


def _first_inside(x: Array, output: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    """The first place of each window that is not padding, (1, 1, Ho, Wo): the winner where all of a window is −∞."""
    xp = array_module(x)
    inside = _padded(xp.ones((1, 1, *x.shape[2:]), bool), output, kernel, stride, padding, dilation, value=False)
    first = xp.zeros((1, 1, *output), "int32")
    for number, place in reversed(list(_places(output, kernel, stride, dilation))):
        first[inside[place]] = number
    return first


def max_pool2d_route(
    gy: Array, argmax: Array, image: Pair, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    xp = array_module(gy)
    output: Pair = gy.shape[2:]
    top, left, below, right = _margins(image, output, kernel_size, stride, padding, dilation)
    gx = xp.zeros((*gy.shape[:2], top + image[0] + below, left + image[1] + right), gy.dtype)
    for number, place in _places(output, kernel_size, stride, dilation):
        gx[place] += xp.where(argmax == number, gy, gy.dtype.type(0))
    return gx[:, :, top : top + image[0], left : left + image[1]]


def max_pool2d_gather(x: Array, argmax: Array, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    xp = array_module(x)
    output: Pair = argmax.shape[2:]
    image = _padded(x, output, kernel_size, stride, padding, dilation, value=0)
    y = xp.zeros(argmax.shape, x.dtype)
    for number, place in _places(output, kernel_size, stride, dilation):
        xp.copyto(y, image[place], where=argmax == number)
    return y


def _divisor(x: Array, image: Pair, output: Pair, kernel: Pair, stride: Pair, padding: Pair, inclusive: bool) -> Array:
    """D (Ho, Wo): the window's pixels inside the padded image (`inclusive`), or inside the image itself."""
    xp = array_module(x)
    counts = []
    for size, o, k, s, p in zip(image, output, kernel, stride, padding, strict=True):
        start = xp.arange(o) * s - p
        stop = xp.minimum(start + k, size + p)  # in ceil mode the last window may reach beyond the padding
        counts.append(stop - start if inclusive else xp.minimum(stop, size) - xp.maximum(start, 0))
    return (counts[0][:, None] * counts[1][None, :]).astype(x.dtype)


def avg_pool2d(
    x: Array, kernel_size: Pair, stride: Pair, padding: Pair, ceil_mode: bool, count_include_pad: bool
) -> Array:
    xp = array_module(x)
    output = _output(x.shape[2:], kernel_size, stride, padding, (1, 1), ceil_mode)
    image = _padded(x, output, kernel_size, stride, padding, (1, 1), value=0)
    y = xp.zeros((*x.shape[:2], *output), x.dtype)
    for _, place in _places(output, kernel_size, stride, (1, 1)):
        y += image[place]
    y /= _divisor(x, x.shape[2:], output, kernel_size, stride, padding, count_include_pad)
    return y


def avg_pool2d_split(
    gy: Array, image: Pair, kernel_size: Pair, stride: Pair, padding: Pair, count_include_pad: bool
) -> Array:
    xp = array_module(gy)
    output: Pair = gy.shape[2:]
    top, left, below, right = _margins(image, output, kernel_size, stride, padding, (1, 1))
    gx = xp.zeros((*gy.shape[:2], top + image[0] + below, left + image[1] + right), gy.dtype)
    share = gy / _divisor(gy, image, output, kernel_size, stride, padding, count_include_pad)
    for _, place in _places(output, kernel_size, stride, (1, 1)):
        gx[place] += share
    return gx[:, :, top : top + image[0], left : left + image[1]]
