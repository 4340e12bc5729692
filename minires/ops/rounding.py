"""Functions that are constant between their jumps (rounding, the sign, the angle), and remainders of divisions."""

from __future__ import annotations

from minires import backend
from minires.backend import Array
from minires.core import modes
from minires.core.function import Function
from minires.core.numpy_functions import refuses_out
from minires.core.operators import Operand, method
from minires.core.settings import integer
from minires.core.tensor import Tensor
from minires.errors import DtypeError
from minires.ops.complex import is_complex
from minires.ops.operands import as_tensor, check_broadcast, check_floating, check_real, check_tensor, same_kind
from minires.ops.shape import BroadcastTo

MODES = ("trunc", "floor")  # of rounded quotients


class PiecewiseConstant(Function):
    """A function that is constant between its jumps: y′ = 0, as in torch."""

    def backward(self, g: Tensor) -> Tensor:
        return BroadcastTo(self.inputs[0].shape)(as_tensor(0.0, g))

    def branches(self, x: Array) -> Array:
        return backend.astype(self.forward(x), "int64")

    def on_branches(self, branches: Array, x: Array) -> Array:
        return backend.astype(branches, x.dtype)


class Round(PiecewiseConstant):
    """The whole number next to x: below ("floor"), above ("ceil"), towards 0 ("trunc"), or the nearest ("even")."""

    saved_inputs = ()

    def __init__(self, towards: str) -> None:
        self.towards = towards

    def forward(self, x: Array) -> Array:
        return backend.round(x, self.towards)


class Sign(PiecewiseConstant):
    """−1, 0 or 1."""

    saved_inputs = ()

    def forward(self, x: Array) -> Array:
        return backend.sign(x)


class Angle(PiecewiseConstant):
    """The angle of a real number in the complex plane: π where x < 0, else 0."""

    saved_inputs = ()

    def forward(self, x: Array) -> Array:
        return self.on_branches(backend.compare(x, 0, "<"), x)

    def branches(self, x: Array) -> Array:
        return backend.compare(x, 0, "<")

    def on_branches(self, branches: Array, x: Array) -> Array:
        zero = backend.where(backend.compare(x, x, "=="), backend.as_array(x.dtype.type(0), x), x)  # NaN stays NaN
        return backend.where(branches, backend.as_array(x.dtype.type(3.141592653589793), x), zero)


class Quotient(Function):
    """⌊a/b⌋, or a/b rounded towards 0: constant between its jumps, so that both gradients are 0."""

    saved_inputs = ()

    def __init__(self, rounding: str) -> None:
        self.rounding = rounding

    def forward(self, a: Array, b: Array) -> Array:
        return backend.rounded_quotient(a, b, self.rounding)

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        zero = as_tensor(0.0, g)
        return tuple(
            BroadcastTo(each.shape)(zero) if needed else None
            for each, needed in zip(self.inputs, self.needs_input_grad, strict=True)
        )

    def branches(self, a: Array, b: Array) -> Array:
        return backend.astype(self.forward(a, b), "int64")

    def on_branches(self, branches: Array, a: Array, b: Array) -> Array:
        return backend.astype(branches, a.dtype)


class Remainder(Function):
    """y = a − q·b for the rounded quotient q = ⌊a/b⌋ (or towards 0);  ∂y/∂a = 1,  ∂y/∂b = −q. Both of one shape."""

    def __init__(self, rounding: str) -> None:
        self.rounding = rounding

    def forward(self, a: Array, b: Array) -> Array:
        return backend.remainder(a, b, self.rounding)

    def backward(self, g: Tensor) -> tuple[Tensor | None, ...]:
        a, b = self.inputs
        gb = None
        if self.needs_input_grad[1]:
            gb = -g * Tensor(backend.rounded_quotient(a.data, b.data, self.rounding))
        return g if self.needs_input_grad[0] else None, gb

    def branches(self, a: Array, b: Array) -> Array:
        return backend.astype(backend.rounded_quotient(a, b, self.rounding), "int64")

    def on_branches(self, branches: Array, a: Array, b: Array) -> Array:
        return backend.subtract(a, backend.multiply(backend.astype(branches, a.dtype), b))


def _rounded(name: str, towards: str, x: Tensor) -> Tensor:
    check_tensor(name, x)
    if x.dtype.kind in "iu":
        return x.clone()
    check_floating(name, x)
    check_real(name, x)
    return Round(towards)(x)


@refuses_out
@method("floor")
def floor(input: Tensor) -> Tensor:
    """The largest whole number not above x (torch.floor). The gradient is 0, here and in the functions below."""
    return _rounded("floor", "floor", input)


@refuses_out
@method("ceil")
def ceil(input: Tensor) -> Tensor:
    """The smallest whole number not below x (torch.ceil)."""
    return _rounded("ceil", "ceil", input)


@refuses_out
@method("trunc")
def trunc(input: Tensor) -> Tensor:
    """x without its fraction (torch.trunc)."""
    return _rounded("trunc", "trunc", input)


@refuses_out
@method("round")
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """The nearest number with so many decimals, of two the even one (torch.round); decimals may be negative."""
    decimals = integer("round", "decimals", decimals)
    if not decimals:
        return _rounded("round", "even", input)
    check_floating("round", input)
    scale = 10.0 ** (decimals if decimals > 0 else -decimals)
    if decimals > 0:
        return _rounded("round", "even", input * scale) / scale
    return _rounded("round", "even", input / scale) * scale


@refuses_out
@method("sign")
def sign(input: Tensor) -> Tensor:
    """−1, 0 or 1 (torch.sign)."""
    check_tensor("sign", input)
    check_real("sign", input)
    return Sign()(input)


@method("angle")
def angle(input: Tensor) -> Tensor:
    """The argument of each number, in [−π, π] (torch.angle); of a real one π or 0, with gradient 0."""
    check_floating("angle", input)
    if not is_complex(input):
        return Angle()(input)
    return Tensor(backend.as_array(backend.array_module(input.data).angle(input.data), input.data))


def _integers_by_zero(name: str, a: Tensor, b: Tensor) -> None:
    if a.dtype.kind not in "iu":
        return
    modes.note_read(b)
    if bool((b.data == 0).any()):
        raise ZeroDivisionError(f"{name}: an integer is divided by 0")


def _pair(name: str, x: Operand, y: Operand) -> tuple[Tensor, Tensor]:
    """Both operands, of one dtype and one shape. Raises as `binary` does, and for booleans."""
    a, b = same_kind(x, y)
    check_real(name, a)
    if a.dtype.kind == "b":
        raise DtypeError(f"{name}: is not defined for booleans; convert them with .astype(np.int64)")
    shape = check_broadcast(name, a, b)
    _integers_by_zero(name, a, b)
    a, b = (each if each.shape == shape else BroadcastTo(shape)(each) for each in (a, b))
    return a, b


def rounded_quotient(input: Operand, other: Operand, rounding_mode: str, name: str = "divide") -> Tensor:
    """input / other, rounded towards 0 ("trunc") or −∞ ("floor"). Raises ValueError for other modes."""
    if rounding_mode not in MODES:
        raise ValueError(f"{name}: rounding_mode {rounding_mode!r} must be None, 'trunc' or 'floor'")
    return Quotient(rounding_mode)(*_pair(name, input, other))


@refuses_out
@method("floor_divide")
def floor_divide(input: Operand, other: Operand) -> Tensor:
    """⌊input / other⌋ (torch.floor_divide). Raises ZeroDivisionError for integers divided by 0."""
    return rounded_quotient(input, other, "floor", "floor_divide")


@refuses_out
@method("remainder")
def remainder(input: Operand, other: Operand) -> Tensor:
    """input − ⌊input/other⌋ · other, which has the sign of other, as Python's % (torch.remainder)."""
    return Remainder("floor")(*_pair("remainder", input, other))


@refuses_out
@method("fmod")
def fmod(input: Operand, other: Operand) -> Tensor:
    """input − trunc(input/other) · other, which has the sign of input, as C's fmod (torch.fmod)."""
    return Remainder("trunc")(*_pair("fmod", input, other))
