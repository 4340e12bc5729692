"""Pooling to a given size: the image is divided into bins, of which each gives one number.

Bin i of n along an axis of length H covers ⌊iH/n⌋ … ⌈(i+1)H/n⌉ − 1. So bins may overlap, and differ in length by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minires import backend
from minires.backend.shapes import Window
from minires.core.settings import flag
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.float16 import in_float32
from minires.ops.image_axes import as_image, as_sequence, one_or_many, row
from minires.ops.linear import matmul
from minires.ops.operands import check_floating, check_real, pair
from minires.ops.pool import MaxPool2d
from minires.ops.shape import index
from minires.ops.unpool import MaxPool2dIndices

Size = int | Sequence[int]


def bins(n: int, count: int) -> list[tuple[int, int]]:
    """(start, stop) of each of `count` bins along an axis of length n."""
    return [(i * n // count, -(-(i + 1) * n // count)) for i in range(count)]


def _size(op: str, x: Tensor, output_size: Size | Sequence[int | None]) -> tuple[int, int]:
    """The output's (height, width), where None keeps that of x. Raises ShapeError if x cannot be pooled to it."""
    if isinstance(output_size, Iterable):
        sizes = tuple(output_size)
        if len(sizes) == 2 and x.ndim == 4:
            output_size = [n if size is None else size for size, n in zip(sizes, x.shape[2:], strict=True)]
    ho, wo = pair(op, "output_size", output_size)  # type: ignore[arg-type]  # pair raises where a None is left
    return _checked(op, x, ho, wo)


def _checked(op: str, x: Tensor, ho: int, wo: int) -> tuple[int, int]:
    check_floating(op, x)
    if x.ndim != 4 or not min(x.shape[2:]) or min(ho, wo) < 1:
        raise ShapeError(f"{op}: cannot pool input {x.shape} to {(ho, wo)}")
    return ho, wo


# -- the mean ---------------------------------------------------------------------------------------------------------


@in_float32
@one_or_many(4)
def adaptive_avg_pool2d(input: Tensor, output_size: Size | Sequence[int | None]) -> Tensor:
    """Means over a grid of bins (torch.nn.functional.adaptive_avg_pool2d).

    input (N, C, H, W) or (C, H, W) -> (N, C, *output_size), where None in output_size keeps the input's length.
    Averaging along one axis is a matrix, so y = A_rows · x · A_columnsᵀ; one bin is the global average.
    """
    return _averages(input, *_size("adaptive_avg_pool2d", input, output_size))


@in_float32
@one_or_many(3)
def adaptive_avg_pool1d(input: Tensor, output_size: Size) -> Tensor:
    """Means over bins of (N, C, L) or (C, L) -> (N, C, output_size) (torch.nn.functional.adaptive_avg_pool1d)."""
    x = _row_image("adaptive_avg_pool1d", input)
    return as_sequence(_averages(x, *_checked("adaptive_avg_pool1d", x, *_length("adaptive_avg_pool1d", output_size))))


def _row_image(op: str, x: Tensor) -> Tensor:
    check_floating(op, x)
    if x.ndim != 3:
        raise ShapeError(f"{op}: needs input (N, C, L) or (C, L), got {x.shape}")
    return as_image(x)


def _length(op: str, output_size: Size) -> tuple[int, int]:
    return row(op, "output_size", output_size, 1)


def _averages(x: Tensor, ho: int, wo: int) -> Tensor:
    if (ho, wo) == (1, 1):
        return x.mean((2, 3), keepdim=True)
    return matmul(matmul(_averaging(x, ho, 2), x), _averaging(x, wo, 3).T)


def _averaging(x: Tensor, count: int, axis: int) -> Tensor:
    """(count, n): row i holds 1/length on the stretch of the axis that bin i averages."""
    matrix = np.zeros((count, x.shape[axis]))
    for i, (start, stop) in enumerate(bins(x.shape[axis], count)):
        matrix[i, start:stop] = 1 / (stop - start)
    return Tensor(backend.to_device(matrix.astype(x.dtype), x.device))


def global_avg_pool2d(input: Tensor) -> Tensor:
    """The mean of each channel: (N, C, H, W) -> (N, C)."""
    check_floating("global_avg_pool2d", input)
    if input.ndim != 4:
        raise ShapeError(f"global_avg_pool2d: needs input (N, C, H, W), got {input.shape}")
    return input.mean((2, 3))


# -- the largest ------------------------------------------------------------------------------------------------------


@one_or_many(4)
def adaptive_max_pool2d(input: Tensor, output_size: Size | Sequence[int | None], return_indices: bool = False) -> Any:
    """The largest of each of a grid of bins (torch.nn.functional.adaptive_max_pool2d).

    input (N, C, H, W) or (C, H, W) -> (N, C, *output_size), where None in output_size keeps the input's length. With
    `return_indices` a pair: this, and where each stands in its image, as in `max_pool2d`.
    """
    size = _size("adaptive_max_pool2d", input, output_size)
    return _largest("adaptive_max_pool2d", input, size, return_indices)


@one_or_many(3)
def adaptive_max_pool1d(input: Tensor, output_size: Size, return_indices: bool = False) -> Any:
    """The largest of each bin of (N, C, L) or (C, L) (torch.nn.functional.adaptive_max_pool1d), as the 2-d one."""
    op = "adaptive_max_pool1d"
    x = _row_image(op, input)
    return as_sequence(_largest(op, x, _checked(op, x, *_length(op, output_size)), return_indices))


def _largest(op: str, x: Tensor, size: tuple[int, int], return_indices: bool) -> Any:
    """Max pooling with windows side by side, once all bins of an axis have the same length.

    Where they have not, x is copied so that they have: bin after bin, with the last pixel of a shorter bin twice. Of
    equal pixels the first wins, so the copy never does.
    """
    check_real(op, x)
    bins_of = [_equal_bins(n, count) for n, count in zip(x.shape[2:], size, strict=True)]
    window = Window(*[(bins_of[0].shape[1], bins_of[1].shape[1])] * 2)
    rows, columns = (each.reshape(-1) for each in bins_of)
    sources = rows, columns, x.shape[3]
    if rows.size != x.shape[2]:
        x = index(x, (slice(None), slice(None), rows))
    if columns.size != x.shape[3]:
        x = index(x, (..., columns))
    y = MaxPool2d(window, False)(x)
    if not flag(op, "return_indices", return_indices):
        return y
    return y, MaxPool2dIndices(window, False, sources)(x)


def _equal_bins(n: int, count: int) -> np.ndarray:
    """(count, length): the pixels of each bin along an axis of length n, the last one repeated in shorter bins."""
    found = bins(n, count)
    length = max(stop - start for start, stop in found)
    return np.array([[min(start + k, stop - 1) for k in range(length)] for start, stop in found])
