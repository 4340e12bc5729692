"""The problem: a function at a point, ready to be evaluated at other points and to be differentiated.

A function of Tensors becomes F: ℝⁿ → ℝᵐ on lists of arrays, in any dtype; all outputs are flattened and concatenated.
Evaluating it has no side effects: parameters and buffers get their arrays back, running statistics and other tensors
that the engine writes into are as before, and random numbers are the same each time, so a dropout mask does not change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import Any

import numpy as np

from minires import backend
from minires.backend import use_backend
from minires.core import modes
from minires.core.autograd import grad
from minires.core.random import default_generator, get_state
from minires.core.sharing import Snapshot
from minires.core.tensor import Tensor
from minires.errors import DtypeError, GraphError
from minires.gradcheck.arguments import (
    argument_names,
    as_arguments,
    split_cotangent,
    supported_dtype,
    tensors_of,
    variables_of,
)
from minires.gradcheck.closure import constants_of
from minires.gradcheck.interceptors import (
    BranchComparator,
    BranchRecord,
    BranchRecorder,
    BranchReplayer,
    RoundingPerturber,
)
from minires.gradcheck.sampling import random_direction, spread, without_subnormals
from minires.gradcheck.stops import ConstantRecorder, Held, Stop, stops_between
from minires.nn import Buffer, Module

Arrays = list[np.ndarray]
Direction = Sequence[np.ndarray | None]  # None: this array stays where it is
Interceptor = BranchRecorder | BranchReplayer | BranchComparator


class SharedOutputError(Exception):
    """Another forward pass has written into the output of an earlier one."""


class Problem:
    """A function F at a point.

    Args:
        f: A function of Tensors, or a Module.
        inputs: Its arguments: Tensors, arrays and Modules. Parameters of Modules are variables, too.
        names: Names of the arguments, or None for those in f's signature.
        dtype: The dtype in which the engine differentiates, float32 or float64; None: that of the inputs.
        provider: The provider whose kernels differentiate; None: the active one.
        modules: The Modules that f is made of, if they are neither f nor among the inputs.
        last_only: Whether the last argument is the only variable.

    Raises ShapeError if there is nothing to differentiate by, or if the number of names is wrong; DtypeError if an
    input is no array, or the dtype is not supported.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        inputs: Any,
        names: Sequence[str] | None = None,
        dtype: Any = None,
        provider: str | None = None,
        modules: Sequence[Module] = (),
        last_only: bool = False,
    ) -> None:
        self.f, self.provider = f, provider
        self.arguments = as_arguments(inputs)
        self.modules = [*modules] or [each for each in (*self.arguments, f) if isinstance(each, Module)]
        self.constants = constants_of(f)
        self.names = argument_names(f, names, len(self.arguments))
        self.variables = variables_of(f, self.arguments, self.names, self.modules)[-1 if last_only else 0 :]
        kinds = {variable.array.dtype for variable in self.variables}
        self.dtype = supported_dtype(np.result_type(*kinds) if dtype is None else dtype)
        self.random_state = get_state()
        # float64, but exactly the numbers that self.dtype holds
        self.point = [
            without_subnormals(variable.array.astype(self.dtype).astype(np.float64)) for variable in self.variables
        ]
        self._complex: Arrays | None = None
        self.needs_graph = False  # whether f is evaluated with a graph
        self.held = Held()

    def at(self, h: complex, direction: Direction) -> Arrays:
        """x + h·d, complex if h is; where d is None, x itself."""
        if isinstance(h, complex) and self._complex is None:
            self._complex = [x.astype(np.complex128) for x in self.point]  # kept: a network has many weights
        still = self._complex if isinstance(h, complex) and self._complex is not None else self.point
        return [rest if d is None else x + h * d for x, rest, d in zip(self.point, still, direction, strict=True)]

    # -- evaluating ---------------------------------------------------------------------------------------------------

    def outputs(
        self, arrays: Arrays, interceptor: Interceptor | None = None, provider: str | None = "reference"
    ) -> np.ndarray:
        """F at `arrays`, (m,), in their dtype. `interceptor` computes the operations; None: as usual."""
        backend_used = nullcontext() if provider is None else use_backend(provider)
        intercepted = modes.intercepting(compute=self.held.holding(interceptor) if self.held else interceptor)
        installed = self.installed(arrays, record=self.needs_graph)
        with modes.set_grad_enabled(self.needs_graph), installed as (arguments, _), backend_used, intercepted:
            tensors = tensors_of(self._apply(arguments, arrays))
            if not tensors:
                raise GraphError("gradcheck: f returned no Tensor of a floating-point dtype")
            found = self.held.of_outputs([tensor.numpy() for tensor in tensors])
            return np.concatenate([np.array(array).reshape(-1) for array in found])

    def _apply(self, arguments: list[Any], arrays: Arrays) -> Any:
        """f of the arguments. An op that refuses two dtypes says so of a float64 that the user did not write."""
        try:
            return self.f(*arguments)
        except DtypeError as error:
            if all(array.dtype == self.dtype for array in arrays):
                raise
            remedy = f"gradcheck evaluates f in {arrays[0].dtype}, too: make what f makes itself with dtype=x.dtype"
            raise DtypeError(f"{error}. ({remedy})") from error

    def record_branches(
        self, arrays: Arrays, provider: str | None = "reference"
    ) -> tuple[np.ndarray, list[BranchRecord]]:
        """(F at `arrays`, the branches that its operations took)."""
        recorder = BranchRecorder()
        try:
            return self.outputs(arrays, recorder, provider), recorder.records
        except GraphError:  # f needs a graph, for a hook on one of its tensors
            if self.needs_graph:
                raise
            self.needs_graph = True
            return self.record_branches(arrays, provider)

    def find_stops(self) -> list[Stop]:
        """Where the gradient stops though the numbers depend on the variables.

        Two forward passes, at the point and beside it, are compared: what enters an operation without requiring a
        gradient, and changes all the same, is stopped there.
        """
        beside = [x + 0.25 * spread(x) * random_direction(np.random.default_rng(0), x.shape) for x in self.point]
        try:
            stops = stops_between(self._constants(self.point), self._constants(beside))
        except Exception:  # f may raise anything beside the point
            return []
        return list(stops)

    def hold(self, stops: bool, origins: Collection[tuple[int, int]] | None = None) -> None:
        """From now on evaluate F with straight-through ops as their surrogates.

        stops: whether also all that enters an operation without requiring a gradient keeps its value at the point.
        origins: only these inputs of operations, (operation, input), and what is computed of them alone. Default: all.
        """
        self.held = self._constants(self.point, origins).held(stops)

    def _constants(self, arrays: Arrays, origins: Collection[tuple[int, int]] | None = None) -> ConstantRecorder:
        recorder = ConstantRecorder(origins)
        with self.installed(arrays, record=True) as (arguments, _), use_backend("reference"):
            recorder.record(lambda: tensors_of(self.f(*arguments)))
        return recorder

    def output_dtypes(self) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
        """(shape, dtype) of each floating-point output, of inputs in self.dtype and by self.provider."""
        point = [array.astype(self.dtype) for array in self.point]
        backend_used = nullcontext() if self.provider is None else use_backend(self.provider)
        with self.installed(point) as (arguments, _), modes.no_grad(), backend_used:
            return [(each.shape, each.dtype) for each in tensors_of(self.f(*arguments))]

    def gradient(
        self,
        cotangent: np.ndarray,
        arrays: Arrays | None = None,
        *,
        fused: bool = True,
        subset: Collection[int] | None = None,
        repeat: bool = False,
        interleaved: bool = False,
        records: Sequence[BranchRecord] | None = None,
        perturber: RoundingPerturber | None = None,
    ) -> Arrays:
        """Jᵀu by the engine, in self.dtype and by self.provider; float64 or complex128 arrays, one for each variable.

        The gradient by a variable that F does not depend on is zeros.

        Args:
            cotangent: u, (m,).
            arrays: Where to differentiate; default: the point.
            fused: Whether ops may use `backward_fused`; if not, their `backward` runs.
            subset: The variables that require gradients; default: all.
            repeat: Whether to return the gradient of a second backward pass over the same graph.
            interleaved: Whether to apply f to other numbers between the forward and the backward pass. Outputs that
                this changes raise SharedOutputError.
            records: Branches to take in the forward pass; default: those that the numbers decide.
            perturber: What computes the operations of both passes; default: as usual.
        """
        is_complex = any(array.dtype.kind == "c" for array in arrays or ())
        dtype = np.result_type(self.dtype, np.complex64) if is_complex else self.dtype
        point = [np.asarray(array, dtype) for array in (self.point if arrays is None else arrays)]
        with ExitStack() as stack:
            arguments, leaves = stack.enter_context(self.installed(point, record=True, subset=subset))
            stack.enter_context(modes.enable_grad())
            if self.provider is not None:
                stack.enter_context(use_backend(self.provider))
            if not fused:
                stack.enter_context(modes.disable_fused_backward())
            stack.enter_context(modes.intercepting(compute=perturber))
            with modes.intercepting(compute=None if records is None else BranchReplayer(records)):
                outputs = tensors_of(self.f(*arguments))
            if interleaved:
                self._apply_elsewhere(arguments, outputs)
            return self._differentiate(outputs, leaves, cotangent, dtype, repeat)

    def _apply_elsewhere(self, arguments: list[Any], outputs: list[Tensor]) -> None:
        """Apply f to other numbers: those of each argument, in another order and by a quarter smaller."""
        before = [np.array(output.numpy()) for output in outputs]
        others = [
            Tensor(np.roll(0.75 * each.numpy().reshape(-1), 1).reshape(each.shape).astype(each.dtype))
            if isinstance(each, Tensor) and each.dtype.kind == "f" and each.device == "cpu"
            else each
            for each in arguments
        ]
        with suppress(Exception), np.errstate(all="ignore"):  # f may raise anything there
            self.f(*others)
        for array, output in zip(before, outputs, strict=True):
            if not np.array_equal(array, output.numpy(), equal_nan=True):
                raise SharedOutputError

    def _differentiate(
        self, outputs: list[Tensor], leaves: list[Tensor], u: np.ndarray, dtype: Any, repeat: bool
    ) -> Arrays:
        cotangents = [
            Tensor(backend.to_device(piece.astype(output.dtype), output.device))
            for piece, output in zip(split_cotangent(u, outputs), outputs, strict=True)
        ]
        roots = [(output, each) for output, each in zip(outputs, cotangents, strict=True) if output.requires_grad]
        wanted = [leaf for leaf in leaves if leaf.requires_grad]
        found: Sequence[Tensor | None] = [None] * len(wanted)
        if roots and wanted:
            given = [output for output, _ in roots], wanted, [each for _, each in roots]
            if repeat:
                grad(*given, retain_graph=True, allow_unused=True)
            found = grad(*given, allow_unused=True)
        gradients = iter(found)
        wide = np.complex128 if np.dtype(dtype).kind == "c" else np.float64
        result: Arrays = []
        for leaf in leaves:
            gradient = next(gradients) if leaf.requires_grad else None
            result.append(np.zeros(leaf.shape, wide) if gradient is None else np.array(gradient.numpy(), wide))
        return result

    # -- putting numbers in place -------------------------------------------------------------------------------------

    @contextmanager
    def installed(
        self, arrays: Arrays, record: bool = False, subset: Collection[int] | None = None
    ) -> Iterator[tuple[list[Any], list[Tensor]]]:
        """(arguments, variables) that hold `arrays`. On exit every tensor is as it was before.

        record: whether the variables, or those in `subset`, require gradients.
        """
        dtype = np.result_type(*(array.dtype for array in arrays))
        written: dict[int, Snapshot] = {}

        def watch(tensor: Tensor) -> None:
            if id(tensor) not in written:
                written[id(tensor)] = Snapshot(tensor)

        state = get_state()
        _restore(self.random_state)
        swapped = [(each, each.data, each.version, each.requires_grad) for each in self._state()]
        is_complex_step = dtype.kind == "c"
        try:
            step = modes.complex_step() if is_complex_step else nullcontext()
            with modes.watching_writes(watch), modes.making(dtype), step:
                yield self._install(arrays, dtype, record, subset)
        finally:
            for snapshot in reversed(written.values()):  # the first that was taken of a memory has the last word
                snapshot.restore()
            for tensor, array, version, requires_grad in swapped:
                tensor.data, tensor.version, tensor.requires_grad = array, version, requires_grad
            _restore(state)

    def _state(self) -> Iterator[Tensor]:
        modules, tensors = self.constants
        seen: set[int] = set()
        for module in {id(each): each for each in (*self.modules, *modules)}.values():
            tensors = [*tensors, *module.parameters(), *module.buffers()]
        given = {id(each) for each in self.arguments}
        for tensor in tensors:
            if id(tensor) not in seen and id(tensor) not in given:
                seen.add(id(tensor))
                yield tensor

    def _install(
        self, arrays: Arrays, dtype: Any, record: bool, subset: Collection[int] | None
    ) -> tuple[list[Any], list[Tensor]]:
        arguments: list[Any] = [
            Tensor(each.data.astype(dtype)) if isinstance(each, Tensor) and each.dtype.kind == "f" else each
            for each in self.arguments
        ]
        for tensor in self._state():
            if tensor.dtype.kind == "f" and tensor.dtype != dtype:
                tensor.data = tensor.data.astype(dtype)
            if tensor.is_leaf and not isinstance(tensor, Buffer):
                tensor.requires_grad_(False)
        leaves: list[Tensor] = []
        for number, (variable, array) in enumerate(zip(self.variables, arrays, strict=True)):
            requires_grad = record and (subset is None or number in subset)
            if variable.parameter is not None:
                leaf: Tensor = variable.parameter
                leaf.data = backend.to_device(np.asarray(array), leaf.device)  # asarray: a 0-d result may be a scalar
                leaf.requires_grad_(requires_grad)
            else:
                assert variable.position is not None
                original: Any = self.arguments[variable.position]
                leaf = Tensor(backend.to_device(np.array(array), original.device), requires_grad)
                arguments[variable.position] = leaf
            leaves.append(leaf)
        return arguments, leaves


def _restore(state: dict[str, Any]) -> None:
    """Set the state of the thread's generator, which stays the same object."""
    default_generator().bit_generator.state = state
