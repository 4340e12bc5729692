"""Elements repeated, or moved around: repeat, tile, repeat_interleave, roll."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from minires import backend
from minires.core.numpy_functions import numpy_names
from minires.core.operators import Dim, method
from minires.core.settings import integer
from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError
from minires.ops.cast import unshared
from minires.ops.operands import axes_of, axis_of, check_tensor, lengths_of
from minires.ops.selection import index_select
from minires.ops.shape import BroadcastTo, Index, concatenate, reshape


@method("repeat")
def repeat(input: Tensor, repeats: Sequence[int]) -> Tensor:
    """input repeats[k] times along axis k (torch.Tensor.repeat). More repeats than axes stand for new leading axes.

    Raises ShapeError for fewer, and for negative ones.
    """
    check_tensor("repeat", input)
    counts = lengths_of("repeat", repeats)
    if len(counts) < input.ndim or min(counts, default=0) < 0:
        raise ShapeError(f"repeat: {tuple(counts)} must be a number of repeats for each axis of {input.shape}")
    shape = (1,) * (len(counts) - input.ndim) + input.shape
    # (2, 3) by (4, 5): (1, 2, 1, 3) -> (4, 2, 5, 3) -> (8, 15)
    apart = reshape(input, [length for n in shape for length in (1, n)])
    copies = BroadcastTo(tuple(length for pair in zip(counts, shape, strict=True) for length in pair))(apart)
    return unshared(reshape(copies, [count * n for count, n in zip(counts, shape, strict=True)]), input)


@method("tile")
def tile(input: Tensor, dims: Sequence[int]) -> Tensor:
    """repeat, where missing numbers of repeats are 1 (torch.tile)."""
    check_tensor("tile", input)
    counts = [integer("tile", "dims", dims)] if isinstance(dims, int) else lengths_of("tile", dims)
    return repeat(input, [1] * (input.ndim - len(counts)) + counts)


@method("repeat_interleave")
@numpy_names
def repeat_interleave(
    input: Tensor, repeats: int | Tensor | None = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each entry along dim `repeats` times, one after another; without dim of the flat input (torch.repeat_interleave).

    repeats is one number, or a Tensor with one for each entry. Of a Tensor of numbers alone, entry i is i, repeats[i]
    times. output_size, if given, must be the sum of the repeats: it is no use here, since they are read anyway.
    """
    check_tensor("repeat_interleave", input)
    if repeats is None:
        return _numbered(input)
    if dim is None or not input.ndim:
        input, dim = reshape(input, (-1,)), 0
    axis = axis_of("repeat_interleave", dim, input.ndim)
    n = input.shape[axis]
    if isinstance(repeats, Tensor) and repeats.numel() != 1:
        if repeats.shape != (n,):
            raise ShapeError(f"repeat_interleave: repeats {repeats.shape} must be one number, or ({n},)")
        y = index_select(input, axis, _numbered(repeats))
    else:
        count = integer("repeat_interleave", "repeats", repeats.item() if isinstance(repeats, Tensor) else repeats, 0)
        before, after = input.shape[:axis], input.shape[axis + 1 :]
        apart = reshape(input, (*before, n, 1, *after))
        y = reshape(BroadcastTo((*before, n, count, *after))(apart), (*before, n * count, *after))
    if output_size is not None and output_size != y.shape[axis]:
        raise ShapeError(f"repeat_interleave: output_size = {output_size}, but there are {y.shape[axis]} entries")
    return unshared(y, input)


def _numbered(repeats: Tensor) -> Tensor:
    """i, repeats[i] times for each i: (0, 0, 2) of (2, 0, 1)."""
    if repeats.dtype.kind not in "iu" or repeats.ndim != 1:
        raise DtypeError(
            f"repeat_interleave: repeats must be a vector of integers, not {repeats.dtype} {repeats.shape}"
        )
    counts = repeats.tolist()
    if min(counts, default=0) < 0:
        raise ShapeError(f"repeat_interleave: repeats {counts} must not be negative")
    return Tensor(backend.array_module(repeats.data).array([i for i, n in enumerate(counts) for _ in range(n)], int))


@method("roll")
@numpy_names
def roll(input: Tensor, shifts: int | Sequence[int], dims: Dim = None) -> Tensor:
    """input moved on by `shifts` along dims; what leaves at the end enters at the beginning (torch.roll).

    Without dims the flat input is moved. Raises ShapeError unless there are as many shifts as dims.
    """
    check_tensor("roll", input)
    moves = lengths_of("roll", shifts if isinstance(shifts, Iterable) else [shifts])
    if dims is None or dims == ():
        if len(moves) != 1:
            raise ShapeError(f"roll: shifts {shifts} need as many dims")
        return reshape(_rolled(reshape(input, (math.prod(input.shape),)), moves[0], 0), input.shape)
    axes: Any = [axis_of("roll", dims, input.ndim)] if isinstance(dims, int) else axes_of("roll", dims, input.ndim)
    if len(moves) != len(axes):
        raise ShapeError(f"roll: {len(moves)} shifts do not fit {len(axes)} dims")
    for move, axis in zip(moves, axes, strict=True):
        input = _rolled(input, move, axis) if input.ndim else input
    return input


def _rolled(x: Tensor, shift: int, axis: int) -> Tensor:
    n = x.shape[axis]
    if not n or not shift % n:
        return x.clone()
    before = (slice(None),) * axis
    cut = n - shift % n
    return concatenate([Index((*before, slice(cut, None)))(x), Index((*before, slice(None, cut)))(x)], axis)
