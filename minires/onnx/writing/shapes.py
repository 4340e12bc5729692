"""Operations that arrange elements: reshape, slices, padding, joining, resampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minires.backend import is_array
from minires.onnx.recording import Call
from minires.onnx.writing.graph import Batch, Graph, Length, emits, host
from minires.ops.resample import Resample
from minires.ops.shape import BroadcastTo, Concatenate, Flip, Index, Pad, Reshape, SumTo

_END = 2**63 - 1


@emits(Reshape)
def reshape(graph: Graph, call: Call) -> None:
    """Reshape: 0 keeps a length that is the batch, −1 stands for another that grows with it."""
    x = graph.name(call.inputs[0], call)
    before, after = graph.shape(call.inputs[0], call), graph.shape(call.output, call)
    lengths: list[Length] = []
    for axis, length in enumerate(after):
        if isinstance(length, Batch) and axis < len(before) and before[axis] == length:
            lengths.append(0)
        elif isinstance(length, Batch) and -1 not in lengths:
            lengths.append(-1)
        else:
            lengths.append(length)
    if 0 in after:  # a length of 0 would be taken for "keep"
        graph.refuse(call, "makes an empty tensor")
    graph.add("Reshape", [x, graph.ints(lengths)], call.output)


@emits(BroadcastTo)
def broadcast(graph: Graph, call: Call) -> None:
    """Expand."""
    shape = graph.ints(graph.shape(call.output, call))
    graph.add("Expand", [graph.name(call.inputs[0], call), shape], call.output)


@emits(SumTo)
def sum_to(graph: Graph, call: Call) -> None:
    """ReduceSum over the axes along which there is more."""
    x, to = graph.record.arrays[call.inputs[0]].shape, graph.record.arrays[call.output].shape
    new = len(x) - len(to)
    axes = [axis for axis in range(len(x)) if axis < new or (to[axis - new] == 1 and x[axis] != 1)]
    y = graph.reduce("ReduceSum", graph.name(call.inputs[0], call), axes, True)
    graph.add("Reshape", [y, graph.ints(graph.shape(call.output, call))], call.output)


@emits(Flip)
def flip(graph: Graph, call: Call) -> None:
    """Slice, backwards."""
    axes, x = list(vars(call.op)["axes"]), graph.name(call.inputs[0], call)
    if not axes:
        graph.add("Identity", [x], call.output)
        return
    _slice(graph, call, x, [(axis, -1, -_END - 1, -1) for axis in axes], call.output)


def _slice(graph: Graph, call: Call, x: str, parts: Sequence[tuple[int, int, int, int]], output: int | None) -> str:
    axes, starts, ends, steps = (np.array(each, np.int64) for each in zip(*parts, strict=True))
    settings = [graph.setting(each) for each in (starts, ends, axes, steps)]
    return graph.add("Slice", [x, *settings], output)


@emits(Pad)
def pad(graph: Graph, call: Call) -> None:
    """Pad with a number."""
    widths, dtype = vars(call.op)["widths"], graph.record.arrays[call.output].dtype
    pads = graph.setting(np.array([*(a for a, _ in widths), *(b for _, b in widths)], np.int64))
    value = graph.constant(np.array(vars(call.op)["value"], dtype))
    graph.add("Pad", [graph.name(call.inputs[0], call), pads, value], call.output)


@emits(Concatenate)
def concatenate(graph: Graph, call: Call) -> None:
    """Concat."""
    names = [graph.name(number, call) for number in call.inputs]
    graph.add("Concat", names, call.output, axis=int(vars(call.op)["axis"]))


@emits(Resample)
def resample(graph: Graph, call: Call) -> None:
    """Gather, if each output reads one pixel; else a product with the matrix of the weights."""
    axis, table = vars(call.op)["axis"], vars(call.op)["table"]
    x, array = graph.name(call.inputs[0], call), graph.record.arrays[call.inputs[0]]
    if table.places.shape[1] == 1 and (table.weights == 1).all():
        graph.add("Gather", [x, graph.setting(table.places[:, 0].astype(np.int64))], call.output, axis=int(axis))
        return
    matrix = np.zeros((table.length, len(table.places)))
    np.add.at(matrix, (table.places, np.arange(len(table.places))[:, None]), table.weights)
    weights = graph.constant(matrix.astype(array.dtype))
    if axis == array.ndim - 1:
        graph.add("MatMul", [x, weights], call.output)
        return
    order = [k for k in range(array.ndim) if k != axis] + [axis]
    y = graph.add("MatMul", [graph.add("Transpose", [x], perm=order), weights])
    graph.add("Transpose", [y], call.output, perm=np.argsort(order).tolist())


# -- indices ----------------------------------------------------------------------------------------------------------


@emits(Index)
def index(graph: Graph, call: Call) -> None:
    """Slice, Squeeze, Gather and Unsqueeze, in this order, for what a key holds."""
    x = graph.record.arrays[call.inputs[0]]
    mine = _key(vars(call.op)["key"], x.ndim)
    theirs = _key(vars(graph.twin_op(call))["key"], x.ndim)
    twin = graph.twin(call.inputs[0])
    lengths = x.shape if twin is None else twin.shape
    slices, gone, new, gathered = [], [], [], None
    axis, place = 0, 0
    for part, other in zip(mine, theirs, strict=True):
        if part is None:
            new.append(place)
            place += 1
            continue
        if isinstance(part, slice):
            found = _range(graph, call, part, other, x.shape[axis], lengths[axis])
            slices += [] if found is None else [(axis, *found)]
            place += 1
        elif is_array(part):
            gathered, place = _gathered(graph, call, part, other, axis, gathered), place + 1
        else:
            if part != other:
                graph.refuse(call, "takes an element whose place depends on the number of images")
            slices.append((axis, int(part), int(part) + 1 or _END, 1))
            gone.append(axis)
        axis += 1
    _emit_index(graph, call, slices, gone, new, gathered)


def _emit_index(graph: Graph, call: Call, slices: Any, gone: list[int], new: list[int], gathered: Any) -> None:
    y = graph.name(call.inputs[0], call)
    if slices:
        y = _slice(graph, call, y, slices, None)
    if gathered is not None:
        y = graph.add("Gather", [y, graph.setting(gathered[1])], axis=gathered[0])
    if gone:
        y = graph.add("Squeeze", [y, graph.setting(np.array(gone, np.int64))])
    if new:
        y = graph.add("Unsqueeze", [y, graph.setting(np.array(new, np.int64))])
    graph.add("Identity", [y], call.output)


def _key(key: Any, ndim: int) -> list[Any]:
    """The parts of a key, with slices for `...` and for the axes that it leaves out."""
    parts = list(key) if isinstance(key, tuple) else [key]
    used = sum(part is not None and part is not Ellipsis for part in parts)
    missing = [slice(None)] * (ndim - used)
    at = next((k for k, part in enumerate(parts) if part is Ellipsis), None)
    return [*parts, *missing] if at is None else [*parts[:at], *missing, *parts[at + 1 :]]


def _range(graph: Graph, call: Call, part: slice, other: slice, n: int, m: int) -> tuple[int, int, int] | None:
    """(start, end, step) of a slice; None if it takes everything."""
    (start, stop, step), twin = part.indices(n), other.indices(m)
    if (start, step) == (0, 1) and stop == n and twin == (0, m, 1):
        return None
    if stop == n and twin[1] == m:
        stop, twin = _END, (twin[0], _END, twin[2])
    if (start, stop, step) != twin:
        graph.refuse(call, "takes a part whose limits depend on the number of images")
    return start, stop if stop >= 0 else -_END - 1, step


def _gathered(graph: Graph, call: Call, part: Any, other: Any, axis: int, before: Any) -> tuple[int, np.ndarray]:
    """(axis, indices) of an array of integers in a key."""
    places, theirs = host(part), host(other)
    if before is not None or places.dtype.kind not in "iu" or places.ndim != 1 or not np.array_equal(places, theirs):
        graph.refuse(call, "takes elements by several arrays, by a mask, or by an array of more than one axis")
    return axis, places.astype(np.int64)
