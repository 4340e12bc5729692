"""An operation is one class, and its instance is the node of the graph.

To add an op, subclass `Function` and write two methods: `forward` computes arrays from arrays, `backward` computes
gradients from gradients, as Tensors, with other ops. That is all; see `minires/ops/elementwise.py` for small ones.
"""

from __future__ import annotations

import copy
import linecache
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from weakref import ref

from minires import backend
from minires.backend import Array
from minires.core import modes
from minires.core.readonly import ReadOnlyLock
from minires.core.tensor import Hook, Tensor, read_only
from minires.errors import DeviceError, DtypeError, GraphError, NonFiniteError

Gradients = Tensor | None | Sequence[Tensor | None]
Op = TypeVar("Op", bound="Function")
_PACKAGE = str(Path(__file__).parents[1]) + os.sep


class Function:
    """One application of an operation: `Exp()(x)` computes eˣ and, if x requires a gradient, remembers how.

    Attributes while the graph lives:
        inputs: the Tensors it was given. Of those not named in `saved_inputs` only shape, dtype and edge remain.
        needs: for each input, whether anybody asks for its gradient in this backward pass.
        edges: for each input, where its gradient goes: the node that made it, the leaf itself, or None.
    """

    saved_inputs: ClassVar[Sequence[int] | None] = None  # which inputs' arrays backward reads; None: all
    saves_output: bool = False  # whether backward calls self.output()
    parts: ClassVar[Sequence[str]] = ()  # what a fused op is made of, for pictures of the graph

    inputs: tuple[Tensor, ...] = ()
    needs_input_grad: tuple[bool, ...] = ()
    edges: tuple[Function | Tensor | None, ...] = ()
    applied = False
    released = False
    created_at = ""  # "file.py:12: y = x.log()", under detect_anomaly

    def forward(self, *arrays: Any) -> Array:
        """Output array from input arrays. May keep on self what backward needs; no other effect, for it is replayed."""
        raise TypeError(f"{self.name} has no forward: a Function needs forward(self, *arrays)")

    def backward(self, gradient: Tensor) -> Gradients:
        """Gradient of each input, from that of the output: a Tensor for one input, else a tuple (None: no gradient)."""
        raise TypeError(f"{self.name} has no backward: a Function needs backward(self, gradient)")

    # Where one kernel computes what the formula spells out, an op defines backward_arrays(self, gradient_array) too.
    # It is used while recording is off, and must agree with `backward`.
    backward_fused: ClassVar[Callable[..., Any] | None] = None

    # An op that is not smooth everywhere declares where, so that a gradient check can tell a kink from a mistake:
    #     branches(self, *arrays)               which branch each element takes, as bools or integers (ReLU: x > 0)
    #     on_branches(self, branches, *arrays)  forward as if these had been taken; smooth. Keeps what forward keeps.
    # At a tie, `branches` is the documented convention: the gradient there is that of `on_branches`.
    branches: ClassVar[Callable[..., Any] | None] = None
    on_branches: ClassVar[Callable[..., Any] | None] = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Apply the operation. Once an instance: the instance is the node."""
        if self.applied:
            raise GraphError(f"{self.name}: an instance is one node of the graph; make a new one for each application")
        self.applied = True
        strangers = [type(each).__name__ for each in inputs if not isinstance(each, Tensor)]
        if strangers:
            raise DtypeError(
                f"{self.name}: needs Tensors, got {', '.join(strangers)}; make one with minires.tensor()"
            )
        if len({tensor.device for tensor in inputs}) > 1:
            raise DeviceError(
                f"{self.name}: inputs on different devices {[t.device for t in inputs]}; move them with .to()"
            )
        before = self._configuration = frozenset(vars(self)) | {"_configuration"}
        arrays = [tensor.data for tensor in inputs]
        array = self.forward(*arrays) if (conduct := modes.conductor()) is None else conduct(self, arrays)
        output = Tensor(read_only(backend.as_array(array, inputs[0].data)))
        if output.dtype.kind not in "biufc":
            raise DtypeError(f"{self.name}: forward returned a {type(array).__name__}, not an array of numbers")
        if modes.is_detecting_anomaly():
            self.created_at = _line_of_user_code()
            if not modes.is_inside_backward():
                self.check_finite("output", output.data)
        differentiable = output.dtype.kind in "fc"  # what rounds to integers is constant wherever it has a slope
        if differentiable and modes.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
            self._record(inputs, output, set(vars(self)) - before)
        if (tracer := modes.tracer()) is not None:
            tracer(self, inputs, output)
        return output

    def _record(self, inputs: tuple[Tensor, ...], output: Tensor, kept: set[str]) -> None:
        """Become the node that `output` comes from."""
        saved_inputs = range(len(inputs)) if self.saved_inputs is None else self.saved_inputs
        # Masks, indices and the like on the node are protected as its inputs are; they may be the user's own arrays.
        self._locks = [ReadOnlyLock(array) for array in _arrays_in(vars(self).values())]
        self._locks += [ReadOnlyLock(tensor.data) for i, tensor in enumerate(inputs) if i in saved_inputs]
        self.inputs = tuple(t if i in saved_inputs else t.metadata_copy() for i, t in enumerate(inputs))
        self.edges = tuple(tensor.edge() for tensor in inputs)
        self.needs_input_grad = tuple(edge is not None for edge in self.edges)
        self.hooks: dict[int, Hook] = {}
        self.retained: list[ref[Tensor]] = []
        self.shape, self.dtype, self.device = output.shape, output.dtype, output.device
        self._kept = kept
        self._versions = {i: tensor.version for i, tensor in enumerate(inputs) if i in saved_inputs}
        if self.saves_output:
            self._locks.append(
                ReadOnlyLock(output.data)
            )  # the array, not the Tensor: node and output must not form a cycle
        output.node = self
        output.requires_grad = True

    def output(self) -> Tensor:
        """The output, as a Tensor tied to this node: using it in a formula keeps higher derivatives right."""
        tensor = Tensor(self._locks[-1].array)
        tensor.node, tensor.requires_grad = self, True
        return tensor

    def fresh_copy(self: Op) -> Op:
        """The same operation, to be applied once more: with what __init__ set, without what came of applying it."""
        fresh = copy.copy(self)
        if self.applied:
            for attribute in vars(self).keys() - self._configuration:
                delattr(fresh, attribute)
            fresh.applied = False
        return fresh

    def check_unchanged(self) -> None:
        """Raise GraphError if an input that backward reads is no longer what forward saw."""
        for number, version in self._versions.items():
            tensor = self.inputs[number]
            if tensor.version != version:
                raise GraphError(
                    f"{self.name}: its input {number} (shape {tensor.shape}) was changed in place after the forward "
                    "pass, so its gradient would be wrong; call backward before changing it, or change a copy"
                )

    def check_finite(self, what: str, array: Array) -> None:
        """Raise NonFiniteError, naming the op and the line that applied it, if `array` holds a NaN or an infinity."""
        if array.dtype.kind in "fc" and not backend.isfinite(array):
            raise NonFiniteError(
                f"{self.name}: the first NaN or infinity is in its {what}; applied at {self.created_at or '?'}"
            )

    def release(self) -> None:
        """Let go of everything kept for backward."""
        for attribute in self._kept:
            delattr(self, attribute)
        self.inputs, self.edges, self._locks, self._kept = (), (), [], set()
        self.released = True

    @property
    def name(self) -> str:
        """The op's name, for messages and pictures."""
        return type(self).__name__

    def __repr__(self) -> str:
        return f"<{self.name}>"


def _arrays_in(values: Iterable[Any]) -> Iterator[Array]:
    """The arrays among `values`, tuples looked into (the key of an index may be one)."""
    for value in values:
        if backend.is_array(value):
            yield value
        elif isinstance(value, tuple):
            yield from _arrays_in(value)


def _line_of_user_code() -> str:
    """The innermost line outside this package: what the user wrote."""
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    return f"{file}:{line}: {linecache.getline(file, line).strip()}"
