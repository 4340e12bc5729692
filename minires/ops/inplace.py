"""Operations in place: `x += y`, `x.relu_()`, `x[i] = v` change the tensor itself, and all that share its memory.

There are two ways to do it, with the same result:

* Into the memory itself, where nothing is recorded and no live graph needs the numbers.
* Else an operation that is not in place computes the new numbers, from an alias of the old tensor, and the tensor takes
  over its array and its place in the graph. What the graph has kept stays as it was. A node that has kept the tensor
  itself finds another version of it at backward, and refuses.

A write into a view v = f(b) of the graph is a write into its base: b becomes what b was with v put back (`_put_back`),
and v becomes f(b) once more, as does each other view of b.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from minires import backend
from minires.backend import Array, memory_owner
from minires.core import modes
from minires.core.drawn import below
from minires.core.function import Function
from minires.core.operators import METHODS, Operand, method
from minires.core.random import default_generator
from minires.core.readonly import is_memory_writeable, writeable_view
from minires.core.sharing import Memory, Sharing, sharing_of, torn_from
from minires.core.tensor import Tensor
from minires.errors import DtypeError, GraphError, ShapeError
from minires.ops import arithmetic, clamp, exponential, module_hooks, rounding
from minires.ops.cast import Relayout
from minires.ops.elementwise import where
from minires.ops.index_order import integers_first
from minires.ops.operands import as_tensor, check_device, check_floating, check_tensor
from minires.ops.shape import BroadcastTo, Index, Permute, Reshape, index, index_key, reshape, sum_to

# The methods in place of these have torch's shorter names, as in mul_.
_SHORT = {"absolute": "abs", "divide": "div", "multiply": "mul", "negative": "neg", "power": "pow", "subtract": "sub"}
_KINDS = "biufc"  # of dtypes, each of which holds the numbers of those before it, up to rounding


class IndexPut(Function):
    """y = x, with y[key] = v;  ∂y/∂x = 1 but 0 at the places of key, ∂y/∂v = 1.

    Where key names a place twice, the last value stays, and the gradient goes to it alone. (On a GPU any of them may
    stay, as in torch.)
    """

    saved_inputs = ()

    def __init__(self, key: Any) -> None:
        self.key = key

    def forward(self, x: Array, v: Array) -> Array:
        y = x.copy()
        y[self.key] = v
        return y

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        x, v = self.inputs
        gx = IndexPut(self.key)(g, as_tensor(0, g)) if self.needs_input_grad[0] else None
        gv = None
        if self.needs_input_grad[1]:
            taken = Index(self.key)(g)
            if _may_repeat(self.key):
                taken = where(Tensor(_stays(self.key, x.shape, g.data)), taken, 0.0)
            gv = sum_to(taken, v.shape)
        return gx, gv


def _may_repeat(key: Any) -> bool:
    """Whether a key can name a place twice: only one with integer arrays can."""
    parts = key if isinstance(key, tuple) else (key,)
    return any(backend.is_array(part) and part.dtype.kind in "iu" for part in parts)


def _stays(key: Any, shape: Sequence[int], like: Array) -> Array:
    """For each element of y[key], whether it is the last that is written to its place."""
    xp = backend.array_module(like)
    places = xp.zeros(shape, int)
    numbers = xp.arange(places[key].size).reshape(places[key].shape)
    places[key] = numbers
    return backend.compare(places[key], numbers, "==")


# -- changing a tensor ------------------------------------------------------------------------------------------------


def change(name: str, x: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """x ← compute(x), in place; returns x. Raises as `InPlaceOperators` says."""
    _check_may_change(name, x)
    before = _alias(x)
    after = compute(before)
    if after is before:
        return x  # dropout in eval mode
    if after.shape != x.shape:
        raise ShapeError(f"{name}: the result has shape {after.shape}, and a change in place keeps the shape {x.shape}")
    after = _in_dtype_of(name, x, after)
    _tell_watcher(x)
    if after.requires_grad or not _is_memory_free(x):
        _take_over(x, after)
    else:
        _write(x, ..., after.data)
    return x


def put(name: str, x: Tensor, key: Any, value: Tensor) -> Tensor:
    """x[key] ← value, in place; returns x. Raises as `InPlaceOperators` says."""
    _check_may_change(name, x)
    try:
        place = backend.index(x.data, key)
    except IndexError as error:
        raise ShapeError(f"{name}: {key!r} does not fit shape {x.shape}: {error}") from error
    is_recorded = modes.is_grad_enabled() and x.dtype.kind in "fc" and (x.requires_grad or value.requires_grad)
    if _is_same_place(place, value.data) and (not is_recorded or _base(value) is _base(x)):
        return x  # the second half of x[i] += 1, whose first half has changed x[i], a view
    value = _without_leading_ones(name, value, tuple(place.shape))
    check_device(name, x, value)
    _tell_watcher(x)
    if is_recorded or not _is_memory_free(x):
        _take_over(x, IndexPut(key)(_alias(x), value))
    else:
        _write(x, key, value.data)
    return x


def overwrite(name: str, x: Tensor, numbers: Tensor) -> Tensor:
    """x ← numbers, in place; returns x. As `put`, but no operation where none is recorded: the numbers are constants.

    So a gradient check, and a trace, of a function that initialises its own weights see none.
    """
    if modes.interceptor() is None or (modes.is_grad_enabled() and x.requires_grad):
        return put(name, x, ..., numbers)
    _check_may_change(name, x)
    _tell_watcher(x)
    array = backend.array_module(x.data).zeros_like(x.data)
    array[...] = numbers.data
    _take_over(x, Tensor(array))
    return x


def _check_may_change(name: str, x: Tensor) -> None:
    check_tensor(name, x)
    leaf = _base(x)
    if modes.is_grad_enabled() and leaf.requires_grad and leaf.is_leaf:
        what = "a leaf Tensor" if leaf is x else "a view of a leaf Tensor"
        raise GraphError(
            f"{name}: {what} that requires gradients is changed in place, so its gradient would be that of numbers it "
            "no longer has. To set its numbers, as an optimiser does, write `with minires.no_grad():` around it; else "
            "change a copy, x.clone()"
        )
    if modes.is_grad_enabled() and isinstance(leaf.node, module_hooks.Gate):
        raise GraphError(
            f"{name}: an input or output of a module with backward hooks cannot be changed in place, as in torch: "
            "construct the layer with inplace=False, or change a copy, x.clone()"
        )
    for each in _sharers(x):
        if (other := torn_from(each)) is not None:
            raise GraphError(
                f"{name}: tensors {each.shape} and {other.shape} share a memory in torch, and here one is a copy: "
                "view, flatten and reshape copy images that lie channels-last in memory, and unfold copies stretches "
                "that overlap. A change in place would not reach the other. Change a copy, x.clone(), or reshape "
                "x.contiguous()"
            )
    strides = x.data.strides if x.data.size else ()  # those of an array without elements may be 0
    if any(stride == 0 and n > 1 for stride, n in zip(strides, x.shape, strict=False)):
        raise GraphError(f"{name}: several elements of an expanded tensor lie at one place: change x.clone() instead")


def _in_dtype_of(name: str, x: Tensor, value: Tensor) -> Tensor:
    """`value` in x's dtype. Raises DtypeError where it is of a higher kind, as torch does, or an integer too large."""
    kinds = [_KINDS.index(dtype.kind.replace("u", "i")) for dtype in (value.dtype, x.dtype)]
    if kinds[0] > kinds[1]:
        raise DtypeError(
            f"{name}: a result of dtype {value.dtype} cannot be cast to {x.dtype} in place: convert the tensor, as in "
            f"x.astype('{value.dtype}'), or the other operand"
        )
    if value.dtype == x.dtype:
        return value
    cast: Tensor = METHODS["astype"](value, x.dtype)
    if cast.dtype.kind in "iu" and not bool((METHODS["astype"](cast, value.dtype).data == value.data).all()):
        raise DtypeError(f"{name}: a number of dtype {value.dtype} is too large for {x.dtype}")
    return cast


def _without_leading_ones(name: str, value: Tensor, place: tuple[int, ...]) -> Tensor:
    """`value` with as many axes as the place at most. Raises ShapeError unless it broadcasts to the place."""
    shape = value.shape
    while len(shape) > len(place) and shape[0] == 1:
        shape = shape[1:]
    if len(shape) > len(place) or any(n not in (1, m) for n, m in zip(shape[::-1], place[::-1], strict=False)):
        raise ShapeError(f"{name}: a value of shape {value.shape} does not broadcast to {place}, where it is put")
    return value if shape == value.shape else reshape(value, shape)


def _is_same_place(a: Array, b: Array) -> bool:
    """Whether two arrays are views of the same elements."""
    if memory_owner(a) is not memory_owner(b):
        return False
    return (a.shape, a.strides, a.dtype, _address(a)) == (b.shape, b.strides, b.dtype, _address(b))


def _address(array: Array) -> int:
    return int(array.__array_interface__["data"][0] if isinstance(array, np.ndarray) else array.data.ptr)


def _alias(x: Tensor) -> Tensor:
    """Another Tensor with x's array and place in the graph. It never changes, so that a node may keep it."""
    alias = Tensor(x.data)
    alias.node, alias._requires_grad = x.node, x.requires_grad
    return alias


# -- into the memory itself -------------------------------------------------------------------------------------------


def _is_memory_free(x: Tensor) -> bool:
    """Whether x may be written into directly. Not where operations are intercepted: a write would not be seen there."""
    return modes.interceptor() is None and is_memory_writeable(x.data)


def _write(x: Tensor, key: Any, array: Array) -> None:
    overlaps = memory_owner(array) is memory_owner(x.data)
    writeable_view(x.data)[key] = array.copy() if overlaps else array
    for tensor in _sharers(x):
        tensor.version += 1


def _tell_watcher(x: Tensor) -> None:
    """Tell the watcher of writes, if there is one, of x and all that share its memory."""
    if (watcher := modes.write_watcher()) is not None:
        for tensor in _sharers(x):
            watcher(tensor)


def _base(x: Tensor) -> Tensor:
    """The tensor of which the graph knows x to be a view, as long as they share a memory; else x itself."""
    sharing = sharing_of(x)
    base = None if sharing is None else sharing.base
    return x if base is None or memory_owner(base.data) is not memory_owner(x.data) else base


def _sharers(x: Tensor) -> list[Tensor]:
    """All tensors that are known to share x's memory, x included."""
    sharing = sharing_of(x)
    return [x] if sharing is None else sharing.memory.live()


# -- into a new memory ------------------------------------------------------------------------------------------------


def _take_over(x: Tensor, after: Tensor) -> None:
    """Give x the array of `after`, and its place in the graph; and those that share x's memory new arrays too."""
    sharing, is_recorded = sharing_of(x), after.requires_grad
    members = _sharers(x)
    if sharing is None or all(member is x for member in members):
        _become(x, after, is_recorded)
        return
    base = _base(x)
    if is_recorded:
        inner = len(base._sharing.ops)
        _check_is_first(base, members)
        old = _alias(base)
    else:
        inner = 0
        old = Tensor(x.data if sharing.root is None else sharing.root)
    whole = _in_layout_of(old.data, _put_back(old, sharing.ops[inner:], after))
    if is_recorded:
        _become(base, whole, True)
        whole = base
    known = [member._sharing for member in members]
    for member, own in zip(members, known, strict=True):
        if member is not whole:
            is_view = is_recorded and own.base is base
            with modes.set_grad_enabled(is_view):
                _become(member, _applied(own.ops[inner:], whole), is_view)
    memory = Memory(memory_owner(whole.data))
    for member, own in zip(members, known, strict=True):
        ops = own.ops[inner:]
        root_array = whole.data if ops else None
        member._sharing = Sharing(memory, ops, root_array, own.base, own.is_first or member is whole)
        memory.add(member)


def _check_is_first(base: Tensor, members: list[Tensor]) -> None:
    """Raise GraphError if a tensor of which `base` is no view for the graph would change without its history."""
    others = [each for each in members if each is not base and each._sharing.base is not base]
    if not base._sharing.is_first and others:
        raise GraphError(
            "a change in place is to be recorded for a tensor that shares the memory of another one through detach(), "
            "or through a view made under no_grad(): the other's numbers would change and its gradient would not. "
            "Change a copy, x.clone()"
        )


def _become(x: Tensor, made: Tensor, is_recorded: bool) -> None:
    """x ← made, the array and, if recorded, the place in the graph. Whoever retains x's gradient gets the new one's."""
    x._data = made.data
    x.version += 1
    if is_recorded and made.node is not None:
        if x.node is not None:
            made.node.retained += [each for each in x.node.retained if each() is x]
            x.node.retained = [each for each in x.node.retained if each() is not x]
        x.node, x._requires_grad = made.node, True


def _applied(ops: Sequence[Function], x: Tensor) -> Tensor:
    for op in ops:
        x = op.fresh_copy()(x)
    return x


# For the ops that are views and belong to other files: f(op, x, value) is x with its view by `op` replaced by value.
PUT_BACK: dict[type, Callable[[Any, Tensor, Tensor], Tensor]] = {}


def _put_back(source: Tensor, ops: Sequence[Function], value: Tensor) -> Tensor:
    """What `source` becomes if its view through `ops` becomes `value`."""
    if not ops:
        return value
    *before, op = ops
    inner = _applied(before, source)
    if isinstance(op, Index):
        value = IndexPut(op.key)(inner, value)
    elif isinstance(op, (Reshape, BroadcastTo)):  # an expansion that repeats nothing: _check_may_change
        value = Reshape(inner.shape)(value)
    elif isinstance(op, Permute):
        value = Permute(tuple(sorted(range(len(op.axes)), key=op.axes.__getitem__)))(value)
    elif type(op) in PUT_BACK:
        value = PUT_BACK[type(op)](op, inner, value)
    else:
        _refuse_view(op)
    return _put_back(source, before, value)


def _in_layout_of(old: Array, x: Tensor) -> Tensor:
    """x with the axes in memory in the same order as in `old`, and no gaps: what was a view of `old` is one of x."""
    axes = tuple(sorted(range(x.ndim), key=lambda axis: -abs(old.strides[axis])))
    step = x.dtype.itemsize
    for axis in reversed(axes):
        if x.shape[axis] != 1 and x.data.strides[axis] != step:
            return Relayout(axes)(x)
        step *= x.shape[axis]
    return x


def _refuse_view(op: Function) -> NoReturn:
    raise GraphError(f"a view made by {op.name} cannot be changed in place: change a copy, x.clone()")


# -- the methods of Tensor --------------------------------------------------------------------------------------------


def register(name: str, operation: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Register as the method `name` what changes a tensor as `operation` computes it."""

    def changed(x: Tensor, *arguments: Any, **named: Any) -> Tensor:
        def compute(before: Tensor) -> Tensor:
            own = (before if a is x else a for a in arguments)
            return operation(before, *own, **{key: before if a is x else a for key, a in named.items()})

        return change(name, x, compute)

    return method(name)(changed)


for _operation in (
    *(arithmetic.absolute, arithmetic.add, arithmetic.addcdiv, arithmetic.addcmul, arithmetic.divide, arithmetic.lerp),
    *(arithmetic.masked_fill, arithmetic.multiply, arithmetic.negative, arithmetic.power, arithmetic.reciprocal),
    *(arithmetic.rsqrt, arithmetic.sqrt, arithmetic.square, arithmetic.subtract),
    *(clamp.clip, clamp.clamp_min, clamp.clamp_max),
    *(exponential.erf, exponential.exp, exponential.expm1, exponential.log, exponential.log10, exponential.log1p),
    *(exponential.log2, rounding.ceil, rounding.floor, rounding.floor_divide, rounding.fmod, rounding.remainder),
    *(rounding.round, rounding.sign, rounding.trunc),
):
    register(_SHORT.get(_operation.__name__, _operation.__name__) + "_", _operation)


@method("setitem")
def setitem(x: Tensor, key: Any, value: Any) -> None:
    """See InPlaceOperators.__setitem__."""
    wanted = index_key(key, x)
    if keys := integers_first(wanted):
        x, wanted = index(x, keys[0]), keys[1]  # a view
    put("x[…] = value", x, wanted, _operand("x[…] = value", x, value))


@method("fill_")
def fill_(x: Tensor, value: Operand) -> Tensor:
    """See InPlaceOperators.fill_."""
    number = _operand("fill_", x, value)
    if number.numel() != 1:
        raise ShapeError(f"fill_: needs one number, got shape {number.shape}; copy_ writes a tensor")
    return put("fill_", x, ..., number) if isinstance(value, Tensor) else overwrite("fill_", x, number)


@method("copy_")
def copy_(x: Tensor, source: Operand) -> Tensor:
    """See InPlaceOperators.copy_."""
    return put("copy_", x, ..., METHODS["to"](as_tensor(source, x), x.device, x.dtype))


@method("normal_")
def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """See InPlaceOperators.normal_."""
    if not std >= 0:
        raise ValueError(f"normal_: std = {std} must not be negative")
    return _drawn("normal_", x, generator, lambda draws: mean + std * draws.standard_normal(x.shape))


@method("uniform_")
def uniform_(x: Tensor, a: float = 0.0, b: float = 1.0, generator: np.random.Generator | None = None) -> Tensor:
    """See InPlaceOperators.uniform_."""
    if not a <= b:
        raise ValueError(f"uniform_: the interval [{a}, {b}) is empty")

    def draw(draws: np.random.Generator) -> np.ndarray:
        numbers = np.asarray(draws.uniform(a, b, x.shape))
        return below(b, numbers, x.dtype) if a < b and x.dtype.kind == "f" else numbers

    return _drawn("uniform_", x, generator, draw)


def _drawn(name: str, x: Tensor, generator: Any, draw: Callable[[np.random.Generator], Any]) -> Tensor:
    check_floating(name, x)
    _check_may_change(name, x)
    numbers = np.asarray(draw(default_generator() if generator is None else generator)).astype(x.dtype)
    return overwrite(name, x, Tensor(backend.to_device(numbers, x.device)))


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    """Whether `dtype` has the very number `value`, or is floating-point."""
    try:
        return dtype.kind in "fc" or bool(dtype.type(value) == value)
    except (ValueError, OverflowError):  # NaN or infinity, or too large an integer
        return False


def _operand(name: str, x: Tensor, value: Any) -> Tensor:
    """What a user writes into x, as a Tensor of x's dtype and, unless it is a Tensor, on its device.

    A Python number may be of a higher kind if x's dtype holds it exactly: `mask[i] = 1`.
    """
    if isinstance(value, (bool, int, float)) and _holds(x.dtype, value):
        return Tensor(backend.scalar(value, x.dtype, x.data))
    if not isinstance(value, Tensor):
        value = as_tensor(value, x)
        value = Tensor(backend.to_device(value.data, x.device))
    return _in_dtype_of(name, x, value)
