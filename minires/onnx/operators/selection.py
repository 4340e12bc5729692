"""Operators that take elements by index: Slice, Gather, GatherElements, GatherND, NonZero, OneHot."""

from __future__ import annotations

import numpy as np

from minires import functional as F
from minires.core.tensor import Tensor
from minires.onnx.node import Node, axes_from_zero, numbers, operator


@operator("Slice", "axes ends starts", settings=(1, 2, 3, 4))
def slice_(
    node: Node,
    x: Tensor,
    starts: Tensor | None = None,
    ends: Tensor | None = None,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    """x[start:end:step] along some axes, with Python's meaning of negative numbers and of those beyond the end."""
    begin = list(node.get("starts", ())) if starts is None else numbers(starts)
    end = list(node.get("ends", ())) if ends is None else numbers(ends)
    along = node.get("axes") if axes is None else numbers(axes)
    along = axes_from_zero(node, list(range(len(begin)) if along is None else along), x.ndim)
    step = [1] * len(begin) if steps is None else numbers(steps)
    if not len(begin) == len(end) == len(along) == len(step) or 0 in step:
        node.refuse(f"starts {begin}, ends {end}, axes {along} and steps {step} do not fit each other")
    for axis, first, last, by in zip(along, begin, end, step, strict=True):
        first, last, by = slice(first, last, by).indices(x.shape[axis])
        if by > 0:
            x = x[(*(slice(None),) * axis, slice(first, max(last, first), by))]
        else:
            places = Tensor(np.arange(first, last, by, dtype=np.int64)).to(x.device)
            x = F.index_select(x, axis, places)
    return x


def _from_zero(node: Node, x: Tensor, axis: int, index: Tensor) -> Tensor:
    """Indices counted from 0, int64. Raises ShapeError, naming the node, for those beyond the axis."""
    places, n = index.numpy().astype(np.int64), x.shape[axis]
    if places.size and not (-n <= places.min() and places.max() < n):
        node.refuse(f"takes elements {places.min()} to {places.max()} of an axis of {n}")
    return Tensor(np.where(places < 0, places + n, places)).to(x.device)


@operator("Gather", "axis")
def gather(node: Node, x: Tensor, index: Tensor) -> Tensor:
    """The slices of x along an axis that the indices name, in the shape of the indices."""
    (axis,) = axes_from_zero(node, [int(node.number("axis", 0))], x.ndim)
    places = _from_zero(node, x, axis, index)
    y = F.index_select(x, axis, places.reshape((-1,)))
    return y.reshape((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]))


@operator("GatherElements", "axis")
def gather_elements(node: Node, x: Tensor, index: Tensor) -> Tensor:
    """y[i, j, …] = x[i, index[i, j, …], …] along an axis."""
    (axis,) = axes_from_zero(node, [int(node.number("axis", 0))], x.ndim)
    return F.gather(x, axis, _from_zero(node, x, axis, index))


@operator("GatherND", "batch_dims")
def gather_nd(node: Node, x: Tensor, index: Tensor) -> Tensor:
    """The slices of x that the last axis of the indices names; the first `batch_dims` axes go in parallel."""
    places, batch = index.numpy(), int(node.get("batch_dims", 0))
    depth = places.shape[-1] if places.ndim else 0
    if not 1 <= depth <= x.ndim - batch or places.shape[:batch] != x.shape[:batch] or places.ndim <= batch:
        node.refuse(f"indices {places.shape} with batch_dims {batch} do not fit {x.shape}")
    key = [np.arange(n).reshape(-1, *(1,) * (places.ndim - 2 - axis)) for axis, n in enumerate(x.shape[:batch])]
    for axis in range(depth):
        part = Tensor(np.ascontiguousarray(places[..., axis]))
        key.append(_from_zero(node, x, batch + axis, part).numpy())
    return x[tuple(key)]


@operator("NonZero")
def nonzero(node: Node, x: Tensor) -> Tensor:
    """The indices of the elements that are not 0: (axes, how many), int64."""
    return Tensor(np.array(x.numpy().nonzero(), np.int64).reshape(x.ndim, -1)).to(x.device)


@operator("OneHot", "axis", settings=(1, 2))
def one_hot(node: Node, index: Tensor, depth: Tensor, values: Tensor) -> Tensor:
    """A new axis with values[1] at the index and values[0] elsewhere; indices beyond it have no place."""
    count = int(depth.numpy().reshape(-1)[0])
    axis = int(node.number("axis", -1))
    axis = axis + index.ndim + 1 if axis < 0 else axis
    node.check_size((*index.shape, count))
    places = index.numpy()
    places = np.where((places < 0) & (places >= -count), places + count, places).astype(np.int64)
    hit = np.expand_dims(places, axis) == np.arange(count).reshape(-1, *(1,) * (index.ndim - axis))
    off, on = values.numpy()
    return Tensor(np.where(hit, on, off).astype(values.dtype)).to(index.device)


@operator("Compress", "axis", settings=(1,))
def compress(node: Node, x: Tensor, condition: Tensor) -> Tensor:
    """The slices along an axis for which the condition holds; without an axis of the flattened tensor."""
    x, axis = (x.reshape((-1,)), 0) if node.get("axis") is None else (x, int(node.number("axis")))
    return F.index_select(x, axis, Tensor(condition.numpy().nonzero()[0].astype(np.int64)).to(x.device))
