"""Operations on the bits of integers, and on bools: & | ^ ~ << >>. They have no gradient."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from minires import backend
from minires.core import modes
from minires.core.operators import Operand, method
from minires.core.tensor import Tensor
from minires.errors import DtypeError
from minires.ops.inplace import change
from minires.ops.operands import check_broadcast, check_device, check_tensor, same_kind


def _of_two(name: str, kinds: str, compute: Callable[[Any, Any], Any], input: Operand, other: Operand) -> Tensor:
    a, b = same_kind(input, other)
    for each in (a, b):
        _check_kind(name, kinds, each)
    check_device(name, a, b)
    check_broadcast(name, a, b)
    modes.note_read(a, b)
    return Tensor(backend.as_array(compute(a.data, b.data), a.data))


def _check_kind(name: str, kinds: str, x: Tensor) -> None:
    if x.dtype.kind not in kinds:
        wanted = "integers or bools" if "b" in kinds else "integers"
        raise DtypeError(f"{name}: needs {wanted}, got {x.dtype}; x != 0 makes bools, x.long() integers")


@method("bitwise_and")
def bitwise_and(input: Operand, other: Operand) -> Tensor:
    """The bits that both have; of bools, whether both are True (torch.bitwise_and)."""
    return _of_two("bitwise_and", "biu", operator.and_, input, other)


@method("bitwise_or")
def bitwise_or(input: Operand, other: Operand) -> Tensor:
    """The bits that one has or both; of bools, whether one is True (torch.bitwise_or)."""
    return _of_two("bitwise_or", "biu", operator.or_, input, other)


@method("bitwise_xor")
def bitwise_xor(input: Operand, other: Operand) -> Tensor:
    """The bits in which they differ; of bools, whether they differ (torch.bitwise_xor)."""
    return _of_two("bitwise_xor", "biu", operator.xor, input, other)


@method("bitwise_left_shift")
def bitwise_left_shift(input: Operand, other: Operand) -> Tensor:
    """input · 2 to the power other, of integers (torch.bitwise_left_shift)."""
    return _of_two("bitwise_left_shift", "iu", operator.lshift, input, other)


@method("bitwise_right_shift")
def bitwise_right_shift(input: Operand, other: Operand) -> Tensor:
    """⌊input / 2 to the power other⌋, of integers (torch.bitwise_right_shift)."""
    return _of_two("bitwise_right_shift", "iu", operator.rshift, input, other)


@method("bitwise_not")
def bitwise_not(input: Tensor) -> Tensor:
    """All bits the other way round; of bools, False for True (torch.bitwise_not)."""
    check_tensor("bitwise_not", input)
    _check_kind("bitwise_not", "biu", input)
    modes.note_read(input)
    return Tensor(backend.as_array(~input.data, input.data))


def _register(name: str, operation: Callable[[Tensor, Any], Tensor]) -> None:
    """Register as `name` what changes a tensor as `operation` computes it."""

    def changed(x: Tensor, other: Operand) -> Tensor:
        return change(name, x, lambda before: operation(before, before if other is x else other))

    method(name)(changed)


_register("bitwise_and_", bitwise_and)
_register("bitwise_or_", bitwise_or)
_register("bitwise_xor_", bitwise_xor)
_register("bitwise_left_shift_", bitwise_left_shift)
_register("bitwise_right_shift_", bitwise_right_shift)
