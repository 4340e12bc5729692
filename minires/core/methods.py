"""The methods of Tensor that apply operations, declared so that readers and type checkers see `x.relu()`.

As the operators (`operators.py`), each looks up its function in `METHODS`, where the modules of `minires.ops` register
theirs. A method has the name, the arguments and their order of torch's, and one line that says what it computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minires.core.absent import AbsentMethods
from minires.core.conversions import Conversions
from minires.core.facts import Facts
from minires.core.numpy_functions import numpy_names
from minires.core.operators import METHODS, Dim, Operand, Scalar, tuple_of

if TYPE_CHECKING:
    from minires.core.tensor import Tensor


class Methods(Conversions, Facts, AbsentMethods):
    """The part of `Tensor` that applies operations by name, kept apart so that tensor.py shows what a Tensor is."""

    if TYPE_CHECKING:  # Tensor has it
        ndim: Any

    __slots__ = ()

    def clone(self, *, memory_format: Any = None) -> Tensor:
        """A copy that passes gradients on (torch.Tensor.clone). Raises TypeError for a memory_format."""
        return METHODS["clone"](self, memory_format)

    def exp(self) -> Tensor:
        """eˣ of each element."""
        return METHODS["exp"](self)

    def log(self) -> Tensor:
        """Natural logarithm of each element."""
        return METHODS["log"](self)

    def sqrt(self) -> Tensor:
        """Square root of each element."""
        return METHODS["sqrt"](self)

    def tanh(self) -> Tensor:
        """Hyperbolic tangent of each element."""
        return METHODS["tanh"](self)

    def sigmoid(self) -> Tensor:
        """1 / (1 + e⁻ˣ) of each element."""
        return METHODS["sigmoid"](self)

    def relu(self) -> Tensor:
        """max(x, 0) of each element."""
        return METHODS["relu"](self)

    def abs(self) -> Tensor:
        """|x| of each element, of complex numbers the modulus; the derivative at 0 is 0."""
        return METHODS["absolute"](self)

    @property
    def real(self) -> Tensor:
        """The real part of each number; of a real tensor, the tensor itself (torch.Tensor.real)."""
        return METHODS["real"](self)

    @property
    def imag(self) -> Tensor:
        """The imaginary part of each complex number (torch.Tensor.imag)."""
        return METHODS["imag"](self)

    def conj(self) -> Tensor:
        """The complex conjugate of each number; of a real tensor, the tensor itself (torch.Tensor.conj)."""
        return METHODS["conj"](self)

    def angle(self) -> Tensor:
        """The argument of each number, in radians; of a real one 0 or π (torch.Tensor.angle)."""
        return METHODS["angle"](self)

    def clip(self, min: Operand | None = None, max: Operand | None = None) -> Tensor:
        """Each element limited to [min, max]; the gradient passes on the closed interval (torch.clamp)."""
        return METHODS["clip"](self, min, max)

    clamp = clip

    def add(self, other: Operand, *, alpha: Scalar = 1) -> Tensor:
        """x + alpha · other (torch.add)."""
        return METHODS["add"](self, other, alpha=alpha)

    def sub(self, other: Operand, *, alpha: Scalar = 1) -> Tensor:
        """x − alpha · other (torch.sub)."""
        return METHODS["subtract"](self, other, alpha=alpha)

    def mul(self, other: Operand) -> Tensor:
        """x · other (torch.mul)."""
        return METHODS["multiply"](self, other)

    def div(self, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
        """x / other, rounded by "trunc" or "floor" if asked for (torch.div)."""
        return METHODS["divide"](self, other, rounding_mode=rounding_mode)

    def true_divide(self, other: Operand) -> Tensor:
        """x / other (torch.true_divide)."""
        return METHODS["divide"](self, other)

    def pow(self, exponent: Operand) -> Tensor:
        """x to the power exponent (torch.pow)."""
        return METHODS["power"](self, exponent)

    def neg(self) -> Tensor:
        """−x of each element (torch.neg)."""
        return METHODS["negative"](self)

    subtract, multiply, divide, negative = sub, mul, div, neg

    def absolute(self) -> Tensor:
        """|x| of each element (torch.absolute)."""
        return METHODS["absolute"](self)

    def square(self) -> Tensor:
        """x² of each element."""
        return METHODS["square"](self)

    def reciprocal(self) -> Tensor:
        """1/x of each element."""
        return METHODS["reciprocal"](self)

    def rsqrt(self) -> Tensor:
        """1/√x of each element."""
        return METHODS["rsqrt"](self)

    def expm1(self) -> Tensor:
        """eˣ − 1 of each element, accurate where x is small."""
        return METHODS["expm1"](self)

    def log1p(self) -> Tensor:
        """ln(1 + x) of each element, accurate where x is small."""
        return METHODS["log1p"](self)

    def log2(self) -> Tensor:
        """Logarithm to the base 2 of each element."""
        return METHODS["log2"](self)

    def log10(self) -> Tensor:
        """Logarithm to the base 10 of each element."""
        return METHODS["log10"](self)

    def erf(self) -> Tensor:
        """The error function 2/√π ∫₀ˣ exp(−t²) dt of each element."""
        return METHODS["erf"](self)

    def sin(self) -> Tensor:
        """Sine of each element, in radians."""
        return METHODS["sin"](self)

    def cos(self) -> Tensor:
        """Cosine of each element, in radians."""
        return METHODS["cos"](self)

    def tan(self) -> Tensor:
        """Tangent of each element, in radians."""
        return METHODS["tan"](self)

    def sinh(self) -> Tensor:
        """Hyperbolic sine of each element."""
        return METHODS["sinh"](self)

    def cosh(self) -> Tensor:
        """Hyperbolic cosine of each element."""
        return METHODS["cosh"](self)

    def asin(self) -> Tensor:
        """The angle whose sine each element is."""
        return METHODS["asin"](self)

    def acos(self) -> Tensor:
        """The angle whose cosine each element is."""
        return METHODS["acos"](self)

    def atan(self) -> Tensor:
        """The angle whose tangent each element is."""
        return METHODS["atan"](self)

    def floor(self) -> Tensor:
        """The largest whole numbers not above the elements; the gradient is 0."""
        return METHODS["floor"](self)

    def ceil(self) -> Tensor:
        """The smallest whole numbers not below the elements; the gradient is 0."""
        return METHODS["ceil"](self)

    def trunc(self) -> Tensor:
        """The elements without their fractions; the gradient is 0."""
        return METHODS["trunc"](self)

    def sign(self) -> Tensor:
        """−1, 0 or 1 for each element; the gradient is 0."""
        return METHODS["sign"](self)

    def logical_not(self) -> Tensor:
        """Whether each element is 0."""
        return METHODS["logical_not"](self)

    def isnan(self) -> Tensor:
        """Whether each element is NaN."""
        return METHODS["isnan"](self)

    def isinf(self) -> Tensor:
        """Whether each element is ∞ or −∞."""
        return METHODS["isinf"](self)

    def isfinite(self) -> Tensor:
        """Whether each element is neither infinite nor NaN."""
        return METHODS["isfinite"](self)

    def round(self, *, decimals: int = 0) -> Tensor:
        """The nearest number with so many decimals, of two the even one; the gradient is 0 (torch.round)."""
        return METHODS["round"](self, decimals=decimals)

    def maximum(self, other: Operand) -> Tensor:
        """The larger of two elements; equal ones share the gradient (torch.maximum)."""
        return METHODS["maximum"](self, other)

    def minimum(self, other: Operand) -> Tensor:
        """The smaller of two elements; equal ones share the gradient (torch.minimum)."""
        return METHODS["minimum"](self, other)

    def floor_divide(self, other: Operand) -> Tensor:
        """⌊x / other⌋ (torch.floor_divide)."""
        return METHODS["floor_divide"](self, other)

    def remainder(self, other: Operand) -> Tensor:
        """x − ⌊x/other⌋ · other, with the sign of other (torch.remainder)."""
        return METHODS["remainder"](self, other)

    def fmod(self, other: Operand) -> Tensor:
        """x − trunc(x/other) · other, with the sign of x (torch.fmod)."""
        return METHODS["fmod"](self, other)

    def atan2(self, other: Operand) -> Tensor:
        """The angle of the point whose y is x and whose x is other (torch.atan2)."""
        return METHODS["atan2"](self, other)

    def eq(self, other: Operand) -> Tensor:
        """Whether x = other, element by element."""
        return METHODS["eq"](self, other)

    def ne(self, other: Operand) -> Tensor:
        """Whether x ≠ other, element by element."""
        return METHODS["ne"](self, other)

    def lt(self, other: Operand) -> Tensor:
        """Whether x < other, element by element."""
        return METHODS["lt"](self, other)

    def le(self, other: Operand) -> Tensor:
        """Whether x ≤ other, element by element."""
        return METHODS["le"](self, other)

    def gt(self, other: Operand) -> Tensor:
        """Whether x > other, element by element."""
        return METHODS["gt"](self, other)

    def ge(self, other: Operand) -> Tensor:
        """Whether x ≥ other, element by element."""
        return METHODS["ge"](self, other)

    def logical_and(self, other: Operand) -> Tensor:
        """Whether both elements differ from 0."""
        return METHODS["logical_and"](self, other)

    def logical_or(self, other: Operand) -> Tensor:
        """Whether one element or both differ from 0."""
        return METHODS["logical_or"](self, other)

    def logical_xor(self, other: Operand) -> Tensor:
        """Whether exactly one element differs from 0."""
        return METHODS["logical_xor"](self, other)

    def lerp(self, end: Tensor, weight: Operand) -> Tensor:
        """x + weight · (end − x) (torch.lerp)."""
        return METHODS["lerp"](self, end, weight)

    def addcmul(self, tensor1: Operand, tensor2: Operand, *, value: Scalar = 1) -> Tensor:
        """x + value · tensor1 · tensor2 (torch.addcmul)."""
        return METHODS["addcmul"](self, tensor1, tensor2, value=value)

    def addcdiv(self, tensor1: Operand, tensor2: Operand, *, value: Scalar = 1) -> Tensor:
        """x + value · tensor1 / tensor2 (torch.addcdiv)."""
        return METHODS["addcdiv"](self, tensor1, tensor2, value=value)

    def masked_fill(self, mask: Tensor, value: Operand) -> Tensor:
        """value where mask holds, else x (torch.masked_fill)."""
        return METHODS["masked_fill"](self, mask, value)

    def where(self, condition: Tensor, other: Operand) -> Tensor:
        """x where condition holds, else other (torch.Tensor.where)."""
        return METHODS["where"](condition, self, other)

    def clamp_min(self, min: Operand) -> Tensor:
        """Each element, but at least min (torch.clamp_min)."""
        return METHODS["clamp_min"](self, min)

    def clamp_max(self, max: Operand) -> Tensor:
        """Each element, but at most max (torch.clamp_max)."""
        return METHODS["clamp_max"](self, max)

    def prelu(self, weight: Tensor) -> Tensor:
        """x where x > 0, else weight · x (torch.Tensor.prelu)."""
        return METHODS["prelu"](self, weight)

    @numpy_names
    def sum(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """The sum over `dim`, by default over all axes."""
        return METHODS["sum"](self, dim, keepdim)

    @numpy_names
    def mean(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """The mean over `dim`, by default over all axes."""
        return METHODS["mean"](self, dim, keepdim)

    @numpy_names
    def var(self, dim: Dim = None, correction: float = 1, keepdim: bool = False) -> Tensor:
        """The variance over `dim`, divided by n − correction and so unbiased by default (torch.var)."""
        return METHODS["var"](self, dim, correction, keepdim)

    @numpy_names
    def max(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The largest element; with `dim`, a pair (values, indices) along that axis (torch.max)."""
        return METHODS["max"](self, dim, keepdim)

    @numpy_names
    def amax(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """The largest elements over `dim`; ties share the gradient equally (torch.amax)."""
        return METHODS["amax"](self, dim, keepdim)

    @numpy_names
    def argmax(self, dim: int | None = None) -> Tensor:
        """The index of the first largest element, in the flattened tensor or along `dim`."""
        return METHODS["argmax"](self, dim)

    @numpy_names
    def logsumexp(self, dim: Dim, keepdim: bool = False) -> Tensor:
        """ln Σ eˣ over `dim`, without overflow (torch.logsumexp)."""
        return METHODS["logsumexp"](self, dim, keepdim)

    @numpy_names
    def softmax(self, dim: int, dtype: Any = None) -> Tensor:
        """eˣ / Σ eˣ along `dim`; with `dtype`, in that one (torch.softmax)."""
        return METHODS["softmax"](self, dim, dtype)

    @numpy_names
    def log_softmax(self, dim: int, dtype: Any = None) -> Tensor:
        """x − ln Σ eˣ along `dim`; with `dtype`, in that one (torch.log_softmax)."""
        return METHODS["log_softmax"](self, dim, dtype)

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape; one length may be −1 (torch.reshape)."""
        return METHODS["reshape"](self, tuple_of(shape))

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """The axes start_dim … end_dim joined into one (torch.flatten)."""
        return METHODS["flatten"](self, start_dim, end_dim)

    def permute(self, *dims: Any) -> Tensor:
        """The axes in another order (torch.permute)."""
        return METHODS["permute"](self, tuple_of(dims))

    @property
    def T(self) -> Tensor:
        """The tensor with its axes in reverse order (torch.Tensor.T)."""
        return METHODS["permute"](self, tuple(reversed(range(self.ndim))))

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two axes exchanged (torch.transpose)."""
        return METHODS["transpose"](self, dim0, dim1)

    def flip(self, *dims: Any) -> Tensor:
        """The elements in reverse order along `dims` (torch.flip)."""
        return METHODS["flip"](self, tuple_of(dims))

    def squeeze(self, dim: int | None = None) -> Tensor:
        """The tensor without its axes of length 1, or without `dim` if that has length 1 (torch.squeeze)."""
        return METHODS["squeeze"](self, dim)

    def unsqueeze(self, dim: int) -> Tensor:
        """The tensor with a new axis of length 1 at `dim` (torch.unsqueeze)."""
        return METHODS["unsqueeze"](self, dim)

    def expand(self, *shape: Any) -> Tensor:
        """The tensor repeated along its axes of length 1; −1 leaves an axis as it is (torch.Tensor.expand)."""
        return METHODS["expand"](self, tuple_of(shape))

    broadcast_to = expand

    def gather(self, dim: int, index: Tensor) -> Tensor:
        """y[…, i, …] = x[…, index[…, i, …], …] along `dim` (torch.gather)."""
        return METHODS["gather"](self, dim, index)

    def scatter_add(self, dim: int, index: Tensor, src: Tensor) -> Tensor:
        """A copy with y[…, index[…, i, …], …] += src[…, i, …] along `dim` (torch.scatter_add)."""
        return METHODS["scatter_add"](self, dim, index, src)

    # -- comparisons and bits -----------------------------------------------------------------------------------------

    def isclose(self, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Tensor:
        """|x − other| ≤ atol + rtol·|other| (torch.isclose)."""
        return METHODS["isclose"](self, other, rtol, atol, equal_nan)

    def allclose(self, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
        """Whether all elements are close, as `isclose` says (torch.allclose)."""
        return METHODS["allclose"](self, other, rtol, atol, equal_nan)

    def equal(self, other: Tensor) -> bool:
        """Whether both have the same shape and the same elements (torch.equal)."""
        return METHODS["equal"](self, other)

    def bitwise_and(self, other: Operand) -> Tensor:
        """x & other, of integers or bools."""
        return METHODS["bitwise_and"](self, other)

    def bitwise_or(self, other: Operand) -> Tensor:
        """x | other, of integers or bools."""
        return METHODS["bitwise_or"](self, other)

    def bitwise_xor(self, other: Operand) -> Tensor:
        """x ^ other, of integers or bools."""
        return METHODS["bitwise_xor"](self, other)

    def bitwise_not(self) -> Tensor:
        """~x, of integers or bools."""
        return METHODS["bitwise_not"](self)

    def bitwise_left_shift(self, other: Operand) -> Tensor:
        """x << other, of integers."""
        return METHODS["bitwise_left_shift"](self, other)

    def bitwise_right_shift(self, other: Operand) -> Tensor:
        """x >> other, of integers."""
        return METHODS["bitwise_right_shift"](self, other)
