"""Tensor: an array that knows which operation it came from.

Operators are declared here, so that type checkers and readers see `x + y`, and dispatched through `METHODS`, a
registry that `minires.ops` and `minires.core.autograd` fill: nothing on this floor imports a particular op.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Union
from weakref import ref

import numpy as np

from minires import backend
from minires.backend import Array
from minires.core import modes
from minires.core.readonly import is_locked
from minires.errors import DeviceError, DtypeError, GraphError, ShapeError

if TYPE_CHECKING:
    from minires.core.function import Function

Scalar = bool | int | float | complex
Operand = Union["Tensor", Scalar, np.ndarray]
Dim = int | Sequence[int] | None
Hook = Callable[["Tensor"], Union["Tensor", None]]

METHODS: dict[str, Callable[..., Any]] = {}  # name -> function of Tensors, filled by the floors above


def method(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: the function is what `Tensor` calls for the operation `name`."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        METHODS[name] = function
        return function

    return register


class MaxResult(NamedTuple):
    """What `Tensor.max(dim)` returns, as torch's does."""

    values: Tensor
    indices: Tensor


_hook_keys = itertools.count()  # never reused: a handle whose hook is gone must not take back a later one


class HookHandle:
    """Returned by `register_hook`; `remove()` takes the hook back."""

    def __init__(self, hooks: dict[int, Hook], hook: Hook) -> None:
        self._hooks, self._key = hooks, next(_hook_keys)
        hooks[self._key] = hook

    def remove(self) -> None:
        """Take the hook back; twice does no harm."""
        self._hooks.pop(self._key, None)


class Tensor:
    """An n-dimensional array in a graph of operations.

    `Tensor(array)` wraps a NumPy or CuPy array without copying, unless it is a writeable view of another;
    `minires.tensor(...)` always copies, which is what users want.

    Attributes:
        data: the array. An array that a live graph needs is read-only; so is one that is a view of another.
        grad: the accumulated gradient, a Tensor of the same shape, or None.
        requires_grad: whether operations on it are recorded.
        node: the Function that made it; None for a leaf.
        version: how often it was changed in place.
    """

    __slots__ = ("__weakref__", "_data", "_hooks", "_requires_grad", "grad", "node", "version")
    __array_priority__ = 1000  # numpy_array + tensor asks the tensor
    __array_ufunc__ = None

    def __init__(self, data: Array, requires_grad: bool = False) -> None:
        self.version = 0
        self._data = _protected(data)
        self.grad: Tensor | None = None
        self.node: Function | None = None
        self._requires_grad = False
        self._hooks: dict[int, Hook] | None = None
        if requires_grad:
            self.requires_grad_()

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def data(self) -> Array:
        """The array (N, C, H, W) or of any other shape."""
        if isinstance(self._data, _Metadata):
            raise GraphError(
                "backward reads an input whose array was not kept: name its index in the op's `saved_inputs`"
            )
        return self._data

    @data.setter
    def data(self, array: Array) -> None:
        self._data = _protected(array)
        self.version += 1

    @property
    def requires_grad(self) -> bool:
        """Whether operations on it are recorded. Setting it is `requires_grad_`."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        self.requires_grad_(requires_grad)

    shape = property(lambda self: tuple(self._data.shape), doc="Lengths of the axes.")
    dtype = property(lambda self: self._data.dtype, doc="The array's dtype.")
    ndim = property(lambda self: self._data.ndim, doc="Number of axes.")
    is_leaf = property(lambda self: self.node is None, doc="Whether no recorded operation made it.")

    @property
    def device(self) -> str:
        """ "cpu" or "cuda:N"."""
        return self._data.device_name if isinstance(self._data, _Metadata) else backend.device_of(self._data)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one axis (torch.Tensor.size)."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Number of axes."""
        return int(self.ndim)

    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a 0-d Tensor has no length")
        return int(self.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def item(self) -> Any:
        """The only element, as a Python number. Raises ShapeError if there is more than one."""
        if self.numel() != 1:
            raise ShapeError(f"item: a Tensor of shape {self.shape} has {self.numel()} elements, not one")
        return self._data.item()

    def numpy(self) -> np.ndarray:
        """The array in host memory; it shares memory on the CPU, and is read-only there."""
        array = backend.to_device(self._data, "cpu").view()
        array.flags.writeable = False
        return array

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self.numpy().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        numbers = np.array2string(
            self.numpy(), separator=", ", threshold=50, edgeitems=3, precision=4, prefix="tensor("
        )
        facts = [numbers]
        if self.numel() > 50 or not self.numel():
            facts.append(f"shape={self.shape}")
        if self.dtype != np.float32:
            facts.append(f"dtype={self.dtype}")
        if self.device != "cpu":
            facts.append(f"device={self.device}")
        if self.node is not None:
            facts.append(f"op={self.node.name}")
        elif self.requires_grad:
            facts.append("requires_grad=True")
        return f"tensor({', '.join(facts)})"

    # -- its place in the graph ---------------------------------------------------------------------------------------

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for this leaf's gradient, or stop asking. Raises DtypeError for integers, GraphError for non-leaves."""
        if requires_grad and self.dtype.kind not in "fc":
            raise DtypeError(f"a Tensor of dtype {self.dtype} cannot require gradients: use a floating-point dtype")
        if self.node is not None and not requires_grad:
            raise GraphError(
                f"the output of {self.node.name} takes part in a graph; use detach() for a copy outside it"
            )
        self._requires_grad = requires_grad
        return self

    def edge(self) -> Function | Tensor | None:
        """Where this tensor's gradient goes: to the node that made it, to the leaf itself, or nowhere."""
        return self.node or (self if self.requires_grad else None)

    def metadata_copy(self) -> Tensor:
        """What a node remembers of an input whose numbers it does not need: shape, dtype and edge."""
        if self.node is None and self.requires_grad:
            return self  # a leaf lives anyway, and its gradient must reach this very object
        other = Tensor.__new__(Tensor)
        other._data = _Metadata(self.shape, self.dtype, self.device)
        other.grad, other._hooks, other.version = None, None, 0
        other.node, other._requires_grad = self.node, self.requires_grad
        return other

    def detach(self) -> Tensor:
        """The same array outside the graph; it shares memory (torch.Tensor.detach)."""
        return Tensor(self._data)

    def clone(self) -> Tensor:
        """A copy that passes gradients on (torch.Tensor.clone)."""
        return METHODS["clone"](self)

    def retain_grad(self) -> None:
        """Keep `.grad` on this non-leaf too (torch.Tensor.retain_grad)."""
        if self.node is not None:
            if not any(retained() is self for retained in self.node.retained):
                self.node.retained.append(ref(self))
        elif not self.requires_grad:
            raise GraphError("retain_grad: this Tensor does not require gradients")

    def register_hook(self, hook: Hook) -> HookHandle:
        """Call `hook(gradient)` when this tensor's gradient is complete; what it returns, if not None, takes over."""
        if not self.requires_grad:
            raise GraphError("register_hook: this Tensor does not require gradients, so none will come")
        if self.node is not None:
            return HookHandle(self.node.hooks, hook)
        if self._hooks is None:
            self._hooks = {}
        return HookHandle(self._hooks, hook)

    @property
    def hooks(self) -> dict[int, Hook]:
        """Hooks on a leaf; those on another tensor sit on its node."""
        return self._hooks or {}

    def assign_(self, value: Array) -> None:
        """Write new numbers into this tensor: the way optimisers, `load_state_dict` and running statistics change it.

        value broadcasts to the tensor's shape, is cast to its dtype and brought to its device. An array that a live
        graph needs is left to that graph and replaced here, so the graph's owner can still see what it computed with;
        its backward will say that this tensor changed.
        """
        if backend.is_array(value):
            value = backend.to_device(value, self.device)
        self.begin_write()[...] = value

    def begin_write(self) -> Array:
        """The array, for the engine to write into in place, as `assign_` does; counts as a change."""
        if (watcher := modes.write_watcher()) is not None:
            watcher(self)
        if is_locked(self._data) or not _writeable(self._data):
            self._data = self._data.copy()
        self.version += 1
        return self._data

    def backward(
        self, gradient: Operand | None = None, retain_graph: bool | None = None, create_graph: bool = False
    ) -> None:
        """Add d(self)/d(leaf) · gradient to `.grad` of every leaf that requires it (torch.Tensor.backward).

        gradient has this tensor's shape and may be left out for a single element. `retain_graph=None` means
        "as create_graph"; with it, leaves and gradients refer to each other until `.grad` is cleared (`minires.grad`
        avoids that). Raises GraphError where there is no graph, it was freed, or an array it needs has changed.
        """
        METHODS["backward"](self, gradient, retain_graph, create_graph)

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

    # -- methods ------------------------------------------------------------------------------------------------------

    def exp(self) -> Tensor:
        """eˣ, elementwise."""
        return METHODS["exp"](self)

    def log(self) -> Tensor:
        """Natural logarithm, elementwise."""
        return METHODS["log"](self)

    def sqrt(self) -> Tensor:
        """Square root, elementwise."""
        return METHODS["sqrt"](self)

    def tanh(self) -> Tensor:
        """Hyperbolic tangent, elementwise."""
        return METHODS["tanh"](self)

    def sigmoid(self) -> Tensor:
        """1 / (1 + e⁻ˣ), elementwise."""
        return METHODS["sigmoid"](self)

    def relu(self) -> Tensor:
        """max(x, 0), elementwise."""
        return METHODS["relu"](self)

    def abs(self) -> Tensor:
        """|x|, elementwise; its derivative at 0 is 0."""
        return METHODS["absolute"](self)

    def clip(self, min: Scalar | None = None, max: Scalar | None = None) -> Tensor:
        """x cut to [min, max]; the gradient passes on the closed interval."""
        return METHODS["clip"](self, min, max)

    clamp = clip

    def sum(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """Σ over `dim` (all axes by default)."""
        return METHODS["sum"](self, dim, keepdim)

    def mean(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """Mean over `dim` (all axes by default)."""
        return METHODS["mean"](self, dim, keepdim)

    def var(self, dim: Dim = None, correction: int = 1, keepdim: bool = False) -> Tensor:
        """Variance over `dim`, divided by n − correction (torch.var: unbiased by default)."""
        return METHODS["var"](self, dim, correction, keepdim)

    def max(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The largest element; with `dim`, (values, indices) along it, as torch.max."""
        return METHODS["max"](self, dim, keepdim)

    def amax(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """The largest elements over `dim`; ties share the gradient equally (torch.amax)."""
        return METHODS["amax"](self, dim, keepdim)

    def argmax(self, dim: int | None = None) -> Tensor:
        """Index of the first largest element, in the flattened tensor or along `dim`."""
        return METHODS["argmax"](self, dim)

    def logsumexp(self, dim: Dim, keepdim: bool = False) -> Tensor:
        """ln Σ eˣ over `dim`, without overflow."""
        return METHODS["logsumexp"](self, dim, keepdim)

    def softmax(self, dim: int) -> Tensor:
        """eˣ / Σ eˣ along `dim`."""
        return METHODS["softmax"](self, dim)

    def log_softmax(self, dim: int) -> Tensor:
        """x − ln Σ eˣ along `dim`."""
        return METHODS["log_softmax"](self, dim)

    def reshape(self, *shape: Any) -> Tensor:
        """Another shape; one length may be −1."""
        return METHODS["reshape"](self, _flat(shape))

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Axes start_dim … end_dim as one."""
        return METHODS["flatten"](self, start_dim, end_dim)

    def permute(self, *dims: Any) -> Tensor:
        """Axes in another order."""
        return METHODS["permute"](self, _flat(dims))

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two axes exchanged."""
        return METHODS["transpose"](self, dim0, dim1)

    @property
    def T(self) -> Tensor:
        """Axes in reverse order."""
        return METHODS["permute"](self, tuple(reversed(range(self.ndim))))

    def flip(self, *dims: Any) -> Tensor:
        """Reversed along `dims`."""
        return METHODS["flip"](self, _flat(dims))

    def squeeze(self, dim: int | None = None) -> Tensor:
        """Without axes of length 1."""
        return METHODS["squeeze"](self, dim)

    def unsqueeze(self, dim: int) -> Tensor:
        """With a new axis of length 1."""
        return METHODS["unsqueeze"](self, dim)

    def expand(self, *shape: Any) -> Tensor:
        """Repeated along axes of length 1 (−1: leave as is)."""
        return METHODS["expand"](self, _flat(shape))

    broadcast_to = expand

    def gather(self, dim: int, index: Tensor) -> Tensor:
        """y[…, i, …] = x[…, index[…, i, …], …] along `dim` (torch.gather)."""
        return METHODS["gather"](self, dim, index)

    def scatter_add(self, dim: int, index: Tensor, src: Tensor) -> Tensor:
        """A copy with y[…, index[…, i, …], …] += src[…, i, …] along `dim` (torch.scatter_add)."""
        return METHODS["scatter_add"](self, dim, index, src)

    def to(self, device: Any = None, dtype: Any = None) -> Tensor:
        """On another device and/or in another dtype; gradients find the way back. `to("cuda")`, `to(np.float64)`."""
        return METHODS["to"](self, device, dtype)

    def astype(self, dtype: Any) -> Tensor:
        """In another dtype."""
        return METHODS["astype"](self, dtype)


class _Metadata(NamedTuple):
    """Stands where an array was that backward does not read."""

    shape: tuple[int, ...]
    dtype: Any
    device_name: str

    @property
    def ndim(self) -> int:
        return len(self.shape)


def device_and_dtype(device: Any, dtype: Any) -> tuple[str | None, Any]:
    """The arguments of `to`, where the first may be either: `to("cuda")`, `to(np.float64)`, `to("cpu", np.float32)`."""
    if device is not None and not backend.is_device(device):
        device, dtype = None, device
    try:
        return device, None if dtype is None else np.dtype(dtype)
    except TypeError:
        raise DeviceError(f"to: {dtype!r} is neither a device ('cpu', 'cuda', 'cuda:N') nor a dtype") from None


def _flat(arguments: tuple[Any, ...]) -> tuple[int, ...]:
    """`f(2, 3)` and `f((2, 3))` mean the same."""
    single = len(arguments) == 1 and not isinstance(arguments[0], (int, np.integer))
    return tuple(arguments[0]) if single else arguments


def _writeable(array: Array) -> bool:
    return bool(array.flags.writeable) if isinstance(array, np.ndarray) else True


def _protected(array: Array) -> Array:
    """`array`; a copy of a writeable NumPy view, since whoever has the view could change the tensor unseen."""
    if isinstance(array, np.generic):
        return np.asarray(array)  # what NumPy makes of an array without axes
    return array.copy() if _is_writeable_view(array) else array


def read_only(array: Array) -> Array:
    """`array`; a writeable NumPy view as a read-only one. For views that the engine made and nobody else has."""
    if _is_writeable_view(array):
        array = array.view()
        array.flags.writeable = False
    return array


def _is_writeable_view(array: Array) -> bool:
    return isinstance(array, np.ndarray) and array.base is not None and bool(array.flags.writeable)
