"""The arithmetic functions of Tensors: torch's names and arguments, for the operations of `elementwise.py`.

Two operands broadcast and take a common dtype. The functions raise ShapeError where shapes do not broadcast, and
DtypeError for what is not numbers.
"""

from __future__ import annotations

from typing import Any

from minires import backend
from minires.core.numpy_functions import refuses_out
from minires.core.operators import Operand, Scalar, method
from minires.core.tensor import Tensor
from minires.errors import DtypeError, ShapeError
from minires.ops import elementwise
from minires.ops.complex import is_complex, modulus
from minires.ops.elementwise import (
    Absolute,
    Add,
    Divide,
    Maximum,
    Minimum,
    Multiply,
    Negative,
    Power,
    Sqrt,
    Subtract,
)
from minires.ops.float16 import FLOAT16, in_float32, with_number
from minires.ops.operands import as_tensor, binary, check_broadcast, check_tensor, same_kind, unary
from minires.ops.rounding import rounded_quotient


def scaled(name: str, other: Any, alpha: Scalar, of: Any) -> Any:
    """alpha · other, the second operand of add and sub. Raises DtypeError where integers would become fractions."""
    if isinstance(alpha, int) and alpha == 1:
        return other
    if not isinstance(alpha, (int, float, complex)):
        raise DtypeError(f"{name}: alpha = {alpha!r} must be a number; multiply by a Tensor before")
    operands = [each for each in (of, other) if isinstance(each, Tensor)]
    if not isinstance(alpha, int) and all(each.dtype.kind in "biu" for each in operands):
        raise DtypeError(f"{name}: alpha = {alpha} must be an integer, as the operands are")
    return other * alpha


@refuses_out
@method("add")
def add(input: Operand, other: Operand, *, alpha: Scalar = 1) -> Tensor:
    """input + alpha · other (torch.add)."""
    return binary("add", Add, input, scaled("add", other, alpha, input))


@refuses_out
@method("subtract")
def subtract(input: Operand, other: Operand, *, alpha: Scalar = 1) -> Tensor:
    """input − alpha · other (torch.sub)."""
    return binary("subtract", Subtract, input, scaled("subtract", other, alpha, input))


@refuses_out
@method("multiply")
def multiply(input: Operand, other: Operand) -> Tensor:
    """input · other (torch.mul)."""
    a, b = same_kind(input, other)
    if a.dtype == FLOAT16 and not (a.ndim and b.ndim):
        return with_number(multiply, input, other)
    check_broadcast("multiply", a, b)
    return Multiply()(a, b)


@refuses_out
@method("true_divide")
def true_divide(input: Operand, other: Operand) -> Tensor:
    """input / other (torch.true_divide); integers give float32."""
    return divide(input, other)


@refuses_out
@method("divide")
def divide(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """input / other (torch.div); integers give float32.

    With rounding_mode "trunc" or "floor" the quotient is rounded towards 0 or −∞; its gradient is 0, and integers give
    integers. Raises ValueError for another mode, ZeroDivisionError where a rounded quotient of integers does not exist.
    """
    if rounding_mode is not None:
        return rounded_quotient(input, other, rounding_mode)
    a, b = same_kind(input, other)
    if a.dtype.kind not in "fc":
        a, b = a.astype("float32"), b.astype("float32")
    if a.dtype == FLOAT16 and not (a.ndim and b.ndim):
        return with_number(divide, input, other)
    check_broadcast("divide", a, b)
    return Divide()(a, b)


@refuses_out
@method("power")
def power(input: Operand, exponent: Operand) -> Tensor:
    """input raised to the power exponent (torch.pow)."""
    return binary("power", Power, input, exponent)


@refuses_out
@method("maximum")
def maximum(input: Operand, other: Operand) -> Tensor:
    """The larger of two elements; equal ones share the gradient (torch.maximum)."""
    return binary("maximum", Maximum, input, other)


@refuses_out
@method("minimum")
def minimum(input: Operand, other: Operand) -> Tensor:
    """The smaller of two elements; equal ones share the gradient (torch.minimum)."""
    return binary("minimum", Minimum, input, other)


@refuses_out
@method("negative")
def negative(input: Tensor) -> Tensor:
    """−input (torch.neg)."""
    check_tensor("negative", input)
    return Negative()(input)


@refuses_out
@method("absolute")
def absolute(input: Tensor) -> Tensor:
    """|x|, of complex numbers the modulus (torch.abs)."""
    check_tensor("abs", input)
    if input.dtype.kind in "iu":
        return Absolute()(input)
    return modulus(input) if is_complex(input) else unary("abs", Absolute(), input)


@refuses_out
@method("square")
def square(input: Tensor) -> Tensor:
    """x² (torch.square)."""
    check_tensor("square", input)
    return input * input


@refuses_out
@method("sqrt")
def sqrt(input: Tensor) -> Tensor:
    """Square root (torch.sqrt). Raises DtypeError for integers."""
    return unary("sqrt", Sqrt(), input)


@refuses_out
@method("reciprocal")
def reciprocal(input: Tensor) -> Tensor:
    """1/x (torch.reciprocal); integers give float32."""
    check_tensor("reciprocal", input)
    return divide(1, input)


@refuses_out
@method("rsqrt")
def rsqrt(input: Tensor) -> Tensor:
    """1/√x (torch.rsqrt). Raises DtypeError for integers."""
    return divide(1.0, sqrt(input))


@refuses_out
@method("lerp")
@in_float32
def lerp(input: Tensor, end: Tensor, weight: Operand) -> Tensor:
    """input + weight · (end − input), the point between two (torch.lerp); weight is a number or a Tensor."""
    check_tensor("lerp", input)
    if not isinstance(weight, Tensor) and weight >= 0.5:  # type: ignore[operator]
        return end - (end - input) * (1 - weight)  # exactly `end` for weight 1
    return input + weight * (end - input)


@refuses_out
@method("addcmul")
@in_float32
def addcmul(input: Tensor, tensor1: Operand, tensor2: Operand, *, value: Scalar = 1) -> Tensor:
    """input + value · tensor1 · tensor2 (torch.addcmul)."""
    return add(input, multiply(tensor1, tensor2), alpha=value)


@refuses_out
@method("addcdiv")
@in_float32
def addcdiv(input: Tensor, tensor1: Operand, tensor2: Operand, *, value: Scalar = 1) -> Tensor:
    """input + value · tensor1 / tensor2 (torch.addcdiv)."""
    return add(input, divide(tensor1, tensor2), alpha=value)


@refuses_out
@method("where")
def where(condition: Tensor, input: Operand | None = None, other: Operand | None = None) -> Any:
    """input where condition holds, else other (torch.where). Raises DtypeError unless condition is bool.

    Of the condition alone, the indices of its elements that are not 0: a tuple of int64 Tensors, one for each axis.
    """
    if input is None and other is None:
        check_tensor("where", condition)
        array = condition.data if condition.ndim else backend.reshape(condition.data, (1,))
        return tuple(Tensor(backend.as_array(each, condition.data)) for each in array.nonzero())
    if input is None or other is None:
        raise TypeError("where: needs both input and other, or neither")
    return elementwise.where(condition, input, other)


@method("masked_fill")
def masked_fill(input: Tensor, mask: Tensor, value: Operand) -> Tensor:
    """value where mask holds, else input (torch.masked_fill); value is a number or a Tensor of shape ().

    Raises DtypeError unless mask is bool, and where input's dtype cannot hold the value.
    """
    check_tensor("masked_fill", input)
    number = as_tensor(value, input)
    if number.ndim:
        raise ShapeError(
            f"masked_fill: value must be one number, got shape {number.shape}; write where(mask, value, x)"
        )
    if number.dtype != input.dtype:
        kinds = "biufc"
        if kinds.index(number.dtype.kind) > kinds.index(input.dtype.kind):
            raise DtypeError(f"masked_fill: a value of dtype {number.dtype} does not fit {input.dtype}; convert one")
        number = number.astype(input.dtype)
    return elementwise.where(mask, number, input)


sub, mul, div, pow, neg, abs = subtract, multiply, divide, power, negative, absolute
