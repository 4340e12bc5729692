"""Elements chosen by a mask of bools: masked_select, masked_scatter, and nan_to_num for what is not finite."""

from __future__ import annotations

import numpy as np

from minires.core import modes
from minires.core.operators import method
from minires.core.settings import number
from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError
from minires.ops.elementwise import where
from minires.ops.inplace import IndexPut, change
from minires.ops.operands import check_broadcast, check_device, check_dtypes, check_tensor
from minires.ops.shape import Index, expand, reshape


def _check_mask(op: str, input: Tensor, mask: Tensor) -> None:
    check_tensor(op, input)
    check_tensor(op, mask)
    check_device(op, input, mask)
    if mask.dtype.kind != "b":
        raise DtypeError(f"{op}: the mask must be bools, got {mask.dtype}; convert with .astype(bool)")
    modes.note_read(mask)


@method("masked_select")
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements of input where mask (bools) holds, in row-major order, as a vector (torch.masked_select).

    Both broadcast. How long the vector is depends on the mask.
    """
    _check_mask("masked_select", input, mask)
    shape = check_broadcast("masked_select", input, mask)
    return Index(expand(mask, shape).data)(expand(input, shape))


@method("masked_scatter")
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy of input whose elements where mask holds are the first elements of source (torch.masked_scatter).

    Raises ShapeError if source has too few.
    """
    _check_mask("masked_scatter", input, mask)
    check_tensor("masked_scatter", source)
    check_dtypes("masked_scatter", input=input, source=source)
    shape = check_broadcast("masked_scatter", input, mask)
    places = expand(mask, shape).data
    count = int(places.sum())
    if count > source.numel():
        raise ShapeError(f"masked_scatter: the mask has {count} places, source only {source.numel()} elements")
    taken = Index((slice(count),))(reshape(source, (source.numel(),)))
    return IndexPut(places)(expand(input, shape), taken)


@method("masked_scatter_")
def masked_scatter_(x: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """x ← masked_scatter(x, mask, source)."""
    return change("masked_scatter_", x, lambda before: masked_scatter(before, mask, source))


@method("nan_to_num")
def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """input with other numbers for NaN and ±∞, which get no gradient (torch.nan_to_num).

    By default NaN becomes 0, and ±∞ the largest and the smallest number of the dtype.
    """
    check_tensor("nan_to_num", input)
    if input.dtype.kind != "f":
        return input.clone()
    limits = np.finfo(input.dtype)
    x = input.detach()
    for places, name, value, default in (
        (x != x, "nan", nan, 0.0),
        (x == np.inf, "posinf", posinf, float(limits.max)),
        (x == -np.inf, "neginf", neginf, float(limits.min)),
    ):
        input = where(places, default if value is None else number("nan_to_num", name, value), input)
    return input
