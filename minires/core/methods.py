"""The methods of Tensor that apply operations, declared so that readers and type checkers see `x.relu()`.

As the operators (`operators.py`), each looks up its function in `METHODS`, where the modules of `minires.ops` register
theirs. A method has the name, the arguments and their order of torch's, and one line that says what it computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minires.core.numpy_functions import numpy_names
from minires.core.operators import METHODS, Dim, Scalar, tuple_of

if TYPE_CHECKING:
    from minires.core.tensor import Tensor


class Methods:
    """The part of `Tensor` that applies operations by name, kept apart so that tensor.py shows what a Tensor is."""

    if TYPE_CHECKING:  # Tensor has it
        ndim: Any

    __slots__ = ()

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

    def unfold(self, dimension: int, size: int, step: int) -> Tensor:
        """The stretches of length `size` along one axis, `step` apart, as a new last axis (torch.Tensor.unfold)."""
        return METHODS["unfold"](self, dimension, size, step)

    def to(self, device: Any = None, dtype: Any = None) -> Tensor:
        """A copy on another device, in another dtype or both: `to("cuda")`, `to(np.float64)`. Gradients travel back."""
        return METHODS["to"](self, device, dtype)

    def astype(self, dtype: Any) -> Tensor:
        """The tensor in another dtype."""
        return METHODS["astype"](self, dtype)
