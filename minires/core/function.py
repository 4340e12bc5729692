"""An operation is one class, and its instance is the node of the graph.

To add an op, subclass `Function` and write two methods: `forward` computes arrays from arrays, `backward` computes
gradients from gradients, as Tensors, with other ops. That is all; see `minires/ops/elementwise.py` for small ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar
from weakref import ref

from minires import backend
from minires.backend import Array
from minires.core import anomaly, modes
from minires.core.checks import check_inputs, check_is_no_torch_function, check_output
from minires.core.readonly import ReadOnlyLock, read_only
from minires.core.sharing import note_sharing
from minires.core.tensor import Hook, Tensor
from minires.errors import DtypeError

Gradients = Tensor | None | Sequence[Tensor | None]
Op = TypeVar("Op", bound="Function")


class Function:
    """One application of an operation: `Exp()(x)` computes eˣ and, if x requires a gradient, becomes its node.

    Attributes while the graph lives:
        inputs: the Tensors it was given. Of a non-leaf not in `saved_inputs` only shape, dtype and edge remain.
        needs_input_grad: for each input, whether this backward pass needs its gradient.
        edges: for each input, where its gradient goes: the node that computed it, the leaf itself, or None.
    """

    saved_inputs: ClassVar[Sequence[int] | None] = None  # which inputs' arrays backward reads; None: all
    saves_output: bool = False  # whether backward calls self.output()
    is_view: ClassVar[bool] = False  # whether the output may lie in the memory of the input
    parts: ClassVar[Sequence[str]] = ()  # the ops that a fused op stands for, in pictures of the graph

    inputs: tuple[Tensor, ...] = ()
    needs_input_grad: tuple[bool, ...] = ()
    edges: tuple[Function | Tensor | None, ...] = ()
    applied = False
    released = False
    sent: dict[Function | Tensor, Tensor] | None = None  # during backward: the gradients that wait, see `take_sent`
    created_at = ""  # "file.py:12: y = x.log()", under detect_anomaly

    def forward(self, *arrays: Any) -> Array:
        """The output array, computed from the input arrays.

        It may set attributes of self for backward. It has no other effect, so that it can be run again on other arrays.
        """
        raise TypeError(f"{self.name} has no forward: a Function needs forward(self, *arrays)")

    def backward(self, gradient: Tensor) -> Gradients:
        """The gradients of the inputs, from that of the output: one Tensor, or a tuple if there are several inputs.

        None stands for no gradient.
        """
        raise TypeError(f"{self.name} has no backward: a Function needs backward(self, gradient)")

    # Where one kernel computes the formula of `backward`, an op also defines backward_fused(self, gradient_array). It
    # is used unless create_graph=True, and must agree with `backward`.
    backward_fused: ClassVar[Callable[..., Any] | None] = None

    # An op that is not smooth everywhere declares where, so that a gradient check can tell a kink from a mistake:
    #     branches(self, *arrays)               which branch each element takes, as bools or integers (ReLU: x > 0)
    #     on_branches(self, branches, *arrays)  forward as if these had been taken; smooth. Keeps what forward keeps.
    # At a tie, `branches` is the documented convention: the gradient there is that of `on_branches`.
    branches: ClassVar[Callable[..., Any] | None] = None
    on_branches: ClassVar[Callable[..., Any] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_is_no_torch_function(cls)

    @classmethod
    def apply(cls, *inputs: Any) -> Tensor:
        """Raises TypeError: torch.autograd.Function is applied so. Here an instance is called."""
        raise TypeError(f"{cls.__name__}.apply(x) is torch's way: here, write {cls.__name__}()(x)")

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Apply the operation. An instance is applied once, since it is the node."""
        check_inputs(self, inputs)
        self.applied = True
        self._configuration = frozenset(vars(self)) | {"_configuration"}  # the attributes that __init__ has set
        interceptor = modes.interceptor()  # None but in a gradient check, a trace and the like
        arrays = [tensor.data for tensor in inputs]
        array = self.forward(*arrays) if interceptor is None else interceptor.compute(self, arrays)
        output = self._wrap(array, like=inputs[0])
        anomaly.check_output(self, output)
        # Integer outputs have zero gradient almost everywhere, so they are not recorded.
        if modes.is_grad_enabled() and output.dtype.kind in "fc" and any(tensor.requires_grad for tensor in inputs):
            self._record(inputs, output)
        if self.is_view:
            note_sharing(inputs[0], output, self)
        if interceptor is not None:
            interceptor.observe(self, inputs, output)
        return output

    def _wrap(self, array: Any, like: Tensor) -> Tensor:
        """What forward returned, as a Tensor on the device of `like`. Raises DtypeError if it is not numbers."""
        if isinstance(array, (tuple, list, float, int)):
            check_output(self, array)
        array = read_only(backend.as_array(array, like.data))
        if array.dtype.kind not in "biufc":
            raise DtypeError(f"{self.name}: forward returned a {type(array).__name__}, not an array of numbers")
        return Tensor(array)

    def _record(self, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Become the node of `output`: keep what backward needs, and point along the edges to the inputs' nodes."""
        set_by_forward = vars(self).keys() - self._configuration
        # Masks, indices and the like are locked as the inputs are, since they may be arrays of the user.
        self._locks = [ReadOnlyLock(array) for array in _arrays_in(vars(self).values())]
        self.edges = tuple(tensor.edge() for tensor in inputs)
        self.needs_input_grad = tuple(edge is not None for edge in self.edges)
        saved = range(len(inputs)) if self.saved_inputs is None else self.saved_inputs
        self._locks += [ReadOnlyLock(tensor.data) for i, tensor in enumerate(inputs) if i in saved]
        if self.saves_output:  # its array, not the Tensor: the Tensor refers to this node, which would be a cycle
            self._locks.append(ReadOnlyLock(output.data))
        self._saved = set_by_forward
        self.versions = {i: tensor.version for i, tensor in enumerate(inputs) if i in saved}
        self.inputs = tuple(tensor if i in saved else tensor.metadata_copy() for i, tensor in enumerate(inputs))
        self.shape, self.dtype, self.device = output.shape, output.dtype, output.device
        self.hooks: dict[object, Hook] = {}
        self.retained: list[ref[Tensor]] = []
        output.node = self
        output.requires_grad = True

    def take_sent(self, number: int) -> Tensor | None:
        """What input `number` has been sent in this backward pass, if anything, for backward to add to its gradient.

        A kernel that adds it as it stores the gradient saves the passes over memory of a sum. In float32, where speed
        counts: a gradient check, in float64, sees the sum by itself.
        """
        edge, is_single = self.edges[number], self.inputs[number].dtype == "float32"
        return None if edge is None or self.sent is None or not is_single else self.sent.pop(edge, None)

    def output(self) -> Tensor:
        """The output, as a Tensor of this node: a formula that uses it has the right higher derivatives."""
        tensor = Tensor(self._locks[-1].array)
        tensor.node, tensor.requires_grad = self, True
        return tensor

    def release(self) -> None:
        """Free everything that was kept for backward."""
        for attribute in self._saved:
            delattr(self, attribute)
        self.inputs, self.edges, self._locks, self._saved = (), (), [], set()
        self.released = True

    def fresh_copy(self: Op) -> Op:
        """The same operation, ready to be applied once more: as __init__ has left it."""
        fresh = copy.copy(self)
        if self.applied:
            for attribute in vars(self).keys() - self._configuration:
                delattr(fresh, attribute)
            fresh.applied = False
        return fresh

    @property
    def name(self) -> str:
        """The op's name, for messages and pictures."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"<{self.name}>"


def _arrays_in(values: Iterable[Any]) -> Iterator[Array]:
    """The arrays among `values`, and those in tuples among them, such as the key of an index."""
    for value in values:
        if backend.is_array(value):
            yield value
        elif isinstance(value, tuple):
            yield from _arrays_in(value)
