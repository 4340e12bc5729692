"""The way back from max pooling: where each window's winner stood, and an image with numbers at these places.

    image   3 9    max_pool2d, 2×2    9    index 1    max_unpool2d    0 9
            4 1    ───────────────→                  ─────────────→   0 0

An index counts the pixels of one image row by row, as in torch. Inside the engine, max pooling remembers a winner by
its place in the window, which takes an eighth of the memory (`MaxPool2d.argmax`).
"""

from __future__ import annotations

from collections.abc import Sequence

from minires import backend
from minires.backend import Array
from minires.backend.shapes import Pair, Window
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError
from minires.ops.conv_arguments import SHAPES
from minires.ops.image_axes import as_image, as_sequence, row
from minires.ops.operands import check_device, check_floating, check_tensor, lengths_of, pair
from minires.ops.shape import squeeze, unsqueeze

Size = int | Sequence[int]


class MaxPool2dIndices(Function):
    """For each window the pixel h·W + v of its winner: x (N, C, H, W) -> (N, C, Ho, Wo), int64, so without a gradient.

    `sources` are given where x is made of copied rows and columns of an image: which ones, and that image's width.
    """

    saved_inputs = ()

    def __init__(self, window: Window, ceil_mode: bool, sources: tuple[Array, Array, int] | None = None) -> None:
        self.window, self.ceil_mode, self.sources = window, ceil_mode, sources

    def forward(self, x: Array) -> Array:
        _, argmax = backend.max_pool2d(x, self.window, self.ceil_mode)
        xp = backend.array_module(x)
        (_, kw), (sh, sw), (ph, pw), (dh, dw) = self.window
        i, j = xp.divmod(argmax.astype("int64"), kw)  # the place in the window
        h = xp.arange(argmax.shape[2])[:, None] * sh - ph + i * dh
        v = xp.arange(argmax.shape[3]) * sw - pw + j * dw
        if self.sources is None:
            return h * x.shape[3] + v
        rows, columns, width = self.sources
        return xp.asarray(rows)[h] * width + xp.asarray(columns)[v]

    def branches(self, x: Array) -> Array:
        """The indices themselves: they are constant where the winners are."""
        return self.forward(x)

    def on_branches(self, branches: Array, x: Array) -> Array:
        return branches


class MaxUnpool2d(Function):
    """y = 0, then y[n, c, pixel i[n,c,p,q]] = x[n,c,p,q];  gx[n,c,p,q] = gy[n, c, pixel i[n,c,p,q]].

    x and i (N, C, Ho, Wo) -> y (N, C, H, W), where (H, W) = output_size. A pixel that several windows name gets the
    last one's number, and each of them gets its gradient, as in torch.
    """

    saved_inputs = (1,)

    def __init__(self, output_size: Pair) -> None:
        self.output_size = output_size

    def forward(self, x: Array, indices: Array) -> Array:
        shape = (*x.shape[:2], *self.output_size)
        y = backend.array_module(x).zeros(shape[0] * shape[1] * shape[2] * shape[3], x.dtype)
        y[_places(indices, self.output_size)] = x
        return y.reshape(shape)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        return GatherAtIndices()(gy, self.inputs[1]), None


class GatherAtIndices(Function):
    """y[n,c,p,q] = x[n, c, pixel i[n,c,p,q]]: x (N, C, H, W), i (N, C, Ho, Wo) -> y like i."""

    saved_inputs = (1,)

    def forward(self, x: Array, indices: Array) -> Array:
        return x.reshape(-1)[_places(indices, x.shape[2:])]

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        x, indices = self.inputs
        return AddAtIndices(x.shape[2:])(gy, indices), None


class AddAtIndices(Function):
    """y = 0, then y[n, c, pixel i[n,c,p,q]] += x[n,c,p,q]: the adjoint of the gather; x, i like each other."""

    saved_inputs = (1,)

    def __init__(self, output_size: Pair) -> None:
        self.output_size = output_size

    def forward(self, x: Array, indices: Array) -> Array:
        shape = (*x.shape[:2], *self.output_size)
        size = shape[0] * shape[1] * shape[2] * shape[3]
        return backend.index_add(x, _places(indices, self.output_size), (size,)).reshape(shape)

    def backward(self, gy: Tensor) -> tuple[Tensor | None, ...]:
        return GatherAtIndices()(gy, self.inputs[1]), None


def _places(indices: Array, size: Pair) -> Array:
    """indices (N, C, Ho, Wo) into the images (N, C, *size) as indices into all their pixels."""
    n, c = indices.shape[:2]
    first = backend.array_module(indices).arange(n * c).reshape(n, c, 1, 1) * (size[0] * size[1])
    return indices + first


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Zeros, with `input` at the places from which `max_pool2d(…, return_indices=True)` took its maxima.

    input and indices (N, C, Ho, Wo) or (C, Ho, Wo) -> (N, C, H, W) with H = (Ho − 1)·stride − 2·padding + kernel_size,
    or the last two of `output_size` where several sizes are possible (torch.nn.functional.max_unpool2d). Raises
    ShapeError for indices that lie outside the image, DtypeError unless they are integers.
    """
    op = "max_unpool2d"
    kernel, margin = pair(op, "kernel_size", kernel_size), pair(op, "padding", padding)
    window = Window(kernel, pair(op, "stride", kernel if stride is None else stride), margin)
    x, places, is_single = _batch(op, 4, input, indices)
    y = _unpool(op, x, places, window, _given(op, output_size, 2))
    return squeeze(y, 0) if is_single else y


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Zeros, with `input` at the places from which `max_pool1d(…, return_indices=True)` took its maxima.

    input and indices (N, C, Lo) or (C, Lo) -> (N, C, L), as `max_unpool2d` (torch.nn.functional.max_unpool1d).
    """
    op = "max_unpool1d"
    kernel, margin = row(op, "kernel_size", kernel_size, 1), row(op, "padding", padding, 0)
    window = Window(kernel, row(op, "stride", kernel[1] if stride is None else stride, 1), margin)
    x, places, is_single = _batch(op, 3, input, indices)
    size = _given(op, output_size, 1)
    y = as_sequence(_unpool(op, as_image(x), as_image(places), window, None if size is None else (1, *size)))
    return squeeze(y, 0) if is_single else y


def _batch(op: str, axes: int, x: Tensor, indices: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Both with a batch axis, and whether they had none. Raises DtypeError, ShapeError."""
    check_floating(op, x)
    check_tensor(op, indices)
    check_device(op, x, indices)
    if indices.dtype.kind not in "iu":
        raise DtypeError(f"{op}: the indices must be integers, got {indices.dtype}")
    if x.ndim not in (axes - 1, axes) or indices.shape != x.shape:
        raise ShapeError(
            f"{op}: needs input and indices of one shape {SHAPES[axes][0]}, got {x.shape} and {indices.shape}"
        )
    is_single = x.ndim < axes
    return (unsqueeze(x, 0), unsqueeze(indices, 0), True) if is_single else (x, indices, False)


def _given(op: str, output_size: Sequence[int] | None, dimensions: int) -> tuple[int, ...] | None:
    return None if output_size is None else tuple(lengths_of(op, output_size))[-dimensions:]


def _unpool(op: str, x: Tensor, indices: Tensor, window: Window, size: tuple[int, ...] | None) -> Tensor:
    usual = window.smallest_input_size(x.shape[2:])
    height, width = usual if size is None else (size[0], size[1])
    if any(abs(n - m) >= s for n, m, s in zip((height, width), usual, window.stride, strict=True)):
        raise ShapeError(f"{op}: output_size {size} must be near {usual}, by less than the stride {window.stride}")
    if min(height, width) < 1:
        raise ShapeError(f"{op}: the output of input {x.shape} would have the size {(height, width)}")
    if indices.numel() and not 0 <= int(indices.data.min()) <= int(indices.data.max()) < height * width:
        raise ShapeError(
            f"{op}: indices {int(indices.data.min())} … {int(indices.data.max())} leave the image of {height}×{width} "
            "pixels"
        )
    return MaxUnpool2d((height, width))(x, indices)
