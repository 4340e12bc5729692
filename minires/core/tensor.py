"""Tensor: an array that knows which operation it came from.

Its operators are declared in `operators.py`, and the methods that compute in `methods.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Union
from weakref import ref

import numpy as np

from minires import backend
from minires.backend import Array
from minires.backend.foreign import native
from minires.core import modes
from minires.core.hooks import RemovableHandle
from minires.core.inplace import InPlaceOperators
from minires.core.metadata import ArrayMetadata
from minires.core.methods import Methods
from minires.core.numpy_functions import refuse_to_lose_gradient
from minires.core.operators import METHODS, Operand, Operators
from minires.core.readonly import array_of, copy_of_view, is_writeable
from minires.core.settings import flag
from minires.core.sharing import Sharing, note_sharing
from minires.errors import DtypeError, GraphError, ShapeError

if TYPE_CHECKING:
    from minires.core.function import Function

Hook = Callable[["Tensor"], Union["Tensor", None]]


class Tensor(Operators, Methods, InPlaceOperators):
    """An n-dimensional array in a graph of operations.

    `Tensor(array)` wraps a NumPy or CuPy array without copying it, unless it is a writeable view of another array.
    `minires.tensor(...)` always copies, which is what users want. What changes a Tensor in place (`x += y`, `x[i] = v`,
    `x.mul_(2)`) is declared in `inplace.py`.

    Attributes:
        data: the array. It is read-only if a live graph needs it, or if it is a view of another array.
        grad: the accumulated gradient, a Tensor of the same shape, or None.
        requires_grad: whether operations on this tensor are recorded.
        node: the Function that computed this tensor; None for a leaf.
        version: how often this tensor has been changed in place.
    """

    __slots__ = ("__weakref__", "_beside", "_data", "_grad", "_hooks", "_requires_grad", "_sharing", "node", "version")

    _sharing: Sharing  # set once another tensor shares the memory; see `sharing.py`
    _beside: tuple[ref[Tensor], ...]  # set if reshaping a channels-last image has copied it; see `sharing.py`

    def __init__(self, data: Array, requires_grad: bool = False) -> None:
        self.version = 0
        self._data = copy_of_view(data)
        self._grad: Tensor | None = None
        self.node: Function | None = None
        self._requires_grad = False
        self._hooks: dict[object, Hook] | None = None
        if requires_grad is not False:
            self.requires_grad_(requires_grad)

    # -- the array ----------------------------------------------------------------------------------------------------

    @property
    def data(self) -> Array:
        """The array. Assigning another one counts as a change in place."""
        if isinstance(self._data, ArrayMetadata):
            raise GraphError(
                "backward reads an input whose array was not kept: name its index in the op's `saved_inputs`"
            )
        return self._data

    @data.setter
    def data(self, array: Array | Tensor) -> None:
        self._data = copy_of_view(array_of(array))
        self.version += 1

    shape = property(lambda self: tuple(self._data.shape), doc="Lengths of the axes.")
    dtype = property(lambda self: self._data.dtype, doc="The array's dtype.")
    ndim = property(lambda self: self._data.ndim, doc="Number of axes.")
    is_leaf = property(lambda self: self.node is None, doc="Whether no recorded operation computed this tensor.")

    @property
    def device(self) -> backend.device:
        """ "cpu" or "cuda:N"."""
        return self._data.device_name if isinstance(self._data, ArrayMetadata) else backend.device_of(self._data)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one axis (torch.Tensor.size)."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Number of axes (torch.Tensor.dim)."""
        return int(self.ndim)

    def numel(self) -> int:
        """Number of elements (torch.Tensor.numel)."""
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
        """The only element, as a Python number. Raises ShapeError unless there is exactly one."""
        if self.numel() != 1:
            raise ShapeError(f"item: a Tensor of shape {self.shape} has {self.numel()} elements, not one")
        modes.note_read(self)
        return self._data.item()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The array in host memory, read-only, without its graph; with that of a tensor on the CPU it shares memory."""
        modes.note_read(self)
        array = backend.to_device(self._data, "cpu").view()
        array.flags.writeable = False
        return array

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self.numpy().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self._requires_grad and modes.is_grad_enabled():
            refuse_to_lose_gradient()
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        numbers = self.numpy()
        facts = [np.array2string(numbers, separator=", ", threshold=50, edgeitems=3, precision=4, prefix="tensor(")]
        if not 0 < self.numel() <= 50:
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

    def backward(
        self, gradient: Operand | None = None, retain_graph: bool | None = None, create_graph: bool = False
    ) -> None:
        """Add d(self)/d(leaf) · gradient to `.grad` of every leaf that requires it (torch.Tensor.backward).

        gradient has this tensor's shape; for a single element it may be left out and is 1. `retain_graph=None` means
        "as create_graph". With create_graph, leaves and gradients refer to each other until `.grad` is cleared;
        `minires.grad` avoids that. Raises GraphError if there is no graph, if it was freed, or if an array that it
        needs has changed.
        """
        METHODS["backward"](self, gradient, retain_graph, create_graph)

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient, or None. Raises if a Tensor unlike this one, or none, is assigned to it."""
        return self._grad

    @grad.setter
    def grad(self, gradient: Tensor | None) -> None:
        if gradient is not None:
            METHODS["check_like"]("the gradient assigned to .grad", gradient, self)
        self._grad = gradient

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded. Assigning to it calls `requires_grad_`."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        self.requires_grad_(requires_grad)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for this leaf's gradient, or stop asking. Raises GraphError for non-leaves.

        It counts when backward runs, too. Raises DtypeError for integers and complex numbers: take real and imaginary
        parts as two Tensors.
        """
        if requires_grad is not True:
            requires_grad = flag("requires_grad_", "requires_grad", requires_grad)
        if requires_grad and self.dtype.kind not in ("fc" if modes.is_complex_step() else "f"):
            raise DtypeError(f"a Tensor of dtype {self.dtype} cannot require gradients: use a floating-point dtype")
        if self.node is not None and not requires_grad:
            raise GraphError(
                f"the output of {self.node.name} takes part in a graph; use detach() for a copy outside it"
            )
        self._requires_grad = requires_grad
        return self

    def edge(self) -> Function | Tensor | None:
        """Where this tensor's gradient goes: to the node that computed it, to the leaf itself, or nowhere."""
        return self.node or (self if self.requires_grad else None)

    def metadata_copy(self) -> Tensor:
        """A Tensor with this one's shape, dtype and edge, but without the array."""
        if self.node is None and self.requires_grad:
            return self  # a leaf is alive anyway, and its gradient must reach this very object
        other: Any = Tensor.__new__(Tensor)
        other._data = ArrayMetadata(self.shape, self.dtype, self.device)
        other._grad, other._hooks, other.version = None, None, 0
        other.node, other._requires_grad = self.node, self.requires_grad
        return other

    def detach(self) -> Tensor:
        """The same array outside of the graph; both share memory (torch.Tensor.detach)."""
        detached = Tensor(self._data)
        note_sharing(self, detached)
        return detached

    def retain_grad(self) -> None:
        """Keep `.grad` on this non-leaf too (torch.Tensor.retain_grad)."""
        if self.node is not None:
            if not any(retained() is self for retained in self.node.retained):
                self.node.retained.append(ref(self))
        elif not self.requires_grad:
            raise GraphError("retain_grad: this Tensor does not require gradients")

    def register_hook(self, hook: Hook) -> RemovableHandle:
        """Call `hook(gradient)` once this tensor's gradient is complete; a Tensor that it returns replaces it.

        Follows torch.Tensor.register_hook. Raises GraphError if this tensor does not require gradients.
        """
        if not self.requires_grad:
            raise GraphError("register_hook: this Tensor does not require gradients, so none will come")
        if self.node is not None:
            return RemovableHandle(self.node.hooks, hook)
        if self._hooks is None:
            self._hooks = {}
        return RemovableHandle(self._hooks, hook)

    @property
    def hooks(self) -> dict[object, Hook]:
        """The hooks of a leaf. Those of another tensor belong to its node."""
        return self._hooks or {}

    # -- writing in place ---------------------------------------------------------------------------------------------

    def assign_(self, value: Array | float) -> None:
        """Write new numbers into this tensor, as optimisers, `load_state_dict` and running statistics do.

        value broadcasts to the tensor's shape, is cast to its dtype and brought to its device. If a live graph needs
        the present array, the graph keeps it and this tensor gets a new one; backward then reports the change.
        """
        if backend.is_array(value):
            value = backend.to_device(native("assign_", value, self.dtype), self.device)
        self.begin_write()[...] = value

    def begin_write(self) -> Array:
        """The array, for the engine to write into in place. Counts as a change of this tensor."""
        if (watcher := modes.write_watcher()) is not None:
            watcher(self)
        if not is_writeable(self._data):
            self._data = self._data.copy()
        self.version += 1
        return self._data
