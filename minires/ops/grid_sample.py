"""Reading an image at any places, which a network may compute: spatial transformers (Jaderberg et al. 2015).

The result is differentiable by the image and by the places. It is a sum over the pixels around each place:

    y[n,c,p] = Σ_k w_k(t) · x[n, c, i_k]        i = ⌊position⌋ and its neighbours, t = position − i

i is constant wherever there is a derivative, and the weights w_k are polynomials in t; so derivatives of every order
are here. The functions are composed of others and have no kernel of their own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minires import backend
from minires.backend import Array
from minires.core import modes
from minires.core.settings import flag
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.clamp import clip
from minires.ops.float16 import in_float32
from minires.ops.linear import matmul
from minires.ops.operands import check_device, check_dtypes, check_floating, lengths_of
from minires.ops.selection import gather
from minires.ops.shape import expand, index, reshape, transpose

MODES, PADDING_MODES = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
Tap = tuple[Array, Tensor | None]  # a pixel for each place along one axis, and its weight; None is 1


@in_float32
def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """input at the places of grid (torch.nn.functional.grid_sample).

    input (N, C, H, W), grid (N, Ho, Wo, 2) of pairs (horizontal, vertical) -> (N, C, Ho, Wo); or input (N, C, D, H, W),
    grid (N, Do, Ho, Wo, 3), where "bilinear" is trilinear and "bicubic" is not possible. −1 and 1 are the outer edges
    of the image, or with align_corners=True the centres of its outer pixels. `padding_mode` says what lies beyond:
    "zeros", the "border" pixel, or the image's "reflection". A compiled model cannot contain it unless the grid is a
    constant, since the pixels that it reads depend on numbers. Raises ShapeError, DtypeError, ValueError.
    """
    op = "grid_sample"
    check_floating(op, input)
    check_floating(op, grid)
    check_device(op, input, grid)
    check_dtypes(op, input=input, grid=grid)
    aligned = flag(op, "align_corners", bool(align_corners) if align_corners is None else align_corners)
    dimensions = input.ndim - 2
    for name, value, known in (("mode", mode, MODES), ("padding_mode", padding_mode, PADDING_MODES)):
        if value not in known:
            raise ValueError(f"{op}: {name} {value!r} is not known: use one of {', '.join(map(repr, known))}")
    if dimensions not in (2, 3) or grid.ndim != input.ndim or grid.shape[-1] != dimensions:
        raise ShapeError(f"{op}: needs input (N, C, H, W) and grid (N, Ho, Wo, 2), got {input.shape} and {grid.shape}")
    if grid.shape[0] != input.shape[0] or not min(input.shape[2:]):
        raise ShapeError(f"{op}: input {input.shape} and grid {grid.shape} must have one number of images, not empty")
    if mode == "bicubic" and dimensions == 3:
        raise ShapeError(f"{op}: mode 'bicubic' is for images (N, C, H, W), got {input.shape}")
    modes.note_read(grid)
    n, places = input.shape[0], math.prod(grid.shape[1:-1])
    taps = []
    for axis, length in enumerate(input.shape[2:]):  # grid's last axis has the last of these first
        position = reshape(index(grid, (..., dimensions - 1 - axis)), (n, places))
        taps.append(_taps(_in_pixels(position, length, aligned), length, mode, padding_mode, aligned))
    y = _weighted_sum(reshape(input, (*input.shape[:2], -1)), taps, input.shape[2:])
    return reshape(y, (*input.shape[:2], *grid.shape[1:-1]))


def _weighted_sum(x: Tensor, taps: Sequence[Sequence[Tap]], size: Sequence[int]) -> Tensor:
    """Σ over all combinations of one tap for each axis: x (N, C, pixels), places and weights (N, P) -> (N, C, P)."""
    total: Any = None
    for combination in itertools.product(*taps):
        pixel: Any = 0
        weight: Any = None
        for (place, factor), length in zip(combination, size, strict=True):
            pixel = pixel * length + place
            weight = factor if weight is None else weight if factor is None else weight * factor
        n, places = pixel.shape
        read = gather(x, 2, expand(Tensor(pixel[:, None]), (n, x.shape[1], places)))
        term = read if weight is None else read * reshape(weight, (n, 1, places))
        total = term if total is None else total + term
    return total


def _in_pixels(position: Tensor, length: int, aligned: bool) -> Tensor:
    """−1 … 1 as a place among the pixels: 0 is the centre of the first one."""
    return (position + 1.0) * ((length - 1) / 2) if aligned else ((position + 1.0) * float(length) - 1.0) * 0.5


def _taps(position: Tensor, length: int, mode: str, padding_mode: str, aligned: bool) -> list[Tap]:
    """The pixels that each place reads along an axis, with their weights."""
    if mode != "bicubic":
        position = _brought_inside(position, length, padding_mode, aligned)
    numbers = position.data.real
    xp = backend.array_module(numbers)
    first = xp.rint(numbers) if mode == "nearest" else xp.floor(numbers)
    first = xp.where(xp.isfinite(first), first, -2.0)  # torch reads anything there
    if mode == "nearest":
        weights: list[Any] = [None]
    else:
        t = position - Tensor(first.astype(position.dtype))
        weights = _cubic_weights(t) if mode == "bicubic" else [1.0 - t, t]
    taps = []
    for k, weight in enumerate(weights):
        place = first + (k - 1 if mode == "bicubic" else k)
        if mode == "bicubic" and padding_mode != "zeros":
            place = _brought_inside(Tensor(place), length, padding_mode, aligned).data
        is_inside = (place >= 0) & (place <= length - 1)
        if not is_inside.all():
            mask = Tensor(is_inside.astype(position.dtype))
            weight = mask if weight is None else weight * mask
        taps.append((xp.clip(place, 0, length - 1).astype("int64"), weight))
    return taps


def _cubic_weights(t: Tensor) -> list[Tensor]:
    """Of the pixels at distances 1 + t, t, 1 − t and 2 − t, by Keys's convolution with a = −¾ (as `interpolate`)."""
    a = -0.75

    def near(d: Tensor) -> Tensor:
        return ((a + 2) * d - (a + 3)) * d * d + 1.0

    def far(d: Tensor) -> Tensor:
        return (((d - 5.0) * d + 8.0) * d - 4.0) * a

    return [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]


def _brought_inside(position: Tensor, length: int, padding_mode: str, aligned: bool) -> Tensor:
    """The position inside the image that a position beyond stands for; "zeros" leaves it where it is."""
    if padding_mode == "zeros":
        return position
    if padding_mode == "reflection":
        low, span = (0.0, length - 1.0) if aligned else (-0.5, float(length))
        position = position * 0.0 if not span else _reflected(position, low, span)
    return clip(position, 0.0, length - 1.0)


def _reflected(position: Tensor, low: float, span: float) -> Tensor:
    """Mirrored at low and low + span until it lies between: sign · position + shift, both constant on each stretch."""
    distance = position.data.real - low
    xp = backend.array_module(distance)
    sign = xp.where(distance < 0, -1.0, 1.0)
    flips = xp.floor(xp.abs(distance) / span)
    is_turned = flips % 2 == 1
    # |distance| − flips·span, and from the other end where the number of flips is odd
    scale = xp.where(is_turned, -sign, sign)
    shift = xp.where(is_turned, (flips + 1) * span, -flips * span) + low - scale * low
    return position * Tensor(scale.astype(position.dtype)) + Tensor(shift.astype(position.dtype))


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """The places that an affine map reads, for `grid_sample` (torch.nn.functional.affine_grid).

    theta (N, 2, 3) and size (N, C, H, W) -> (N, H, W, 2): row r of theta takes (horizontal, vertical, 1) in −1 … 1 to
    coordinate r. Or theta (N, 3, 4) and size (N, C, D, H, W) -> (N, D, H, W, 3). Raises ShapeError, DtypeError.
    """
    op = "affine_grid"
    check_floating(op, theta)
    lengths = lengths_of(op, size)
    dimensions = len(lengths) - 2
    if dimensions not in (2, 3) or theta.shape != (lengths[0], dimensions, dimensions + 1) or min(lengths) < 1:
        raise ShapeError(
            f"{op}: theta {theta.shape} does not fit size {tuple(lengths)}: needs (N, 2, 3) for (N, C, H, W)"
        )
    spaces = []
    for n in lengths[2:]:
        space = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
        spaces.append(space if align_corners else space * ((n - 1) / n))
    axes = np.meshgrid(*spaces, indexing="ij")
    base = np.stack([*reversed(axes), np.ones_like(axes[0])], -1).reshape(-1, dimensions + 1)
    places = Tensor(backend.to_device(base.astype(theta.dtype), theta.device))
    return reshape(matmul(places, transpose(theta, 1, 2)), (lengths[0], *lengths[2:], dimensions))
