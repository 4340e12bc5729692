"""Diagonals and triangles of matrices: diagonal, diag, diag_embed, trace, tril, triu.

A diagonal is a view of its matrix, so that `x.diagonal().fill_(0)` changes x.
"""

from __future__ import annotations

from typing import Any

from minires import backend
from minires.backend import Array
from minires.core.function import Function
from minires.core.numpy_functions import numpy_names
from minires.core.operators import method
from minires.core.settings import integer
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.elementwise import where
from minires.ops.inplace import PUT_BACK, IndexPut
from minires.ops.operands import axis_of, check_tensor
from minires.ops.reduction import sum as sum_of
from minires.ops.shape import IndexAdd, Permute, Shape


class Diagonal(Function):
    """y[…, i] = x[…, i, …, i + offset, …] at two axes; backward puts g on the diagonal of zeros."""

    saved_inputs, is_view = (), True

    def __init__(self, offset: int, axis1: int, axis2: int) -> None:
        self.offset, self.axes = offset, (axis1, axis2)

    def forward(self, x: Array) -> Array:
        return backend.diagonal(x, self.offset, *self.axes)

    def backward(self, g: Tensor) -> Tensor:
        return on_diagonal(g, self.inputs[0].shape, self.offset, *self.axes)


def _places(like: Array, offset: int, count: int) -> tuple[Array, Array]:
    """Rows and columns of the first `count` elements of a diagonal."""
    numbers = backend.array_module(like).arange(count)
    return numbers - (offset if offset < 0 else 0), numbers + (offset if offset > 0 else 0)


def on_diagonal(g: Tensor, shape: Shape, offset: int, axis1: int, axis2: int) -> Tensor:
    """z of `shape`, 0 but with g on the diagonal of axis1 and axis2: the adjoint of Diagonal."""
    order = (axis1, axis2, *(k for k in range(len(shape)) if k not in (axis1, axis2)))
    key = _places(g.data, offset, g.shape[-1])
    z = IndexAdd(key, tuple(shape[k] for k in order))(Permute((g.ndim - 1, *range(g.ndim - 1)))(g))
    return Permute(tuple(sorted(range(len(shape)), key=order.__getitem__)))(z)


def _put_back(op: Any, x: Tensor, value: Tensor) -> Tensor:
    """x with `value` on the diagonal that the Diagonal `op` takes."""
    order = (*op.axes, *(k for k in range(x.ndim) if k not in op.axes))
    first = Permute((value.ndim - 1, *range(value.ndim - 1)))(value)
    y = IndexPut(_places(x.data, op.offset, value.shape[-1]))(Permute(order)(x), first)
    return Permute(tuple(sorted(range(x.ndim), key=order.__getitem__)))(y)


PUT_BACK[Diagonal] = _put_back


def _two_axes(op: str, dim1: int, dim2: int, ndim: int) -> tuple[int, int]:
    axis1, axis2 = axis_of(op, dim1, ndim), axis_of(op, dim2, ndim)
    if ndim < 2 or axis1 == axis2:
        raise ShapeError(f"{op}: needs two different axes, got {dim1} and {dim2} of a tensor of {ndim} axes")
    return axis1, axis2


@method("diagonal")
@numpy_names
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The elements input[…, i, …, i + offset, …] at the axes dim1 and dim2, as the last axis (torch.diagonal).

    It is a view of input. A diagonal that lies outside of the matrix is empty.
    """
    check_tensor("diagonal", input)
    axis1, axis2 = _two_axes("diagonal", dim1, dim2, input.ndim)
    return Diagonal(integer("diagonal", "offset", offset), axis1, axis2)(input)


@method("diag_embed")
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Square matrices at the axes dim1 and dim2 whose diagonals are the last axis of input (torch.diag_embed)."""
    check_tensor("diag_embed", input)
    offset = integer("diag_embed", "offset", offset)
    if not input.ndim:
        raise ShapeError("diag_embed: a tensor () has no axis to be the diagonal")
    axis1, axis2 = _two_axes("diag_embed", dim1, dim2, input.ndim + 1)
    n, rest = input.shape[-1] + abs(offset), list(input.shape[:-1])
    for axis in sorted((axis1, axis2)):
        rest.insert(axis, n)
    return on_diagonal(input, tuple(rest), offset, axis1, axis2)


@method("diag")
@numpy_names
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The matrix with the vector input on that diagonal, or that diagonal of the matrix input, copied (torch.diag)."""
    check_tensor("diag", input)
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim != 2:
        raise ShapeError(f"diag: needs a vector or a matrix, got shape {input.shape}; diagonal takes any")
    return Diagonal(integer("diag", "diagonal", diagonal), 0, 1)(input).clone()


@method("trace")
def trace(input: Tensor) -> Tensor:
    """Σᵢ input[i, i] of a matrix (torch.trace)."""
    check_tensor("trace", input)
    if input.ndim != 2:
        raise ShapeError(f"trace: needs a matrix, got shape {input.shape}")
    return sum_of(Diagonal(0, 0, 1)(input))


def _columns_minus_rows(op: str, input: Tensor) -> Array:
    """j − i at place (i, j) of the matrices in input."""
    check_tensor(op, input)
    if input.ndim < 2:
        raise ShapeError(f"{op}: needs matrices, got shape {input.shape}")
    arange = backend.array_module(input.data).arange
    return arange(input.shape[-1])[None, :] - arange(input.shape[-2])[:, None]


@method("tril")
@numpy_names
def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """input on and below that diagonal of its matrices, 0 above (torch.tril)."""
    places = _columns_minus_rows("tril", input)
    return where(Tensor(places <= integer("tril", "diagonal", diagonal)), input, False)  # False: a mask stays a mask


@method("triu")
@numpy_names
def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """input on and above that diagonal of its matrices, 0 below (torch.triu)."""
    places = _columns_minus_rows("triu", input)
    return where(Tensor(places >= integer("triu", "diagonal", diagonal)), input, False)
