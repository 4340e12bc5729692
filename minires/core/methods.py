"""The methods of Tensor that apply operations, declared so that readers and type checkers see `x.relu()`.

As the operators (`operators.py`), each looks up its function in `METHODS`, where the modules of `minires.ops` register
theirs. A method has the name, the arguments and their order of torch's, and one line that says what it computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minires.core.absent import AbsentMethods
from minires.core.conversions import Conversions
from minires.core.facts import Facts
from minires.core.interchange import Interchange
from minires.core.numpy_functions import numpy_names
from minires.core.operators import METHODS, Dim, Operand, Scalar, tuple_of

if TYPE_CHECKING:
    from minires.core.tensor import Tensor


class Methods(Conversions, Facts, Interchange, AbsentMethods):
    """The part of `Tensor` that applies operations by name, kept apart so that tensor.py shows what a Tensor is."""

    if TYPE_CHECKING:  # Tensor has it
        ndim: Any

    __slots__ = ()

    def clone(self, *, memory_format: Any = None) -> Tensor:
        """A copy that passes gradients on (torch.Tensor.clone). memory_format is as in `to`."""
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
    def sum(self, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        """The sum over `dim`, by default over all axes; with `dtype`, of the elements converted to it."""
        return METHODS["sum"](self, dim, keepdim, dtype=dtype)

    @numpy_names
    def mean(self, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        """The mean over `dim`, by default over all axes; with `dtype`, of the elements converted to it."""
        return METHODS["mean"](self, dim, keepdim, dtype=dtype)

    @numpy_names
    def var(
        self,
        dim: Dim | bool = None,
        unbiased: bool | None = None,
        keepdim: bool = False,
        *,
        correction: float | None = None,
    ) -> Tensor:
        """The variance over `dim`, divided by n − correction and so unbiased by default (torch.var)."""
        return METHODS["var"](self, dim, unbiased, keepdim, correction=correction)

    @numpy_names
    def max(self, dim: int | Tensor | None = None, keepdim: bool = False) -> Any:
        """The largest element; with `dim`, a pair (values, indices) along that axis (torch.max)."""
        return METHODS["max"](self, dim, keepdim)

    @numpy_names
    def amax(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """The largest elements over `dim`; ties share the gradient equally (torch.amax)."""
        return METHODS["amax"](self, dim, keepdim)

    @numpy_names
    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The index of the first largest element, in the flattened tensor or along `dim`."""
        return METHODS["argmax"](self, dim, keepdim)

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

    def reshape(self, *numbers: Any, shape: Any = None) -> Tensor:
        """The same elements in another shape; one length may be −1 (torch.reshape)."""
        return METHODS["reshape"](self, tuple_of(numbers, shape))

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """The axes start_dim … end_dim joined into one (torch.flatten)."""
        return METHODS["flatten"](self, start_dim, end_dim)

    def permute(self, *numbers: Any, dims: Any = None) -> Tensor:
        """The axes in another order (torch.permute)."""
        return METHODS["permute"](self, tuple_of(numbers, dims))

    @property
    def T(self) -> Tensor:
        """The tensor with its axes in reverse order (torch.Tensor.T)."""
        return METHODS["permute"](self, tuple(reversed(range(self.ndim))))

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two axes exchanged (torch.transpose)."""
        return METHODS["transpose"](self, dim0, dim1)

    def flip(self, *numbers: Any, dims: Any = None) -> Tensor:
        """The elements in reverse order along `dims` (torch.flip)."""
        return METHODS["flip"](self, tuple_of(numbers, dims))

    @numpy_names
    def squeeze(self, dim: Dim = None) -> Tensor:
        """The tensor without its axes of length 1, or without `dim` if that has length 1 (torch.squeeze)."""
        return METHODS["squeeze"](self, dim)

    @numpy_names
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

    def matmul(self, other: Operand) -> Tensor:
        """x @ other (torch.matmul)."""
        return METHODS["matmul"](self, other)

    def nonzero(self, *, as_tuple: bool = False) -> Any:
        """The indices of what is not 0, (count, axes), or as_tuple one Tensor for each axis (torch.nonzero)."""
        return METHODS["nonzero"](self, as_tuple=as_tuple)

    def argwhere(self) -> Tensor:
        """The indices of what is not 0, (count, axes) (torch.argwhere)."""
        return METHODS["argwhere"](self)

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

    def unfold(self, dimension: int, size: int, step: int) -> Tensor:
        """The stretches of length `size` along one axis, `step` apart, as a new last axis (torch.Tensor.unfold)."""
        return METHODS["unfold"](self, dimension, size, step)

    # -- sequences: parts, order, sums and products --------------------------------------------------------------------

    @numpy_names
    def narrow(self, dim: int, start: int | Tensor, length: int) -> Tensor:
        """The entries start … start + length − 1 along `dim` (torch.Tensor.narrow)."""
        return METHODS["narrow"](self, dim, start, length)

    @numpy_names
    def select(self, dim: int, index: int) -> Tensor:
        """The entry `index` along `dim`, without that axis (torch.Tensor.select)."""
        return METHODS["select"](self, dim, index)

    @numpy_names
    def split(self, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
        """Parts along `dim`, of that length each or of these lengths (torch.Tensor.split)."""
        return METHODS["split"](self, split_size, dim)

    @numpy_names
    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """At most `chunks` parts along `dim` (torch.Tensor.chunk)."""
        return METHODS["chunk"](self, chunks, dim)

    @numpy_names
    def tensor_split(self, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
        """So many parts along `dim`, or parts that end at these indices (torch.Tensor.tensor_split)."""
        return METHODS["tensor_split"](self, indices_or_sections, dim)

    @numpy_names
    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """The entries along `dim`, each without that axis (torch.Tensor.unbind)."""
        return METHODS["unbind"](self, dim)

    def diagonal(self, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        """The elements x[…, i, …, i + offset, …] at two axes, as the last axis (torch.Tensor.diagonal)."""
        return METHODS["diagonal"](self, offset, dim1, dim2)

    def diag(self, diagonal: int = 0) -> Tensor:
        """The matrix with this vector on a diagonal, or a diagonal of this matrix (torch.Tensor.diag)."""
        return METHODS["diag"](self, diagonal)

    def diag_embed(self, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
        """Matrices whose diagonals are the last axis (torch.Tensor.diag_embed)."""
        return METHODS["diag_embed"](self, offset, dim1, dim2)

    def trace(self) -> Tensor:
        """The sum of a matrix's diagonal (torch.Tensor.trace)."""
        return METHODS["trace"](self)

    def tril(self, diagonal: int = 0) -> Tensor:
        """The lower triangle of each matrix, and 0 above (torch.Tensor.tril)."""
        return METHODS["tril"](self, diagonal)

    def triu(self, diagonal: int = 0) -> Tensor:
        """The upper triangle of each matrix, and 0 below (torch.Tensor.triu)."""
        return METHODS["triu"](self, diagonal)

    def movedim(self, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
        """The axes `source` moved to the places `destination` (torch.Tensor.movedim)."""
        return METHODS["movedim"](self, source, destination)

    def moveaxis(self, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
        """The axes `source` moved to the places `destination` (torch.Tensor.moveaxis)."""
        return METHODS["movedim"](self, source, destination)

    def swapaxes(self, axis0: int, axis1: int) -> Tensor:
        """Two axes exchanged (torch.Tensor.swapaxes)."""
        return METHODS["swapaxes"](self, axis0, axis1)

    def swapdims(self, dim0: int, dim1: int) -> Tensor:
        """Two axes exchanged (torch.Tensor.swapdims)."""
        return METHODS["swapdims"](self, dim0, dim1)

    def t(self) -> Tensor:
        """The matrix transposed (torch.Tensor.t)."""
        return METHODS["t"](self)

    @numpy_names
    def unflatten(self, dim: int, sizes: Sequence[int]) -> Tensor:
        """The axis `dim` as several axes of these lengths (torch.Tensor.unflatten)."""
        return METHODS["unflatten"](self, dim, sizes)

    def ravel(self) -> Tensor:
        """The elements in row-major order, on one axis (torch.Tensor.ravel)."""
        return METHODS["ravel"](self)

    def reshape_as(self, other: Tensor) -> Tensor:
        """The elements in the shape of `other` (torch.Tensor.reshape_as)."""
        return METHODS["reshape_as"](self, other)

    def expand_as(self, other: Tensor) -> Tensor:
        """Repeated to the shape of `other` (torch.Tensor.expand_as)."""
        return METHODS["expand_as"](self, other)

    def repeat(self, *numbers: Any, repeats: Any = None) -> Tensor:
        """The tensor repeats[k] times along axis k (torch.Tensor.repeat)."""
        return METHODS["repeat"](self, tuple_of(numbers, repeats))

    def tile(self, *numbers: Any, dims: Any = None) -> Tensor:
        """`repeat`, where missing numbers of repeats are 1 (torch.Tensor.tile)."""
        return METHODS["tile"](self, tuple_of(numbers, dims))

    @numpy_names
    def repeat_interleave(
        self, repeats: int | Tensor, dim: int | None = None, *, output_size: int | None = None
    ) -> Tensor:
        """Each entry several times, one after another (torch.Tensor.repeat_interleave)."""
        return METHODS["repeat_interleave"](self, repeats, dim, output_size=output_size)

    def roll(self, shifts: int | Sequence[int], dims: Dim = None) -> Tensor:
        """Moved on by `shifts`; what leaves at the end enters at the beginning (torch.Tensor.roll)."""
        return METHODS["roll"](self, shifts, dims)

    @numpy_names
    def scatter(
        self, dim: int, index: Tensor, src: Any = None, *, value: Scalar | None = None, reduce: str | None = None
    ) -> Tensor:
        """A copy with y[…, index[…, i, …], …] = src[…, i, …] along `dim` (torch.Tensor.scatter)."""
        return METHODS["scatter"](self, dim, index, src, value=value, reduce=reduce)

    @numpy_names
    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The entries along `dim` that `index` names (torch.Tensor.index_select)."""
        return METHODS["index_select"](self, dim, index)

    @numpy_names
    def index_add(self, dim: int, index: Tensor, source: Tensor, *, alpha: Scalar = 1) -> Tensor:
        """A copy with y[…, index[i], …] += alpha · source[…, i, …] along `dim` (torch.Tensor.index_add)."""
        return METHODS["index_add"](self, dim, index, source, alpha=alpha)

    @numpy_names
    def take_along_dim(self, indices: Tensor, dim: int | None = None) -> Tensor:
        """`gather`, where indices broadcast (torch.Tensor.take_along_dim)."""
        return METHODS["take_along_dim"](self, indices, dim)

    def masked_select(self, mask: Tensor) -> Tensor:
        """The elements where `mask` holds, as a vector (torch.Tensor.masked_select)."""
        return METHODS["masked_select"](self, mask)

    def masked_scatter(self, mask: Tensor, source: Tensor) -> Tensor:
        """A copy whose elements where `mask` holds come from `source` (torch.Tensor.masked_scatter)."""
        return METHODS["masked_scatter"](self, mask, source)

    def nan_to_num(self, nan: float | None = None, posinf: float | None = None, neginf: float | None = None) -> Tensor:
        """Other numbers for NaN and ±∞ (torch.Tensor.nan_to_num)."""
        return METHODS["nan_to_num"](self, nan, posinf, neginf)

    @numpy_names
    def scatter_(
        self, dim: int, index: Tensor, src: Any = None, *, value: Scalar | None = None, reduce: str | None = None
    ) -> Tensor:
        """x ← scatter of x (torch.Tensor.scatter_)."""
        return METHODS["scatter_"](self, dim, index, src, value=value, reduce=reduce)

    @numpy_names
    def scatter_add_(self, dim: int, index: Tensor, src: Tensor) -> Tensor:
        """x ← scatter_add of x (torch.Tensor.scatter_add_)."""
        return METHODS["scatter_add_"](self, dim, index, src)

    @numpy_names
    def index_add_(self, dim: int, index: Tensor, source: Tensor, *, alpha: Scalar = 1) -> Tensor:
        """x ← index_add of x (torch.Tensor.index_add_)."""
        return METHODS["index_add_"](self, dim, index, source, alpha=alpha)

    def masked_scatter_(self, mask: Tensor, source: Tensor) -> Tensor:
        """x ← masked_scatter of x (torch.Tensor.masked_scatter_)."""
        return METHODS["masked_scatter_"](self, mask, source)

    @numpy_names
    def sort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
        """A pair (values, indices): in order along `dim` (torch.Tensor.sort)."""
        return METHODS["sort"](self, dim, descending, stable)

    @numpy_names
    def argsort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
        """The indices that put the tensor in order along `dim` (torch.Tensor.argsort)."""
        return METHODS["argsort"](self, dim, descending, stable)

    @numpy_names
    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
        """A pair (values, indices): the k largest or smallest along `dim` (torch.Tensor.topk)."""
        return METHODS["topk"](self, k, dim, largest, sorted)

    @numpy_names
    def kthvalue(self, k: int, dim: int = -1, keepdim: bool = False) -> Any:
        """A pair (values, indices): the k-th smallest along `dim` (torch.Tensor.kthvalue)."""
        return METHODS["kthvalue"](self, k, dim, keepdim)

    @numpy_names
    def median(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The median; with `dim`, a pair (values, indices) (torch.Tensor.median)."""
        return METHODS["median"](self, dim, keepdim)

    @numpy_names
    def min(self, dim: int | Tensor | None = None, keepdim: bool = False) -> Any:
        """The smallest element; with `dim`, a pair (values, indices) (torch.Tensor.min)."""
        return METHODS["min"](self, dim, keepdim)

    @numpy_names
    def amin(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """The smallest elements over `dim`; ties share the gradient equally (torch.Tensor.amin)."""
        return METHODS["amin"](self, dim, keepdim)

    @numpy_names
    def aminmax(self, *, dim: int | None = None, keepdim: bool = False) -> Any:
        """The pair (amin, amax) (torch.Tensor.aminmax)."""
        return METHODS["aminmax"](self, dim=dim, keepdim=keepdim)

    @numpy_names
    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """The index of the first smallest element (torch.Tensor.argmin)."""
        return METHODS["argmin"](self, dim, keepdim)

    @numpy_names
    def std(
        self,
        dim: Dim | bool = None,
        unbiased: bool | None = None,
        keepdim: bool = False,
        *,
        correction: float | None = None,
    ) -> Tensor:
        """The standard deviation over `dim`; its arguments are those of `var` (torch.Tensor.std)."""
        return METHODS["std"](self, dim, unbiased, keepdim, correction=correction)

    @numpy_names
    def all(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """Whether no element over `dim` is 0 (torch.Tensor.all)."""
        return METHODS["all"](self, dim, keepdim)

    @numpy_names
    def any(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """Whether some element over `dim` is not 0 (torch.Tensor.any)."""
        return METHODS["any"](self, dim, keepdim)

    @numpy_names
    def count_nonzero(self, dim: Dim = None) -> Tensor:
        """How many elements over `dim` are not 0 (torch.Tensor.count_nonzero)."""
        return METHODS["count_nonzero"](self, dim)

    @numpy_names
    def norm(self, p: float | str | None = "fro", dim: Dim = None, keepdim: bool = False, dtype: Any = None) -> Tensor:
        """(Σ |x|ᵖ)^(1/p) over `dim` (torch.Tensor.norm)."""
        return METHODS["norm"](self, p, dim, keepdim, dtype=dtype)

    @numpy_names
    def prod(self, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        """The product over `dim`, by default of all elements (torch.Tensor.prod)."""
        return METHODS["prod"](self, dim, keepdim, dtype=dtype)

    @numpy_names
    def cumsum(self, dim: int, *, dtype: Any = None) -> Tensor:
        """The sums of the elements up to each one along `dim` (torch.Tensor.cumsum)."""
        return METHODS["cumsum"](self, dim, dtype=dtype)

    @numpy_names
    def cumprod(self, dim: int, *, dtype: Any = None) -> Tensor:
        """The products of the elements up to each one along `dim` (torch.Tensor.cumprod)."""
        return METHODS["cumprod"](self, dim, dtype=dtype)

    @numpy_names
    def logcumsumexp(self, dim: int) -> Tensor:
        """ln of the sums of eˣ up to each element along `dim` (torch.Tensor.logcumsumexp)."""
        return METHODS["logcumsumexp"](self, dim)

    def logaddexp(self, other: Tensor) -> Tensor:
        """ln(eˣ + eʸ), without overflow (torch.Tensor.logaddexp)."""
        return METHODS["logaddexp"](self, other)

    def mm(self, mat2: Tensor) -> Tensor:
        """The product of two matrices (torch.Tensor.mm)."""
        return METHODS["mm"](self, mat2)

    def bmm(self, mat2: Tensor) -> Tensor:
        """The products of matrices (b, n, k) and (b, k, m) (torch.Tensor.bmm)."""
        return METHODS["bmm"](self, mat2)

    def mv(self, vec: Tensor) -> Tensor:
        """The product of a matrix and a vector (torch.Tensor.mv)."""
        return METHODS["mv"](self, vec)

    def dot(self, tensor: Tensor) -> Tensor:
        """The inner product of two vectors (torch.Tensor.dot)."""
        return METHODS["dot"](self, tensor)

    def inner(self, other: Tensor) -> Tensor:
        """The sums of products over the last axes (torch.Tensor.inner)."""
        return METHODS["inner"](self, other)

    def outer(self, vec2: Tensor) -> Tensor:
        """All products xᵢ yⱼ of two vectors (torch.Tensor.outer)."""
        return METHODS["outer"](self, vec2)

    def addmm(self, mat1: Tensor, mat2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
        """beta · x + alpha · (mat1 mat2) (torch.Tensor.addmm)."""
        return METHODS["addmm"](self, mat1, mat2, beta=beta, alpha=alpha)

    def addmv(self, mat: Tensor, vec: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
        """beta · x + alpha · (mat vec) (torch.Tensor.addmv)."""
        return METHODS["addmv"](self, mat, vec, beta=beta, alpha=alpha)

    def baddbmm(self, batch1: Tensor, batch2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
        """beta · x + alpha · (batch1 batch2) (torch.Tensor.baddbmm)."""
        return METHODS["baddbmm"](self, batch1, batch2, beta=beta, alpha=alpha)

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged (torch.Tensor.mT)."""
        return METHODS["mT"](self)

    def view_as(self, other: Tensor) -> Tensor:
        """The elements in the shape of `other` (torch.Tensor.view_as)."""
        return METHODS["reshape_as"](self, other)
