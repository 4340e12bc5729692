"""The operators and methods of Tensor, declared so that readers and type checkers see `x + y` and `x.relu()`.

Each looks up its function in `METHODS`. The modules of `minires.ops` and `minires.core.autograd` register theirs with
`@method(name)`, so that nothing here imports a particular operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from minires.core.numpy_functions import ArrayUfunc, numpy_names

if TYPE_CHECKING:
    from minires.core.tensor import Tensor

Scalar = bool | int | float | complex
Operand = Union["Tensor", Scalar, np.ndarray]
Dim = int | Sequence[int] | None

METHODS: dict[str, Callable[..., Any]] = {}  # name -> the function of Tensors that computes it


def method(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: registers the function that `Tensor` calls for the operation `name`."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        METHODS[name] = function
        return function

    return register


class Operators:
    """The part of `Tensor` that applies operations, kept apart so that tensor.py shows what a Tensor is."""

    if TYPE_CHECKING:  # Tensor has them
        shape: Any
        dtype: Any
        ndim: Any

        def item(self) -> Any: ...
        def numel(self) -> int: ...

    __slots__ = ()
    __array_priority__ = 1000  # makes `numpy_array + tensor` call Tensor.__radd__
    __array_ufunc__ = ArrayUfunc()

    # -- operators ----------------------------------------------------------------------------------------------------

    def __add__(self, other: Operand) -> Tensor:
        return METHODS["add"](self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return METHODS["add"](other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return METHODS["subtract"](self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return METHODS["subtract"](other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return METHODS["multiply"](self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return METHODS["multiply"](other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return METHODS["divide"](self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return METHODS["divide"](other, self)

    def __pow__(self, other: Operand) -> Tensor:
        return METHODS["power"](self, other)

    def __rpow__(self, other: Operand) -> Tensor:
        return METHODS["power"](other, self)

    def __matmul__(self, other: Operand) -> Tensor:
        return METHODS["matmul"](self, other)

    def __rmatmul__(self, other: Operand) -> Tensor:
        return METHODS["matmul"](other, self)

    def __neg__(self) -> Tensor:
        return METHODS["negative"](self)

    def __abs__(self) -> Tensor:
        return METHODS["absolute"](self)

    def __getitem__(self, key: Any) -> Tensor:
        return METHODS["index"](self, key)

    def __lt__(self, other: Operand) -> Tensor:
        return METHODS["compare"](self, other, "<")

    def __le__(self, other: Operand) -> Tensor:
        return METHODS["compare"](self, other, "<=")

    def __gt__(self, other: Operand) -> Tensor:
        return METHODS["compare"](self, other, ">")

    def __ge__(self, other: Operand) -> Tensor:
        return METHODS["compare"](self, other, ">=")

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]  # elementwise, as arrays compare
        return METHODS["compare"](self, other, "==")

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return METHODS["compare"](self, other, "!=")

    __hash__ = object.__hash__

    # -- what Python asks of numbers and containers -------------------------------------------------------------------

    def __format__(self, form: str) -> str:
        """f"{loss:.4f}" of a tensor () formats its number, as in torch."""
        return format(self.item(), form) if form and not self.ndim else super().__format__(form)

    def __index__(self) -> int:
        """The only element, an integer, as in `x[t:]` and `range(t)`. Raises TypeError for other tensors."""
        if self.dtype.kind not in "biu" or self.numel() != 1:
            raise TypeError(f"only an integer tensor of one element is an index, not {self.dtype} {self.shape}")
        return int(self.item())

    def __contains__(self, value: Any) -> bool:
        """Whether some element equals `value`, as in torch. Raises TypeError for what is no number."""
        found = METHODS["compare"](self, value, "==")
        if found is NotImplemented:
            raise TypeError(f"a Tensor contains numbers: {type(value).__name__} is none")
        return bool(found.numpy().any())

    # -- copies -------------------------------------------------------------------------------------------------------

    def __copy__(self) -> Tensor:
        """A leaf with the same array."""
        return METHODS["copy"](self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        """A leaf with a copied array, and with copies of `.grad` and of hooks. Raises GraphError for a result."""
        return METHODS["deepcopy"](self, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """For pickle. Raises GraphError for a result."""
        return METHODS["reduce"](self)

    # -- methods ------------------------------------------------------------------------------------------------------

    def clone(self) -> Tensor:
        """A copy that passes gradients on (torch.Tensor.clone)."""
        return METHODS["clone"](self)

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
        """The argument of each complex number, in radians (torch.Tensor.angle)."""
        return METHODS["angle"](self)

    def clip(self, min: Scalar | None = None, max: Scalar | None = None) -> Tensor:
        """Each element limited to [min, max]; the gradient passes on the closed interval (torch.clamp)."""
        return METHODS["clip"](self, min, max)

    clamp = clip

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
    def softmax(self, dim: int) -> Tensor:
        """eˣ / Σ eˣ along `dim`."""
        return METHODS["softmax"](self, dim)

    @numpy_names
    def log_softmax(self, dim: int) -> Tensor:
        """x − ln Σ eˣ along `dim`."""
        return METHODS["log_softmax"](self, dim)

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

    def to(self, device: Any = None, dtype: Any = None) -> Tensor:
        """A copy on another device, in another dtype or both: `to("cuda")`, `to(np.float64)`. Gradients travel back."""
        return METHODS["to"](self, device, dtype)

    def astype(self, dtype: Any) -> Tensor:
        """The tensor in another dtype."""
        return METHODS["astype"](self, dtype)


def tuple_of(arguments: tuple[Any, ...]) -> tuple[int, ...]:
    """The integers of a call `f(2, 3)`, or of `f((2, 3))`, which means the same."""
    is_packed = len(arguments) == 1 and isinstance(arguments[0], Iterable)
    return tuple(arguments[0]) if is_packed else arguments
