"""MaxPool, AveragePool, LpPool and the global poolings, over rows (N, C, L) and images (N, C, H, W).

Where ONNX's windows are PyTorch's, MiniRes's pooling computes them. Unequal padding and windows that hang over the edge
are made explicit first: the image is padded with what changes nothing (−∞, or 0 and a count of the pixels).
"""

from __future__ import annotations

import math
from functools import reduce

import numpy as np

from minires import functional as F
from minires.core.tensor import Tensor
from minires.onnx.node import Node, operator
from minires.onnx.windows import Geometry, Sides, check_image, geometry, padding


def _image(x: Tensor) -> Tensor:
    """A row (N, C, L) as an image (N, C, 1, L)."""
    return x.reshape((*x.shape[:2], 1, x.shape[2])) if x.ndim == 3 else x


def _two(window: Geometry, sides: Sides) -> tuple[Geometry, Sides]:
    """A window of one axis as one of two."""
    if len(window.kernel) == 2:
        return window, sides
    return Geometry(*((1, *part) for part in window)), Sides((0, *sides.before), (0, *sides.after))


def _windows(node: Node, x: Tensor) -> tuple[Tensor, Geometry, Sides, Sides]:
    """(x as an image, its window, its padding, how much the last windows hang over behind the padding)."""
    kernel = node.get("kernel_shape")
    if not kernel:
        node.refuse("needs kernel_shape")
    window = geometry(node, kernel)
    check_image(node, x, len(window.kernel))
    window, sides = _two(window, padding(node, x.shape[2:], window))
    x = _image(x)
    over = []
    for n, before, after, stride, span in zip(x.shape[2:], *sides, window.strides, window.span, strict=True):
        rest = n + before + after - span
        if rest < 0:
            node.refuse(f"has a window larger than its input {x.shape} with padding {sides}")
        hanging = -rest % stride if node.flag("ceil_mode") else 0
        # A window that begins behind the image and the padding before it would see nothing: there is none.
        starts_outside = (rest + hanging) // stride * stride >= n + before
        over.append(0 if starts_outside else hanging)
    return x, window, sides, Sides((0, 0), (over[0], over[1]))


def _row_again(y: Tensor, axes: int) -> Tensor:
    return y.reshape((*y.shape[:2], y.shape[3])) if axes == 1 else y


@operator("MaxPool", "auto_pad ceil_mode dilations kernel_shape pads storage_order strides", outputs=2)
def max_pool(node: Node, x: Tensor) -> tuple[Tensor, ...]:
    """The largest element of each window and, if the node has a second output, its index in the whole of x."""
    axes, dtype = x.ndim - 2, x.dtype
    x, window, sides, over = _windows(node, x if dtype.kind == "f" else x.astype("float32"))
    wants_index = len(node.outputs) > 1 and bool(node.outputs[1])
    if wants_index:
        return _with_index(node, x, window, sides, over, axes)
    is_plain = sides.is_symmetric and not any(over.after)
    is_plain = is_plain and all(p <= span // 2 for p, span in zip(sides.before, window.span, strict=True))
    if not is_plain:
        after = tuple(map(sum, zip(sides.after, over.after, strict=True)))
        x, sides = Sides(sides.before, after).pad(x, -math.inf), Sides((0, 0), (0, 0))
    y = F.max_pool2d(x, window.kernel, window.strides, sides.before, window.dilations)
    return (_row_again(y.astype(dtype), axes),)


def _with_index(node: Node, x: Tensor, window: Geometry, sides: Sides, over: Sides, axes: int) -> tuple[Tensor, ...]:
    n, c, h, w = x.shape
    padded = Sides(sides.before, tuple(map(sum, zip(sides.after, over.after, strict=True)))).pad(x, -math.inf)
    y, index = F.max_pool2d(padded, window.kernel, window.strides, 0, window.dilations, return_indices=True)
    places = index.numpy()
    row, column = places // padded.shape[3] - sides.before[0], places % padded.shape[3] - sides.before[1]
    within = column * h + row if node.flag("storage_order") else row * w + column
    image = np.arange(n * c, dtype=np.int64).reshape(n, c, 1, 1)
    return _row_again(y, axes), _row_again(Tensor(image * (h * w) + within).to(x.device), axes)


@operator("AveragePool", "auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides")
def average_pool(node: Node, x: Tensor) -> Tensor:
    """The mean of each window; the padding counts as zeros only if count_include_pad=1."""
    axes = x.ndim - 2
    x, window, sides, over = _windows(node, x)
    with_padding = node.flag("count_include_pad")
    fits = all(p <= k // 2 for p, k in zip(sides.before, window.kernel, strict=True))
    if sides.is_symmetric and fits and not any(over.after) and set(window.dilations) == {1}:
        y = F.avg_pool2d(x, window.kernel, window.strides, sides.before, count_include_pad=with_padding)
        return _row_again(y, axes)
    inside = np.ones((1, 1, *x.shape[2:]), x.dtype)
    widths = ((0, 0), (0, 0), *zip(*sides, strict=True))
    inside = np.pad(inside, widths, constant_values=1.0 if with_padding else 0.0)
    inside = np.pad(inside, ((0, 0), (0, 0), *zip(*over, strict=True)))
    sums = _sums(over.pad(sides.pad(x)), window)
    return _row_again(sums / _sums(Tensor(inside).to(x.device), window), axes)


def _sums(x: Tensor, window: Geometry) -> Tensor:
    """The sum of each window: a convolution of each channel with ones."""
    ones = Tensor(np.ones((x.shape[1], 1, *window.kernel), x.dtype)).to(x.device)
    return F.conv2d(x, ones, None, window.strides, 0, window.dilations, x.shape[1])


@operator("LpPool", "auto_pad ceil_mode dilations kernel_shape p pads strides")
def lp_pool(node: Node, x: Tensor) -> Tensor:
    """(Σ |x|ᵖ)^(1/p) of each window."""
    axes, p = x.ndim - 2, float(node.number("p", 2))
    x, window, sides, over = _windows(node, x)
    return _row_again(_sums(over.pad(sides.pad(F.abs(x) ** p)), window) ** (1 / p), axes)


def _image_axes(node: Node, x: Tensor) -> tuple[int, ...]:
    if x.ndim < 3:
        node.refuse(f"needs an input (N, C, …), got {x.shape}")
    return tuple(range(2, x.ndim))


@operator("GlobalAveragePool")
def global_average_pool(node: Node, x: Tensor) -> Tensor:
    """The mean of each channel of each image."""
    return F.mean(x, _image_axes(node, x), True)


@operator("GlobalMaxPool")
def global_max_pool(node: Node, x: Tensor) -> Tensor:
    """The largest element of each channel of each image."""
    return F.amax(x, _image_axes(node, x), True)


@operator("GlobalLpPool", "p")
def global_lp_pool(node: Node, x: Tensor) -> Tensor:
    """(Σ |x|ᵖ)^(1/p) of each channel of each image."""
    p = float(node.number("p", 2))
    return F.sum(F.abs(x) ** p, _image_axes(node, x), True) ** (1 / p)


@operator("LRN", "alpha beta bias size")
def local_response_norm(node: Node, x: Tensor) -> Tensor:
    """x / (bias + alpha/size · Σ x² over neighbouring channels)^beta."""
    size = int(node.number("size"))
    before, after = (size - 1) // 2, size // 2
    squares = F.pad(x * x, [0, 0] * (x.ndim - 2) + [before, after])
    total = reduce(F.add, (squares[:, k : k + x.shape[1]] for k in range(size)))
    return x / (node.number("bias") + node.number("alpha") / size * total) ** node.number("beta")
