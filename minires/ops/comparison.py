"""Comparisons and logic. They give bool Tensors, which have no gradient."""

from __future__ import annotations

import math
from typing import Any

from minires import backend
from minires.core import modes
from minires.core.numpy_functions import refuses_out
from minires.core.operators import Operand, method
from minires.core.tensor import Tensor
from minires.errors import DtypeError
from minires.ops.complex import is_complex
from minires.ops.operands import check_broadcast, check_device, check_real, check_tensor, same_kind


@method("compare")
def compare(input: Operand, other: Operand, relation: str) -> Tensor:
    """`input relation other` as a bool Tensor, without gradient; relation is one of < <= > >= == !=.

    A tensor equals nothing that is not numbers.
    """
    try:
        a, b = same_kind(input, other)
    except DtypeError:
        if relation in ("==", "!="):
            return NotImplemented  # Python then compares by identity
        raise
    check_broadcast(f"compare {relation}", a, b)
    modes.note_read(a, b)
    if relation in ("==", "!=") and is_complex(a):
        return Tensor(backend.as_array(a.data == b.data if relation == "==" else a.data != b.data, a.data))
    check_real(f"compare {relation}", a)
    return Tensor(backend.as_array(backend.compare(a.data, b.data, relation), a.data))


def _comparison(name: str, relation: str, input: Operand, other: Operand) -> Tensor:
    found: Any = compare(input, other, relation)
    if found is NotImplemented:
        raise DtypeError(f"{name}: a {type(other).__name__} cannot be an operand: use numbers, arrays or Tensors")
    return found


@refuses_out
@method("eq")
def eq(input: Operand, other: Operand) -> Tensor:
    """Whether input = other, element by element (torch.eq)."""
    return _comparison("eq", "==", input, other)


@refuses_out
@method("ne")
def ne(input: Operand, other: Operand) -> Tensor:
    """Whether input ≠ other, element by element (torch.ne)."""
    return _comparison("ne", "!=", input, other)


@refuses_out
@method("lt")
def lt(input: Operand, other: Operand) -> Tensor:
    """Whether input < other, element by element (torch.lt)."""
    return _comparison("lt", "<", input, other)


@refuses_out
@method("le")
def le(input: Operand, other: Operand) -> Tensor:
    """Whether input ≤ other, element by element (torch.le)."""
    return _comparison("le", "<=", input, other)


@refuses_out
@method("gt")
def gt(input: Operand, other: Operand) -> Tensor:
    """Whether input > other, element by element (torch.gt)."""
    return _comparison("gt", ">", input, other)


@refuses_out
@method("ge")
def ge(input: Operand, other: Operand) -> Tensor:
    """Whether input ≥ other, element by element (torch.ge)."""
    return _comparison("ge", ">=", input, other)


def _truth(name: str, x: Any) -> Tensor:
    """Where x is not 0."""
    check_tensor(name, x)
    return x.detach() if x.dtype.kind == "b" else compare(x, 0, "!=")


def _both(name: str, input: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    a, b = _truth(name, input), _truth(name, other)
    check_device(name, a, b)
    check_broadcast(name, a, b)
    modes.note_read(a, b)
    return a, b


@refuses_out
@method("logical_and")
def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """Whether both elements differ from 0 (torch.logical_and)."""
    a, b = _both("logical_and", input, other)
    return Tensor(backend.as_array(backend.multiply(a.data, b.data), a.data))


@refuses_out
@method("logical_or")
def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """Whether one element or both differ from 0 (torch.logical_or)."""
    a, b = _both("logical_or", input, other)
    return Tensor(backend.as_array(backend.maximum(a.data, b.data), a.data))


@refuses_out
@method("logical_xor")
def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """Whether exactly one element differs from 0 (torch.logical_xor)."""
    return compare(*_both("logical_xor", input, other), "!=")


@refuses_out
@method("logical_not")
def logical_not(input: Tensor) -> Tensor:
    """Whether the element is 0 (torch.logical_not)."""
    check_tensor("logical_not", input)
    return compare(input, 0, "==")


@method("isnan")
def isnan(input: Tensor) -> Tensor:
    """Whether each element is NaN (torch.isnan)."""
    check_tensor("isnan", input)
    return compare(input, input, "!=")


@method("isinf")
def isinf(input: Tensor) -> Tensor:
    """Whether each element is ∞ or −∞ (torch.isinf)."""
    return _magnitude_is("isinf", "==", input)


@method("isfinite")
def isfinite(input: Tensor) -> Tensor:
    """Whether each element is neither infinite nor NaN (torch.isfinite)."""
    return _magnitude_is("isfinite", "<", input)


def _magnitude_is(name: str, relation: str, x: Tensor) -> Tensor:
    """Whether |x| `relation` ∞."""
    check_tensor(name, x)
    if x.dtype.kind not in "fc":  # integers are finite
        return compare(x, x, "!=" if relation == "==" else "==")
    modes.note_read(x)
    return compare(Tensor(backend.as_array(abs(x.data), x.data)), math.inf, relation)
