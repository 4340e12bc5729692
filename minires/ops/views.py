"""Parts of a tensor, and its axes in another order: split, chunk, unbind, narrow, select, movedim, unflatten.

They return views, made by indices and permutations; so a change in place of a part is one of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minires.core.numpy_functions import numpy_names
from minires.core.operators import method
from minires.core.settings import integer
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.operands import axes_of, axis_of, check_tensor, lengths_of
from minires.ops.shape import Index, Permute, expand, reshape, transpose

Parts = tuple[Tensor, ...]


def _axis(op: str, input: Tensor, dim: int) -> int:
    """`dim` as an axis of input. Raises ShapeError for a tensor (), which has no parts."""
    check_tensor(op, input)
    if not input.ndim:
        raise ShapeError(f"{op}: a tensor () has no axis to take parts of")
    return axis_of(op, dim, input.ndim)


def _part(input: Tensor, axis: int, start: int, stop: int) -> Tensor:
    return Index((*(slice(None),) * axis, slice(start, stop)))(input)


def _cut(input: Tensor, axis: int, lengths: Sequence[int]) -> Parts:
    """Parts of these lengths, one after another."""
    parts, start = [], 0
    for n in lengths:
        parts.append(_part(input, axis, start, start + n))
        start += n
    return tuple(parts)


@method("narrow")
@numpy_names
def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """The entries start … start + length − 1 along dim (torch.narrow). Raises ShapeError where there are none."""
    axis = _axis("narrow", input, dim)
    n = input.shape[axis]
    first, length = integer("narrow", "start", _plain(start)), integer("narrow", "length", length, 0)
    first += n if first < 0 else 0
    if not 0 <= first <= n - length:
        raise ShapeError(f"narrow: start {first} and length {length} leave the axis of length {n}")
    return _part(input, axis, first, first + length)


def _plain(value: Any) -> Any:
    """A Python number for a Tensor ()."""
    return value.item() if isinstance(value, Tensor) else value


@method("select")
@numpy_names
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """input[…, index, …] along dim, without that axis (torch.select)."""
    axis = _axis("select", input, dim)
    index, n = integer("select", "index", _plain(index)), input.shape[axis]
    if not -n <= index < n:
        raise ShapeError(f"select: index {index} leaves the axis of length {n}")
    return Index((*(slice(None),) * axis, index, ...))(input)


@method("split")
@numpy_names
def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> Parts:
    """Parts along dim, of that length each but for a shorter last one, or of these lengths (torch.split).

    Raises ShapeError unless the lengths add up to the axis.
    """
    axis = _axis("split", tensor, dim)
    n = tensor.shape[axis]
    if isinstance(split_size_or_sections, (Sequence, Tensor)):
        lengths = lengths_of("split", split_size_or_sections)
        if sum(lengths) != n or min(lengths, default=0) < 0:
            raise ShapeError(f"split: the lengths {tuple(lengths)} must add up to {n}, the length of axis {axis}")
        return _cut(tensor, axis, lengths)
    size = integer("split", "split_size_or_sections", split_size_or_sections, 0)
    if not size and n:
        raise ShapeError(f"split: parts of length 0 never make up the axis of length {n}")
    size = size or 1
    return tuple(_part(tensor, axis, k, min(k + size, n)) for k in range(0, max(n, 1), size))


@method("chunk")
@numpy_names
def chunk(input: Tensor, chunks: int, dim: int = 0) -> Parts:
    """At most `chunks` parts along dim, all of one length but for a shorter last one (torch.chunk)."""
    axis = _axis("chunk", input, dim)
    chunks, n = integer("chunk", "chunks", chunks, 1), input.shape[axis]
    return split(input, -(-n // chunks), axis) if n else _cut(input, axis, [0] * chunks)


@method("tensor_split")
@numpy_names
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> Parts:
    """So many parts along dim, the first ones longer by 1; or parts that end at these indices (torch.tensor_split)."""
    axis = _axis("tensor_split", input, dim)
    n, wanted = input.shape[axis], indices_or_sections
    wanted = wanted.tolist() if isinstance(wanted, Tensor) else wanted
    if isinstance(wanted, Sequence):
        ends = [slice(None, k).indices(n)[1] for k in lengths_of("tensor_split", wanted)]
        return tuple(_part(input, axis, a, b) for a, b in zip([0, *ends], [*ends, n], strict=True))
    count = integer("tensor_split", "indices_or_sections", wanted, 1)
    return _cut(input, axis, [n // count + (k < n % count) for k in range(count)])


@method("unbind")
@numpy_names
def unbind(input: Tensor, dim: int = 0) -> Parts:
    """The entries along dim, each without that axis (torch.unbind)."""
    axis = _axis("unbind", input, dim)
    return tuple(Index((*(slice(None),) * axis, k, ...))(input) for k in range(input.shape[axis]))


# -- axes in another order --------------------------------------------------------------------------------------------


@method("movedim")
def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """The axes `source` moved to the places `destination`; the others keep their order (torch.movedim)."""
    check_tensor("movedim", input)
    given = [(dims,) if isinstance(dims, int) else tuple(dims) for dims in (source, destination)]
    if len(given[0]) != len(given[1]):
        raise ShapeError(f"movedim: source {source} and destination {destination} must name as many axes")
    sources, places = (axes_of("movedim", dims, input.ndim) if dims else () for dims in given)
    rest = iter(axis for axis in range(input.ndim) if axis not in sources)
    at = dict(zip(places, sources, strict=True))
    return Permute(tuple(at[axis] if axis in at else next(rest) for axis in range(input.ndim)))(input)


moveaxis = movedim


@method("swapaxes")
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """input with two axes exchanged (torch.swapaxes); it is `transpose` by the name that NumPy has for it."""
    return transpose(input, axis0, axis1)


@method("swapdims")
def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """input with two axes exchanged (torch.swapdims)."""
    return transpose(input, dim0, dim1)


@method("t")
def t(input: Tensor) -> Tensor:
    """A matrix transposed; a tensor with fewer axes as it is (torch.t)."""
    check_tensor("t", input)
    if input.ndim > 2:
        raise ShapeError(f"t: needs a matrix, got shape {input.shape}; .mT transposes each of several matrices")
    return Permute(tuple(reversed(range(input.ndim))))(input)


@method("mT")
def matrix_transpose(input: Tensor) -> Tensor:
    """The last two axes exchanged (torch.Tensor.mT)."""
    if input.ndim < 2:
        raise ShapeError(f"mT: needs matrices, got shape {input.shape}")
    return transpose(input, -1, -2)


# -- other shapes -----------------------------------------------------------------------------------------------------


@method("unflatten")
@numpy_names
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """input with its axis dim as several axes of these lengths, one of which may be −1 (torch.unflatten)."""
    axis = _axis("unflatten", input, dim)
    lengths, n = lengths_of("unflatten", sizes), input.shape[axis]
    known = math.prod(k for k in lengths if k != -1)
    if lengths.count(-1) == 1 and known and n % known == 0:
        lengths[lengths.index(-1)] = n // known
    if not lengths or math.prod(lengths) != n or min(lengths) < 0:
        raise ShapeError(f"unflatten: the axis of length {n} cannot become {tuple(sizes)}")
    return reshape(input, (*input.shape[:axis], *lengths, *input.shape[axis + 1 :]))


@method("ravel")
def ravel(input: Tensor) -> Tensor:
    """The elements of input in row-major order, on one axis (torch.ravel)."""
    check_tensor("ravel", input)
    return reshape(input, (-1,)) if input.numel() else reshape(input, (0,))


@method("reshape_as")
def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """The elements of input in the shape of other (torch.Tensor.reshape_as)."""
    check_tensor("reshape_as", other)
    return reshape(input, other.shape)


@method("expand_as")
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """input repeated to the shape of other (torch.Tensor.expand_as)."""
    check_tensor("expand_as", other)
    return expand(input, other.shape)


def meshgrid(*tensors: Any, indexing: str | None = None) -> Parts:
    """For each of these vectors a grid along whose axis it varies (torch.meshgrid).

    indexing="ij", the default, gives the k-th vector the axis k; "xy" exchanges the first two axes. A tensor () counts
    as a vector of one. Raises ShapeError for tensors with more axes, ValueError for another indexing.
    """
    vectors = list(tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors)
    if indexing not in (None, "ij", "xy"):
        raise ValueError(f"meshgrid: indexing = {indexing!r} must be 'ij' or 'xy'")
    if not vectors:
        raise ShapeError("meshgrid: needs at least one tensor")
    for vector in vectors:
        check_tensor("meshgrid", vector)
        if vector.ndim > 1:
            raise ShapeError(f"meshgrid: needs vectors, got shape {vector.shape}")
    count, lengths = len(vectors), [vector.numel() for vector in vectors]
    axes = list(range(count))
    if indexing == "xy" and count > 1:
        axes[:2] = 1, 0
    full = [lengths[k] for k in axes]
    grids = zip(vectors, axes, strict=True)
    return tuple(expand(reshape(v, [v.numel() if j == k else 1 for j in range(count)]), full) for v, k in grids)
