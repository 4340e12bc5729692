"""Operations that move elements and compute nothing. Backward moves the gradient back by the adjoint operation.

Each op's backward is another op of this file: reshape is the adjoint of reshape, summing of broadcasting, cropping of
padding, scattering of gathering.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minires import backend
from minires.backend import Array
from minires.backend.foreign import native
from minires.core import modes
from minires.core.function import Function
from minires.core.numpy_functions import numpy_names
from minires.core.operators import Dim, method
from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError
from minires.ops.cast import unshared
from minires.ops.index_order import integers_first
from minires.ops.operands import (
    axes_of,
    axis_of,
    check_broadcast,
    check_tensor,
    common_dtype,
    lengths_of,
)

Shape = tuple[int, ...]


class Reshape(Function):
    """The same elements in another shape."""

    saved_inputs, is_view = (), True
    keeps_order = True  # so torch copies nothing that is contiguous there; see `core/sharing.py`

    def __init__(self, to: Shape) -> None:
        self.to = to

    def forward(self, x: Array) -> Array:
        return backend.reshape(x, self.to)

    def backward(self, g: Tensor) -> Tensor:
        return Reshape(self.inputs[0].shape)(g)


class Permute(Function):
    """Axis k of y is axis axes[k] of x; backward takes the inverse order."""

    saved_inputs, is_view = (), True

    def __init__(self, axes: Shape) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return backend.transpose(x, self.axes)

    def backward(self, g: Tensor) -> Tensor:
        inverse = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        return Permute(tuple(inverse))(g)


class Flip(Function):
    """x in reverse order along axes; it is its own adjoint."""

    saved_inputs = ()

    def __init__(self, axes: Shape) -> None:
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return backend.flip(x, self.axes)

    def backward(self, g: Tensor) -> Tensor:
        return Flip(self.axes)(g)


class BroadcastTo(Function):
    """x repeated along axes; the gradients of the copies are summed."""

    saved_inputs, is_view = (), True

    def __init__(self, to: Shape) -> None:
        self.to = to

    def forward(self, x: Array) -> Array:
        return backend.broadcast_to(x, self.to)

    def backward(self, g: Tensor) -> Tensor:
        return sum_to(g, self.inputs[0].shape)


class SumTo(Function):
    """The adjoint of BroadcastTo: x summed over the axes along which the shape `to` had been repeated."""

    saved_inputs = ()

    def __init__(self, to: Shape) -> None:
        self.to = to

    def forward(self, x: Array) -> Array:
        new = x.ndim - len(self.to)
        repeated = tuple(range(new)) + tuple(new + k for k, n in enumerate(self.to) if n == 1)
        return backend.reshape(backend.sum(x, repeated, True), self.to)

    def backward(self, g: Tensor) -> Tensor:
        return BroadcastTo(self.inputs[0].shape)(g)


class Pad(Function):
    """x with a constant around it; the gradient is cropped."""

    saved_inputs = ()

    def __init__(self, widths: tuple[tuple[int, int], ...], value: float) -> None:
        self.widths, self.value = widths, value

    def forward(self, x: Array) -> Array:
        return backend.pad(x, self.widths, self.value)

    def backward(self, g: Tensor) -> Tensor:
        return g[tuple(slice(before, n - after) for (before, after), n in zip(self.widths, g.shape, strict=True))]


class Concatenate(Function):
    """Tensors one after another along an axis; each gets its part of the gradient."""

    saved_inputs = ()

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, *arrays: Array) -> Array:
        return backend.concatenate(arrays, self.axis)

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        gradients: list[Tensor | None] = []
        start = 0
        for tensor, needed in zip(self.inputs, self.needs_input_grad, strict=True):
            stop = start + tensor.shape[self.axis]
            gradients.append(g[(slice(None),) * self.axis + (slice(start, stop),)] if needed else None)
            start = stop
        return tuple(gradients)


class Index(Function):
    """y = x[key]; an element that is taken twice gets the sum of both gradients."""

    saved_inputs, is_view = (), True

    def __init__(self, key: Any) -> None:
        self.key = key

    def forward(self, x: Array) -> Array:
        return backend.index(x, self.key)

    def backward(self, g: Tensor) -> Tensor:
        return IndexAdd(self.key, self.inputs[0].shape)(g)

    def branches(self, x: Array) -> Array:
        """For each element of y, its number in x in row-major order. It varies where `max` indexes by argmax."""
        positions = backend.array_module(x).arange(math.prod(x.shape)).reshape(x.shape)
        return backend.index(positions, self.key)

    def on_branches(self, branches: Array, x: Array) -> Array:
        xp = backend.array_module(x)
        if not xp.array_equal(branches, self.branches(x)):  # else the key may stay one that makes a view
            self.key = xp.unravel_index(branches, x.shape)
        return self.forward(x)


class IndexAdd(Function):
    """y = zeros with y[key] += x: the adjoint of Index."""

    saved_inputs = ()

    def __init__(self, key: Any, to: Shape) -> None:
        self.key, self.to = key, to

    def forward(self, x: Array) -> Array:
        return backend.index_add(x, self.key, self.to)

    def backward(self, g: Tensor) -> Tensor:
        return Index(self.key)(g)


# ---------------------------------------------------------------------------------------------------------------------


def sum_to(g: Tensor, shape: Shape) -> Tensor:
    """g summed over the axes along which `shape` had been broadcast to g's shape."""
    return g if g.shape == shape else SumTo(shape)(g)


@method("reshape")
def reshape(input: Tensor, shape: Sequence[int]) -> Tensor:
    """The elements of input, in row-major order, in another shape; one length may be −1 (torch.reshape)."""
    check_tensor("reshape", input)
    lengths = lengths_of("reshape", shape)
    known = math.prod(n for n in lengths if n != -1)
    if lengths.count(-1) == 1 and known and input.numel() % known == 0:
        lengths[lengths.index(-1)] = input.numel() // known
    if math.prod(lengths) != input.numel() or min(lengths, default=0) < 0:
        raise ShapeError(f"reshape: shape {input.shape} ({input.numel()} elements) cannot become {tuple(shape)}")
    return Reshape(tuple(lengths))(input)


@method("flatten")
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """input with its axes start_dim … end_dim joined into one (torch.flatten)."""
    check_tensor("flatten", input)
    start, end = axis_of("flatten", start_dim, input.ndim), axis_of("flatten", end_dim, input.ndim)
    if input.ndim and start > end:
        raise ShapeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} in shape {input.shape}")
    middle = math.prod(input.shape[start : end + 1])
    return reshape(input, (*input.shape[:start], middle, *input.shape[end + 1 :]))


@method("permute")
def permute(input: Tensor, dims: Sequence[int]) -> Tensor:
    """Axis k of the result is axis dims[k] of input (torch.permute)."""
    check_tensor("permute", input)
    axes = axes_of("permute", dims, input.ndim)
    if len(axes) != input.ndim:
        raise ShapeError(f"permute: dims {tuple(dims)} must name each of the {input.ndim} axes once")
    return Permute(axes)(input)


@method("transpose")
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """input with two axes exchanged (torch.transpose)."""
    check_tensor("transpose", input)
    axes = list(range(max(input.ndim, 1)))
    a, b = axis_of("transpose", dim0, input.ndim), axis_of("transpose", dim1, input.ndim)
    axes[a], axes[b] = b, a
    return Permute(tuple(axes[: input.ndim]))(input)


@method("flip")
@numpy_names
def flip(input: Tensor, dims: Dim) -> Tensor:
    """input in reverse order along dims, copied (torch.flip)."""
    check_tensor("flip", input)
    return unshared(Flip(axes_of("flip", dims, input.ndim))(input), input)


@method("squeeze")
@numpy_names
def squeeze(input: Tensor, dim: int | None = None) -> Tensor:
    """input without its axes of length 1, or without `dim` if that has length 1 (torch.squeeze)."""
    check_tensor("squeeze", input)
    axes = axes_of("squeeze", dim, input.ndim)
    return reshape(input, [n for k, n in enumerate(input.shape) if k not in axes or n != 1])


@method("unsqueeze")
@numpy_names
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """input with a new axis of length 1 at `dim` (torch.unsqueeze)."""
    check_tensor("unsqueeze", input)
    axis = axis_of("unsqueeze", dim, input.ndim + 1)
    return reshape(input, (*input.shape[:axis], 1, *input.shape[axis:]))


@method("expand")
def expand(input: Tensor, shape: Sequence[int]) -> Tensor:
    """input repeated along its axes of length 1; −1 leaves an axis as it is (torch.Tensor.expand).

    Raises ShapeError where input does not broadcast to `shape`.
    """
    check_tensor("expand", input)
    new = len(shape) - input.ndim
    to = tuple(input.shape[k - new] if n == -1 and k >= new else n for k, n in enumerate(lengths_of("expand", shape)))
    try:
        fits = new >= 0 and np.broadcast_shapes(input.shape, to) == to
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"expand: shape {input.shape} does not broadcast to {tuple(shape)}")
    return BroadcastTo(to)(input)


def _list_of(op: str, tensors: Iterable[Tensor]) -> list[Tensor]:
    """The tensors of a sequence or a generator. Raises DtypeError for one Tensor alone, and for what is none."""
    if isinstance(tensors, Tensor):
        raise DtypeError(f"{op}: needs a sequence of Tensors, got one Tensor; write [x, y]")
    tensors = list(tensors)
    for tensor in tensors:
        check_tensor(op, tensor)
    return tensors


@numpy_names
def concatenate(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors one after another along `dim`, in their common dtype (torch.cat).

    As in torch, a tensor of shape (0,) may stand among any others, which it adds nothing to. Raises ShapeError where
    other axes differ.
    """
    tensors = _list_of("concatenate", tensors)
    if not tensors:
        raise ShapeError("concatenate: needs at least one tensor")
    dtype = common_dtype(*tensors)
    if any(t.ndim > 1 for t in tensors):
        tensors = [t for t in tensors if t.shape != (0,)]
    if not all(t.ndim for t in tensors):
        raise ShapeError("concatenate: 0-d tensors have no axis to be joined along; use stack")
    axis = axis_of("concatenate", dim, tensors[0].ndim)
    others = {t.shape[:axis] + t.shape[axis + 1 :] for t in tensors}
    if len(others) > 1 or len({t.ndim for t in tensors}) > 1:
        raise ShapeError(f"concatenate: shapes {[t.shape for t in tensors]} differ in axes other than {axis}")
    return Concatenate(axis)(*[t if t.dtype == dtype else t.astype(dtype) for t in tensors])


cat = concatenate


@numpy_names
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors, one after another along a new axis (torch.stack). Raises ShapeError where their shapes differ."""
    tensors = _list_of("stack", tensors)
    if len({t.shape for t in tensors}) > 1:
        raise ShapeError(f"stack: shapes {[t.shape for t in tensors]} differ")
    return concatenate([unsqueeze(t, dim) for t in tensors], dim)


@method("index")
def index(input: Tensor, key: Any) -> Tensor:
    """input[key], where key holds integers, slices, None, Ellipsis, boolean and integer arrays or Tensors.

    The axes come in torch's order (`index_order`). Raises ShapeError for what input does not have.
    """
    check_tensor("index", input)
    try:
        wanted = index_key(key, input)
        if keys := integers_first(wanted):
            return Index(keys[1])(Index(keys[0])(input))
        return Index(wanted)(input)
    except IndexError as error:
        raise ShapeError(f"index: {key!r} does not fit shape {input.shape}: {error}") from error


def index_key(key: Any, x: Tensor) -> Any:
    """What a user writes in x[…] as a backend takes it. An element is a view too, as in torch; `...` makes it one."""
    parts = tuple(_key_part(part, x) for part in (key if isinstance(key, tuple) else (key,)))
    if parts and len(parts) == x.ndim and all(isinstance(part, int) and not isinstance(part, bool) for part in parts):
        return (*parts, ...)
    return parts if isinstance(key, tuple) else parts[0]


def _key_part(part: Any, x: Tensor) -> Any:
    """One part of an index as a backend takes it: arrays on x's device, and copied, since the user may change them."""
    if isinstance(part, list):
        if any(isinstance(each, (Tensor, list, tuple, slice, np.ndarray)) or each in (None, ...) for each in part):
            raise ShapeError(
                "index: torch reads a list of indices as a tuple of them, NumPy as one array; write x[i, j], or "
                "x[np.array([i, j])] for rows"
            )
        part = np.array(part, dtype=None if part else int)
    elif backend.is_array(part):
        part = native("index", part).copy()
    if isinstance(part, Tensor):
        modes.note_read(part)
        part = part.data
    if backend.is_array(part) and part.dtype == np.uint8:
        raise DtypeError("index: uint8 is a mask in torch, numbers in NumPy; write .astype(bool) or .astype(np.int64)")
    if isinstance(part, (np.integer, np.ndarray)) and part.ndim == 0 and part.dtype.kind in "iu":
        return int(part)
    return backend.to_device(part, x.device) if backend.is_array(part) else part


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All tensors expanded to their common shape (torch.broadcast_tensors)."""
    for tensor in tensors:
        check_tensor("broadcast_tensors", tensor)
    shape = check_broadcast("broadcast_tensors", *tensors)
    return tuple(BroadcastTo(shape)(t) for t in tensors)
