"""Images in another size: each pixel of the result is a weighted sum of a few pixels, along one axis after another.

    y[p] = Σ_k w[p,k] · x[i[p,k]]        nearest: one pixel; linear: the two neighbours; cubic: four

Resampling is linear, and its adjoint is resampling too: pixel i collects from each p that reads it, with the same
weight. So one class is its own family of gradients; `Table.adjoint` turns the table about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.settings import flag, integer, number
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.adaptive_pool import bins
from minires.ops.float16 import in_float32
from minires.ops.operands import check_floating


class Table(NamedTuple):
    """Which pixels each output reads along an axis, and with which weights; a weight 0 reads none.

    Attributes:
        places: i (P, K), int64.
        weights: w (P, K), float64.
        length: of the axis that is read.
    """

    places: np.ndarray
    weights: np.ndarray
    length: int

    @property
    def adjoint(self) -> Table:
        """For each of the pixels that are read, the outputs that read it."""
        outputs, reads = self.places.shape
        is_used = self.weights.reshape(-1) != 0
        places = self.places.reshape(-1)[is_used]
        order = np.argsort(places, kind="stable")
        places, counts = places[order], np.bincount(places, minlength=self.length)
        number_among_readers = np.arange(len(places)) - (np.cumsum(counts) - counts)[places]
        shape = self.length, max(int(counts.max(initial=0)), 1)
        readers, weights = np.zeros(shape, np.int64), np.zeros(shape)
        readers[places, number_among_readers] = np.repeat(np.arange(outputs), reads)[is_used][order]
        weights[places, number_among_readers] = self.weights.reshape(-1)[is_used][order]
        return Table(readers, weights, outputs)


class Resample(Function):
    """y[…, p, …] = Σ_k w[p,k] · x[…, i[p,k], …] along an axis; ∂L/∂x is the same with the adjoint table."""

    saved_inputs = ()

    def __init__(self, axis: int, table: Table) -> None:
        self.axis, self.table = axis, table

    def forward(self, x: Array) -> Array:
        return backend.resample(x, self.axis, self.table.places, self.table.weights)

    def backward(self, gy: Tensor) -> Tensor:
        return Resample(self.axis, self.table.adjoint)(gy)


# -- the tables of each mode ------------------------------------------------------------------------------------------
# `step` is the distance between two outputs, in pixels of the input.


def _nearest(n: int, outputs: int, step: float, align_corners: bool) -> Table:
    """i = ⌊p·step⌋. In float32, as in torch: another rounding would take another pixel."""
    places = np.floor(np.arange(outputs, dtype=np.float32) * np.float32(step))
    return _single(places, n)


def _nearest_exact(n: int, outputs: int, step: float, align_corners: bool) -> Table:
    """i = ⌊(p + ½)·step⌋, the pixel whose centre is nearest, as Pillow and scikit-image take it."""
    places = np.floor((np.arange(outputs, dtype=np.float32) + np.float32(0.5)) * np.float32(step))
    return _single(places, n)


def _single(places: np.ndarray, n: int) -> Table:
    places = np.minimum(places.astype(np.int64), n - 1)[:, None]
    return Table(places, np.ones(places.shape), n)


def _positions(n: int, outputs: int, step: float, align_corners: bool) -> np.ndarray:
    """Where each output lies: at pixel (p + ½)·step − ½, or p·(n − 1)/(outputs − 1) if corners are aligned."""
    p = np.arange(outputs)
    return p * ((n - 1) / max(outputs - 1, 1)) if align_corners else (p + 0.5) * step - 0.5


def _linear(n: int, outputs: int, step: float, align_corners: bool) -> Table:
    """(1 − t)·x[i] + t·x[i + 1], where i + t is the position, inside the image."""
    position = np.clip(_positions(n, outputs, step, align_corners), 0, n - 1)
    first = np.minimum(position.astype(np.int64), max(n - 2, 0))
    t = position - first
    return Table(np.stack([first, np.minimum(first + 1, n - 1)], 1), np.stack([1 - t, t], 1), n)


def _cubic(n: int, outputs: int, step: float, align_corners: bool) -> Table:
    """Keys's cubic convolution (1981) of four pixels with a = −¾; the edge is repeated."""
    position = _positions(n, outputs, step, align_corners)
    first = np.floor(position)
    distance = np.abs((position - first)[:, None] - np.arange(-1, 3))
    a = -0.75
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    places = np.clip(first[:, None].astype(np.int64) + np.arange(-1, 3), 0, n - 1)
    return Table(places, np.where(distance <= 1, near, far), n)


def _area(n: int, outputs: int, step: float, align_corners: bool) -> Table:
    """The mean of a bin, as adaptive average pooling takes it."""
    found = bins(n, outputs)
    longest = max(stop - start for start, stop in found)
    places, weights = np.zeros((outputs, longest), np.int64), np.zeros((outputs, longest))
    for p, (start, stop) in enumerate(found):
        places[p, : stop - start] = range(start, stop)
        weights[p, : stop - start] = 1 / (stop - start)
    return Table(places, weights, n)


_MODES = {  # the number of axes that each is for, with N and C, and how its table is made
    "nearest": ((3, 4, 5), _nearest),
    "nearest-exact": ((3, 4, 5), _nearest_exact),
    "linear": ((3,), _linear),
    "bilinear": ((4,), _linear),
    "trilinear": ((5,), _linear),
    "bicubic": ((4,), _cubic),
    "area": ((3, 4, 5), _area),
}
_ALIGNED = ("linear", "bilinear", "trilinear", "bicubic")
Scale = float | Sequence[float]


@in_float32
def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: Scale | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """input in another size (torch.nn.functional.interpolate).

    input (N, C, L), (N, C, H, W) or (N, C, D, H, W) -> (N, C, *size), where size, or ⌊scale_factor · length⌋, may be
    one number for all axes. `mode` is "nearest", "nearest-exact", "area" (means, as adaptive pooling), "linear" for L,
    "bilinear" or "bicubic" for H and W, "trilinear" for D, H and W. For the last four, align_corners=True puts the
    first and last pixels of both images on each other; by default their outer edges lie there. With
    `recompute_scale_factor` the distances follow from the sizes, which are rounded, and not from scale_factor. As in
    torch, an axis that keeps its length is not resampled by the linear modes, nor by "nearest" of images and volumes.
    Raises ShapeError, ValueError.
    """
    check_floating("interpolate", input)
    if mode not in _MODES:
        raise ValueError(f"interpolate: mode {mode!r} is not known: use one of {', '.join(map(repr, _MODES))}")
    axes, make_table = _MODES[mode]
    if input.ndim not in axes:
        raise ShapeError(f"interpolate: mode {mode!r} needs input of {axes} axes, (N, C, …), got {input.shape}")
    if align_corners is not None and mode not in _ALIGNED:
        raise ValueError(f"interpolate: align_corners is for the modes {', '.join(_ALIGNED)}, not for {mode!r}")
    if flag("interpolate", "antialias", antialias):
        raise ValueError("interpolate: antialias=True is not here; mode='area' averages, as a smaller image needs")
    sizes, factors = _sizes(input, size, scale_factor, bool(recompute_scale_factor))
    y = input
    for axis, (outputs, factor) in enumerate(zip(sizes, factors, strict=True), 2):
        n = input.shape[axis]
        if outputs != n or (factor not in (None, 1) and not _keeps_axes(mode, input.ndim)):
            table = make_table(n, outputs, n / outputs if factor is None else 1 / factor, bool(align_corners))
            y = Resample(axis, table)(y)
    return y if y is not input else input.clone()


def _keeps_axes(mode: str, ndim: int) -> bool:
    """Whether, as in torch, an axis that keeps its length keeps its pixels, also where 1.1 · 4 is cut off to 4."""
    return mode.endswith("linear") or (mode == "nearest" and ndim > 3)


def _sizes(
    x: Tensor, size: int | Sequence[int] | None, scale_factor: Scale | None, recomputed: bool
) -> tuple[list[int], list[float | None]]:
    """The size of the result, and for each axis the factor by which distances grow if it does not follow from it."""
    lengths = x.shape[2:]
    if (size is None) == (scale_factor is None):
        raise ValueError("interpolate: needs either size or scale_factor")
    if size is not None:
        if recomputed:
            raise ValueError("interpolate: recompute_scale_factor is for a scale_factor, and size is given")
        sizes = [integer("interpolate", "size", n) for n in _for_each("size", size, lengths)]
        factors: list[float | None] = [None] * len(sizes)
    else:
        given = [number("interpolate", "scale_factor", f) for f in _for_each("scale_factor", scale_factor, lengths)]
        sizes = [int(np.floor(n * factor)) for n, factor in zip(lengths, given, strict=True)]
        factors = [None] * len(sizes) if recomputed else [*given]
    if min(sizes) < 1 or min(lengths) < 1:
        raise ShapeError(f"interpolate: input {x.shape} cannot become an image of size {tuple(sizes)}")
    return sizes, factors


def _for_each(name: str, value: Any, lengths: Sequence[int]) -> list[Any]:
    values = list(value) if isinstance(value, Iterable) else [value] * len(lengths)
    if len(values) != len(lengths):
        raise ShapeError(f"interpolate: {name} {tuple(values)} must have {len(lengths)} numbers, or be one")
    return values


def upsample(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: Scale | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """The old name of `interpolate` (torch.nn.functional.upsample)."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(
    input: Tensor, size: int | Sequence[int] | None = None, scale_factor: Scale | None = None
) -> Tensor:
    """`interpolate` with mode "nearest" (torch.nn.functional.upsample_nearest)."""
    return interpolate(input, size, scale_factor)


def upsample_bilinear(
    input: Tensor, size: int | Sequence[int] | None = None, scale_factor: Scale | None = None
) -> Tensor:
    """`interpolate` with mode "bilinear" and align_corners=True (torch.nn.functional.upsample_bilinear)."""
    return interpolate(input, size, scale_factor, "bilinear", True)
