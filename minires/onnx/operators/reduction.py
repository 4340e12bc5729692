"""Reductions over axes: ReduceSum and its relatives, ArgMax, TopK, CumSum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minires import functional as F
from minires.core.tensor import Tensor
from minires.onnx.node import Node, axes_from_zero, numbers, operator


def _product(x: Tensor, axes: Any, keepdim: bool) -> Tensor:
    for axis in sorted(axes):
        x = F.prod(x, axis, True)
    return x if keepdim else x.reshape([n for axis, n in enumerate(x.shape) if axis not in axes])


def _sum(x: Tensor, axes: Any, keepdim: bool) -> Tensor:
    return F.sum(x, axes, keepdim, dtype=x.dtype)


def _mean(x: Tensor, axes: Any, keepdim: bool) -> Tensor:
    if x.dtype.kind in "iu":
        return Tensor(np.asarray(np.mean(x.numpy(), tuple(axes), keepdims=keepdim)).astype(x.dtype))
    return F.mean(x, axes, keepdim)


def _in_float(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: function(x if x.dtype.kind == "f" else x.astype("float64")).astype(x.dtype)


def _log_sum_exp(x: Tensor, axes: Any, keepdim: bool) -> Tensor:
    return F.logsumexp(x, axes, keepdim) if x.numel() else F.log(_sum(F.exp(x), axes, keepdim))  # ln 0 = −∞


_REDUCTIONS: dict[str, Callable[..., Tensor]] = {
    "ReduceSum": _sum,
    "ReduceMean": _mean,
    "ReduceProd": _product,
    "ReduceMax": lambda x, axes, keepdim: _extreme(F.amax, np.max, x, axes, keepdim),
    "ReduceMin": lambda x, axes, keepdim: _extreme(F.amin, np.min, x, axes, keepdim),
    "ReduceL1": lambda x, axes, keepdim: _sum(F.abs(x), axes, keepdim),
    "ReduceL2": lambda x, axes, keepdim: _in_float(F.sqrt)(_sum(x * x, axes, keepdim)),
    "ReduceSumSquare": lambda x, axes, keepdim: _sum(x * x, axes, keepdim),
    "ReduceLogSum": lambda x, axes, keepdim: _in_float(F.log)(_sum(x, axes, keepdim)),
    "ReduceLogSumExp": lambda x, axes, keepdim: _in_float(lambda y: _log_sum_exp(y, axes, keepdim))(x),
}


def _extreme(function: Callable[..., Tensor], of_numpy: Any, x: Tensor, axes: Any, keepdim: bool) -> Tensor:
    """The largest or smallest; of none at all ∓∞, as the standard says, and of bools by NumPy."""
    if x.dtype.kind == "b" or not x.numel():
        largest = of_numpy is np.min
        if x.dtype.kind == "f":
            edge: Any = np.inf if largest else -np.inf
        elif x.dtype.kind == "b":
            edge = largest
        else:
            edge = np.iinfo(x.dtype).max if largest else np.iinfo(x.dtype).min
        found = of_numpy(x.numpy(), tuple(axes), keepdims=keepdim, initial=edge)
        return Tensor(np.asarray(found, x.dtype))
    return function(x, tuple(axes), keepdim)


# What a reduction over no axes makes of each element, where that is not the element itself.
_of_each_element: dict[str, Callable[[Tensor], Tensor]] = {
    "ReduceL1": F.abs,
    "ReduceL2": F.abs,
    "ReduceSumSquare": lambda x: x * x,
    "ReduceLogSum": _in_float(F.log),
}


def _reduce(node: Node, x: Tensor, axes: Tensor | None, reduction: Callable[..., Tensor]) -> Tensor:
    """`reduction` over the axes, which are an attribute in early versions; without any, over all of them."""
    given = node.get("axes") if axes is None else numbers(axes)
    if not given:
        if node.flag("noop_with_empty_axes"):
            return _of_each_element[node.op](x) if node.op in _of_each_element else x
        given = range(x.ndim)
    return reduction(x, tuple(axes_from_zero(node, list(given), x.ndim)), bool(node.get("keepdims", 1)))


def _entered(name: str, reduction: Callable[..., Tensor]) -> None:
    @operator(name, "axes keepdims noop_with_empty_axes", settings=(1,))
    def compute(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        return _reduce(node, x, axes, reduction)


for _name, _reduction in _REDUCTIONS.items():
    _entered(_name, _reduction)


def _position(node: Node, x: Tensor, function: Callable[..., Tensor]) -> Tensor:
    """The index of an extreme along an axis: the first of equal ones, or the last."""
    axis, keep = int(node.number("axis")), bool(node.get("keepdims", 1))
    if not node.flag("select_last_index"):
        return function(x, axis, keep)
    return (x.shape[axis] - 1) - function(F.flip(x, (axis,)), axis, keep)


@operator("ArgMax", "axis keepdims select_last_index")
def argmax(node: Node, x: Tensor) -> Tensor:
    """The index of the largest element along an axis, int64."""
    return _position(node, x, F.argmax)


@operator("ArgMin", "axis keepdims select_last_index")
def argmin(node: Node, x: Tensor) -> Tensor:
    """The index of the smallest element along an axis, int64."""
    return _position(node, x, F.argmin)


@operator("TopK", "axis k largest sorted", settings=(1,), outputs=2)
def topk(node: Node, x: Tensor, k: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The k largest or smallest elements along an axis in order, and their indices; of equal ones the first."""
    axis = axes_from_zero(node, [int(node.number("axis", -1))], x.ndim)[0]
    count = int(node.number("k")) if k is None else int(k.item())
    if not 0 <= count <= x.shape[axis]:
        node.refuse(f"wants {count} of {x.shape[axis]} elements")
    # torch leaves open which of equal elements comes first; the standard wants the one with the lower index.
    array = x.numpy()
    key = -array.astype(np.float64) if node.get("largest", 1) and array.dtype.kind in "bu" else array
    if node.get("largest", 1) and key is array:
        key = -array if array.dtype.kind == "f" else ~array
    order = np.argsort(key, axis, kind="stable").take(np.arange(count), axis)
    index = Tensor(order.astype(np.int64)).to(x.device)
    return F.gather(x, axis, index), index


@operator("CumSum", "exclusive reverse", settings=(1,))
def cumsum(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    """The running sum along an axis: with reverse=1 from the end, with exclusive=1 without the element itself."""
    along = axes_from_zero(node, [int(axis.item())], x.ndim)[0]
    x = F.flip(x, (along,)) if node.flag("reverse") else x
    y = F.cumsum(x, along, dtype=x.dtype)
    y = y - x if node.flag("exclusive") else y
    return F.flip(y, (along,)) if node.flag("reverse") else y
