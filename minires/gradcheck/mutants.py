"""Mutants of backward: classic mistakes, put into an op on purpose to see whether a check notices them.

A mutant takes an op (a node of the graph), the gradient of its output and the right backward, and returns wrong
gradients. `breaking` puts it in place of the op's `backward` and `backward_fused`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

from minires import backend
from minires.core.function import Function
from minires.core.readonly import read_only
from minires.core.tensor import Tensor
from minires.ops import elementwise, linear
from minires.ops.conv import Conv2d, Conv2dGradInput, Conv2dGradWeight
from minires.ops.cumulative import Cumsum
from minires.ops.elementwise import (
    Add,
    Divide,
    Maximum,
    Multiply,
    Power,
    Subtract,
    Where,
    where,
)
from minires.ops.extremes import Amax
from minires.ops.linear import MatMul
from minires.ops.norm import BatchNormTraining
from minires.ops.pool import AvgPool2d, MaxPool2d, RouteToArgmax, SplitEqually
from minires.ops.reduction import mean as mean_of
from minires.ops.shape import Index, Pad, sum_to

Backward = Callable[[Function, Tensor], list[Tensor | None]]
Shape = tuple[int, ...]
Applies = Callable[[Function, Sequence[Shape], Shape], bool]


@dataclass(frozen=True)
class Mutant:
    """A wrong backward.

    Attributes:
        name: What the mistake is.
        applies: (op, shapes of its inputs, shape of its output) -> whether the mistake can be made there.
        wrong: (op, gradient of its output, right backward) -> the wrong gradients, one for each input.
        hint: Why no check can notice it where it makes no difference.
    """

    name: str
    applies: Applies
    wrong: Callable[[Function, Tensor, Backward], Sequence[Tensor | None]]
    hint: str = "its gradient is the same here: zero, or two of them cancel"


def always(op: Function, inputs: Sequence[Shape], output: Shape) -> bool:
    """Apply to every op."""
    return True


def only(*kinds: type[Function]) -> Applies:
    """Apply to ops of these classes."""
    return lambda op, inputs, output: isinstance(op, kinds)


def _zeros_like(tensor: Tensor) -> Tensor:
    return Tensor(backend.array_module(tensor.data).zeros(tensor.shape, tensor.dtype))


def _each(change: Callable[[Tensor], Tensor]) -> Callable[[Function, Tensor, Backward], list[Tensor | None]]:
    """Change every gradient by the same function."""
    return lambda op, g, right: [None if each is None else change(each) for each in right(op, g)]


def _last_row_lost(g: Tensor) -> Tensor:
    array = np.array(g.numpy(), order="C")
    array.reshape(-1)[-max(1, array.size // max(array.shape[:1] or (1,))) :] = 0
    return Tensor(array)


def _forgets(number: int) -> Callable[[Function, Tensor, Backward], list[Tensor | None]]:
    """Leave out the gradient of one input."""
    return lambda op, g, right: [None if k == number else each for k, each in enumerate(right(op, g))]


def _has_another_beside(number: int) -> Applies:
    """Apply to ops that have this input and another one: an op of one input would have no gradient at all."""
    return lambda op, inputs, output: len(inputs) > max(number, 1)


def _ignores_what_arrives(op: Function, g: Tensor, right: Backward) -> list[Tensor | None]:
    return right(op, Tensor(np.ones(g.shape, g.dtype)))


def _is_broadcast(op: Function, inputs: Sequence[Shape], output: Shape) -> bool:
    summing = (Add, Subtract, Multiply, Divide, Power, Maximum, Where, MatMul)  # whose backward calls sum_to
    return isinstance(op, summing) and any(_was_repeated(shape, output) for shape in inputs)


def _was_repeated(shape: Shape, output: Shape) -> bool:
    try:
        return shape != output and np.broadcast_shapes(shape, output) == output
    except ValueError:
        return False


def _first_copy_only(op: Function, g: Tensor, right: Backward) -> list[Tensor | None]:
    """Return the gradient of one copy of an operand that was repeated, not the sum over all copies."""

    def first(g: Tensor, shape: Shape) -> Tensor:
        extra = g.ndim - len(shape)
        ones = tuple(slice(0, 1) if n == 1 else slice(None) for n in shape)
        return g[(0,) * extra + ones] if g.shape != shape else g

    with mock.patch.object(elementwise, "sum_to", first), mock.patch.object(linear, "sum_to", first):
        return right(op, g)


def _is_padded(op: Function, inputs: Sequence[Shape], output: Shape) -> bool:
    if isinstance(op, Pad):
        return any(map(any, op.widths))
    sliding = (Conv2d, Conv2dGradInput, Conv2dGradWeight, MaxPool2d, AvgPool2d, SplitEqually)
    return isinstance(op, sliding) and any(op.window.padding)


def _not_cropped(op: Any, g: Tensor, right: Backward) -> list[Tensor | None]:
    """Read the gradient of the padded image from its corner on: everything is too far down and right."""
    first, *others = right(op, g)
    if first is None:
        return [first, *others]
    array = first.numpy()
    shifts = [before for before, _ in op.widths] if isinstance(op, Pad) else [0, 0, *op.window.padding]
    moved = np.zeros_like(array)
    to = tuple(slice(min(k, n), None) for k, n in zip(shifts, array.shape, strict=True))
    of = tuple(slice(None, n - min(k, n)) for k, n in zip(shifts, array.shape, strict=True))
    moved[to] = array[of]
    return [Tensor(moved), *others]


# -- ties ------------------------------------------------------------------------------------------------------------


def _pool_all_ties(op: Any, g: Tensor, right: Backward) -> list[Tensor | None]:
    """Every largest pixel of a window gets its gradient, where the first alone should."""
    x, y = op.inputs[0].data, op.output().data
    total = np.zeros(x.shape, x.dtype)
    for position in range(op.window.area):
        argmax = np.full_like(op.argmax, position)
        inside = backend.max_pool2d_gather(np.ones_like(x), argmax, op.window) > 0
        equal = inside & (backend.max_pool2d_gather(x, argmax, op.window) == y)
        total += backend.max_pool2d_route(np.where(equal, g.data, 0), argmax, x.shape[2:], op.window)
    return [Tensor(total)]


def _pool_overwrites(op: Any, g: Tensor, right: Backward) -> list[Tensor | None]:
    """A pixel that wins several windows keeps the last one's gradient, not the sum."""
    input_size = op.inputs[0].shape[2:]
    total = np.zeros(op.inputs[0].shape, g.dtype)
    for position in range(op.window.area):
        won = op.argmax == position
        argmax = np.full_like(op.argmax, position)
        touched = backend.max_pool2d_route(won.astype(g.dtype), argmax, input_size, op.window) > 0
        routed = backend.max_pool2d_route(np.where(won, g.data, 0), argmax, input_size, op.window)
        total = np.where(touched, routed, total)
    return [Tensor(total)]


def _stale_argmax(op: Any, g: Tensor, right: Backward) -> list[Tensor | None]:
    """Routed by the winners of another forward pass."""
    stale = np.ascontiguousarray(np.flip(op.argmax))
    return [RouteToArgmax(stale, op.inputs[0].shape[2:], op.window)(g)]


def _maximum_to_both(op: Any, g: Tensor, right: Backward) -> list[Tensor | None]:
    a, b = op.inputs
    a_loses, b_loses = (Tensor(backend.compare(a.data, b.data, relation)) for relation in op.loses)
    return [sum_to(where(a_loses, 0.0, g), a.shape), sum_to(where(b_loses, 0.0, g), b.shape)]


def _amax_all_ties(op: Any, g: Tensor, right: Backward) -> list[Tensor | None]:
    found = op.extreme(op.inputs[0].data, True)
    winners = Tensor((op.inputs[0].data == found).astype(g.dtype))
    return [g.reshape(found.shape) * winners]


def _has_kinks(op: Function, inputs: Sequence[Shape], output: Shape) -> bool:
    """Apply to elementwise ops of one input that declare branches. (Those of Index are places, not sides of a kink.)"""
    return op.on_branches is not None and list(inputs) == [output] and not isinstance(op, Index)


def _other_side(op: Any, g: Tensor, right: Backward) -> list[Tensor | None]:
    """Take the slope of the other side at a kink, such as ReLU′(0) = 1: that of the branch which x ± h takes."""
    (gradient,) = right(op, g)
    assert gradient is not None
    x, again = op.inputs[0].data, op.fresh_copy()
    here = again.branches(x)
    for h in (1e-6, -1e-6):
        there = again.branches(x + x.dtype.type(h))
        slope = again.on_branches(there, x + 1e-30j).imag / 1e-30  # a complex step, on the branch of x + h
        gradient = where(Tensor(there != here), g * Tensor(slope.astype(x.dtype)), gradient)
    return [gradient]


# -- convolution, batch norm, indexing, sums -------------------------------------------------------------------------


def _overlaps_overwritten(op: Any, g: Tensor, right: Backward) -> list[Tensor | None]:
    """Assign in col2im instead of adding: a pixel in several windows keeps the share of the last one."""
    _, *others = right(op, g)
    x, w = op.inputs[:2]
    total = np.zeros(x.shape, g.dtype)
    for place in np.ndindex(*w.shape[2:]):
        at = (slice(None), slice(None), *place)
        one, ones = np.zeros_like(w.data), np.zeros_like(w.data)
        one[at], ones[at] = w.data[at], 1
        share = Conv2dGradInput(x.shape[2:], op.window, op.groups).forward(g.data, one)
        touched = Conv2dGradInput(x.shape[2:], op.window, op.groups).forward(np.ones(g.shape, g.dtype), ones) > 0
        total = np.where(touched, share, total)
    return [Tensor(total), *others]


def _batch_norm(mean: bool, variance: bool) -> Callable[[Any, Tensor, Backward], list[Tensor | None]]:
    """Leave out of batch norm's gradient what flows through the mean, or through the variance."""

    def wrong(op: Any, g: Tensor, right: Backward) -> list[Tensor | None]:
        _, *others = right(op, g)
        x, weight = op.inputs[:2]
        g = op.before_relu(g)
        axes = (0, *range(2, x.ndim))
        centred = x - mean_of(x, axes, keepdim=True)
        inverse = (mean_of(centred * centred, axes, keepdim=True) + op.eps) ** -0.5
        x_hat = centred * inverse
        inner = g
        if mean:
            inner = inner - mean_of(g, axes, keepdim=True)
        if variance:
            inner = inner - x_hat * mean_of(g * x_hat, axes, keepdim=True)
        return [weight.reshape(1, -1, *(1,) * (x.ndim - 2)) * inverse * inner, *others]

    return wrong


def _repeats_overwrite(op: Any, g: Tensor, right: Backward) -> list[Tensor | None]:
    """Compute x[key] = g instead of x[key] += g: an element that is taken twice gets one gradient."""
    array = np.zeros(op.inputs[0].shape, g.dtype)
    array[op.key] = g.data
    return [Tensor(array)]


def _sums_from_the_front(op: Any, g: Tensor, right: Backward) -> list[Tensor | None]:
    """Take Σ_{i ≤ k} gᵢ in place of Σ_{i ≥ k} gᵢ."""
    return [Cumsum(op.axis)(g)]


MUTANTS = (
    Mutant("returns zeros", always, _each(_zeros_like)),
    Mutant("sign flipped", always, _each(lambda g: -g)),
    Mutant("twice too large", always, _each(lambda g: g * 2.0)),
    Mutant("off by a thousandth", always, _each(lambda g: g * 1.001)),
    Mutant("last row lost", always, _each(_last_row_lost), "the last row's gradient is zero here"),
    Mutant("ignores the gradient that arrives", always, _ignores_what_arrives),
    *(Mutant(f"forgets input {k}", _has_another_beside(k), _forgets(k)) for k in range(4)),
    Mutant("one copy of a broadcast operand", _is_broadcast, _first_copy_only, "nothing is broadcast here"),
    Mutant("padding not cropped", _is_padded, _not_cropped),
    Mutant(
        "all ties receive the gradient", only(MaxPool2d), _pool_all_ties, "no two pixels of a window are equal here"
    ),
    Mutant("a pixel's last window alone counts", only(MaxPool2d), _pool_overwrites, "no pixel wins two windows here"),
    Mutant("stale argmax", only(MaxPool2d), _stale_argmax, "the winners lie so that it makes no difference here"),
    Mutant("both equal operands get all", only(Maximum), _maximum_to_both, "no two operands are equal here"),
    Mutant("all ties receive the gradient", only(Amax), _amax_all_ties, "no two elements are equal here"),
    Mutant("the other slope at the kink", _has_kinks, _other_side, "nothing lies on a kink here"),
    Mutant("overlaps overwritten", only(Conv2d), _overlaps_overwritten, "no windows overlap here"),
    Mutant("batch variance constant", only(BatchNormTraining), _batch_norm(mean=True, variance=False)),
    Mutant("batch mean constant", only(BatchNormTraining), _batch_norm(mean=False, variance=True)),
    Mutant("sums from the front", only(Cumsum), _sums_from_the_front),
    Mutant("repeated indices overwrite", only(Index), _repeats_overwrite, "no element is taken twice here"),
)


@contextmanager
def breaking(kind: type[Function], mutant: Mutant) -> Iterator[None]:
    """Let every op of class `kind` have the mutant's backward, both formula and fused, within the block."""
    right_formula, right_arrays = kind.backward, kind.backward_fused

    def right(op: Function, g: Tensor) -> list[Tensor | None]:
        found: Any = right_formula(op, g)
        return list(found) if isinstance(found, (tuple, list)) else [found]

    def backward(op: Function, g: Tensor) -> Any:
        found = list(mutant.wrong(op, g, right))
        return found[0] if len(found) == 1 else tuple(found)

    def backward_fused(op: Function, g: Any) -> Any:
        assert right_arrays is not None

        def fused(op: Function, g: Tensor) -> list[Tensor | None]:
            found: Any = right_arrays(op, g.data)
            each = list(found) if isinstance(found, (tuple, list)) else [found]
            return [None if array is None else Tensor(read_only(array)) for array in each]

        found = [None if each is None else each.data for each in mutant.wrong(op, Tensor(read_only(g)), fused)]
        return found[0] if len(found) == 1 else tuple(found)

    changed: dict[str, Any] = {"backward": backward, "saved_inputs": None, "saves_output": True}
    if right_arrays is not None:
        changed["backward_fused"] = backward_fused
    with mock.patch.multiple(kind, **changed):
        yield


__all__ = ["MUTANTS", "Mutant", "breaking"]
