"""Elements chosen by tensors of indices: gather, scatter, index_select, embedding. Each is an index, or its adjoint.

The index is a tensor of integers. Unlike an index in x[…] it may not be negative, as in torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minires import backend
from minires.backend import Array
from minires.core import modes
from minires.core.numpy_functions import numpy_names
from minires.core.operators import Operand, Scalar, method
from minires.core.settings import number
from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError
from minires.ops.elementwise import where
from minires.ops.inplace import IndexPut, change
from minires.ops.operands import as_tensor, axis_of, check_device, check_dtypes, check_floating, check_tensor
from minires.ops.shape import BroadcastTo, Index, IndexAdd, Shape, reshape


def _check_integers(op: str, input: Tensor, index: Any) -> None:
    """Raise DtypeError unless index is a Tensor of integers, DeviceError unless it is on input's device."""
    check_tensor(op, index)
    check_device(op, input, index)
    modes.note_read(index)
    if index.dtype.kind not in "iu" and index.numel():
        raise DtypeError(f"{op}: the index must be integers, got {index.dtype}; convert it with .astype(np.int64)")


def _check_range(op: str, index: Array, length: int) -> None:
    """Raise ShapeError unless 0 ≤ index < length. On a GPU the look is a wait, which `indices_checked` saves."""
    if not index.size or modes.are_indices_checked():
        return
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >= length:
        raise ShapeError(f"{op}: index values {low} … {high} leave the axis of length {length}")


def _along(op: str, shape: Shape, axis: int, index: Array) -> Any:
    """The key that selects x[…, index[…, i, …], …]: `index` for one axis, a grid of positions for each other one."""
    if index.ndim != len(shape) or any(
        n > m for k, (n, m) in enumerate(zip(index.shape, shape, strict=False)) if k != axis
    ):
        raise ShapeError(
            f"{op}: index {index.shape} must have as many axes as {shape} and not exceed it, except in axis {axis}"
        )
    _check_range(op, index, shape[axis])
    grids = list(backend.array_module(index).ogrid[tuple(slice(n) for n in index.shape)])
    grids[axis] = index
    return tuple(grids)


def _with_axis(x: Tensor) -> Tensor:
    """x, or of a tensor () the same number with one axis, which torch's functions of an index give it."""
    return x if x.ndim else reshape(x, (1,))


@method("gather")
@numpy_names
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """y[…, i, …] = input[…, index[…, i, …], …] along dim; y has index's shape (torch.gather).

    Raises ShapeError for an index out of range, DtypeError unless index holds integers, ValueError for a sparse
    gradient.
    """
    check_tensor("gather", input)
    _check_integers("gather", input, index)
    if sparse_grad:
        raise ValueError("gather: there are no sparse gradients; leave sparse_grad out")
    axis = axis_of("gather", dim, input.ndim)
    if not index.numel():
        return reshape(reshape(input, (-1,))[:0], index.shape)
    x, i = _with_axis(input), _with_axis(index)
    y = Index(_along("gather", x.shape, axis, i.data))(x)
    return y if index.ndim else reshape(y, ())


def _scattered(op: str, input: Tensor, dim: int, index: Tensor, src: Tensor, put: Callable[..., Tensor]) -> Tensor:
    """put(input, key, the part of src that index has), with the key of `_along`."""
    check_tensor(op, input)
    _check_integers(op, input, index)
    check_tensor(op, src)
    check_dtypes(op, input=input, src=src)
    axis = axis_of(op, dim, input.ndim)
    if not index.numel():
        return input.clone()
    x, i, s = (_with_axis(each) for each in (input, index, src))
    key = _along(op, x.shape, axis, i.data)
    if i.ndim != s.ndim or any(n > m for n, m in zip(i.shape, s.shape, strict=True)):
        raise ShapeError(f"{op}: index {index.shape} exceeds src {src.shape}")
    y = put(x, key, s[tuple(slice(n) for n in i.shape)])
    return y if input.ndim else reshape(y, ())


@method("scatter_add")
@numpy_names
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy y of input with y[…, index[…, i, …], …] += src[…, i, …] along dim (torch.scatter_add).

    Raises as gather does.
    """
    return _scattered("scatter_add", input, dim, index, src, lambda x, key, s: x + IndexAdd(key, x.shape)(s))


@method("scatter")
@numpy_names
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Tensor | Scalar | None = None,
    *,
    value: Scalar | None = None,
    reduce: str | None = None,
) -> Tensor:
    """A copy y of input with y[…, index[…, i, …], …] = src[…, i, …] along dim (torch.scatter).

    src may be a number, also by the name `value`. Of values for one place the last stays, and it alone gets the
    gradient. (On a GPU any of them may stay, as in torch.) Raises as gather does; ValueError for `reduce`.
    """
    if reduce is not None:
        raise ValueError(f"scatter: there is no reduce={reduce!r}; scatter_add adds, for others multiply afterwards")
    if (src is None) == (value is None):
        raise TypeError("scatter: needs one of src and value")
    source: Any = value if src is None else src
    if not isinstance(source, Tensor):
        check_tensor("scatter", input)
        check_tensor("scatter", index)
        source = BroadcastTo(index.shape)(as_tensor(source, input).astype(input.dtype))
    return _scattered("scatter", input, dim, index, source, lambda x, key, s: IndexPut(key)(x, s))


def _rows(op: str, x: Tensor, axis: int, index: Any) -> Any:
    """The key that selects x[:, …, index, …] along `axis`; index has at most one axis."""
    _check_integers(op, x, index)
    if index.ndim > 1:
        raise ShapeError(f"{op}: the index must have one axis, got shape {index.shape}")
    _check_range(op, index.data, x.shape[axis])
    return (*(slice(None),) * axis, index.data.reshape(-1).astype(np.int64))


@method("index_select")
@numpy_names
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The entries input[…, index[i], …] along dim, in the order of index, which has one axis (torch.index_select)."""
    check_tensor("index_select", input)
    x, axis = _with_axis(input), axis_of("index_select", dim, input.ndim)
    y = Index(_rows("index_select", x, axis, index))(x)
    return y if input.ndim else reshape(y, ())


@method("index_add")
@numpy_names
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Scalar = 1) -> Tensor:
    """A copy y of input with y[…, index[i], …] += alpha · source[…, i, …] along dim (torch.index_add).

    An entry that index names twice receives both. Raises ShapeError unless source has input's shape, but index's
    length along dim.
    """
    check_tensor("index_add", input)
    check_tensor("index_add", source)
    check_dtypes("index_add", input=input, source=source)
    x, s, axis = _with_axis(input), _with_axis(source), axis_of("index_add", dim, input.ndim)
    key = _rows("index_add", x, axis, index)
    if s.shape != (*x.shape[:axis], index.numel(), *x.shape[axis + 1 :]):
        raise ShapeError(
            f"index_add: source {source.shape} must have the shape {input.shape} of input, but {index.numel()} "
            f"entries, as many as index, along axis {axis}"
        )
    y = x + IndexAdd(key, x.shape)(s * alpha if alpha != 1 else s)
    return y if input.ndim else reshape(y, ())


@method("take_along_dim")
@numpy_names
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """gather, where input and indices broadcast along all axes but dim (torch.take_along_dim).

    Without dim both are flattened. A negative index counts from the end.
    """
    check_tensor("take_along_dim", input)
    _check_integers("take_along_dim", input, indices)
    if dim is None:
        return take_along_dim(reshape(input, (-1,)), reshape(indices, (-1,)), 0)
    axis = axis_of("take_along_dim", dim, input.ndim)
    if input.ndim:
        indices = where(indices < 0, indices + input.shape[axis], indices)
    others = [(*t.shape[:axis], 1, *t.shape[axis + 1 :]) for t in (input, indices)]
    try:
        to = list(np.broadcast_shapes(*others))
    except ValueError:
        to = []
    if not to or indices.ndim != input.ndim:
        raise ShapeError(
            f"take_along_dim: indices {indices.shape} must have as many axes as input {input.shape}, and broadcast "
            f"with it but for axis {axis}"
        )
    x, i = (BroadcastTo((*to[:axis], t.shape[axis], *to[axis + 1 :]))(t) for t in (input, indices))
    return gather(x, axis, i)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """y[…, c] = 1 where tensor[…] = c, else 0, int64 (torch.nn.functional.one_hot); −1 classes are the largest + 1.

    Raises DtypeError unless tensor holds integers, ShapeError for one that is negative or not below num_classes.
    """
    check_tensor("one_hot", tensor)
    if tensor.dtype.kind not in "iu":
        raise DtypeError(f"one_hot: needs integers, got {tensor.dtype}; convert with .astype(np.int64)")
    modes.note_read(tensor)
    if num_classes == -1:
        if not tensor.numel():
            raise ShapeError("one_hot: without elements the number of classes is unknown; give num_classes")
        num_classes = int(tensor.data.max()) + 1
    _check_range("one_hot", tensor.data, num_classes)
    classes = backend.array_module(tensor.data).arange(num_classes)
    return Tensor(backend.astype(backend.compare(tensor.data[..., None], classes, "=="), np.int64))


@numpy_names
def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """y[…, :] = weight[input[…], :]; weight (count, width) (torch.nn.functional.embedding).

    The row padding_idx gets no gradient. max_norm, scale_grad_by_freq and sparse are refused (ValueError). Raises
    ShapeError for an index out of range, DtypeError unless input holds integers.
    """
    check_floating("embedding", weight)
    _check_integers("embedding", weight, input)
    check_embedding_options(max_norm, norm_type, scale_grad_by_freq, sparse)
    if weight.ndim != 2:
        raise ShapeError(f"embedding: weight {weight.shape} must be (count, width)")
    _check_range("embedding", input.data, weight.shape[0])
    y = Index((input.data.astype(np.int64),))(weight)
    if padding_idx is None:
        return y
    padding = row_of(padding_idx, weight.shape[0])
    return where(Tensor(backend.compare(input.data, padding, "!=")[..., None]), y, y.detach())


def check_embedding_options(max_norm: float | None, norm_type: float, scale_grad_by_freq: bool, sparse: bool) -> None:
    """Raise ValueError for what embedding has not; norm_type belongs to max_norm, and says nothing without it."""
    if max_norm is not None:
        raise ValueError(
            "embedding: there is no max_norm, which changes the weight in each forward pass: after optimizer.step(), "
            "scale the rows of the weight under minires.no_grad()"
        )
    number("embedding", "norm_type", norm_type)
    if scale_grad_by_freq or sparse:
        which = "scale_grad_by_freq" if scale_grad_by_freq else "sparse"
        raise ValueError(f"embedding: there is no {which}; leave it out, since gradients are dense sums")


def row_of(padding_idx: int, count: int) -> int:
    """padding_idx as a row from 0 on. Raises ShapeError if there is none."""
    if not isinstance(padding_idx, (int, np.integer)) or not -count <= padding_idx < count:
        raise ShapeError(f"embedding: padding_idx = {padding_idx} must be one of the {count} rows")
    return int(padding_idx) % count


# -- in place ---------------------------------------------------------------------------------------------------------


@method("scatter_")
def scatter_(x: Tensor, dim: int, index: Tensor, src: Operand | None = None, **options: Any) -> Tensor:
    """x ← scatter(x, dim, index, src)."""
    return change("scatter_", x, lambda before: scatter(before, dim, index, src, **options))


@method("scatter_add_")
def scatter_add_(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """x ← scatter_add(x, dim, index, src)."""
    return change("scatter_add_", x, lambda before: scatter_add(before, dim, index, src))


@method("index_add_")
def index_add_(x: Tensor, dim: int, index: Tensor, source: Tensor, alpha: Scalar = 1) -> Tensor:
    """x ← index_add(x, dim, index, source, alpha)."""
    return change("index_add_", x, lambda before: index_add(before, dim, index, source, alpha=alpha))
