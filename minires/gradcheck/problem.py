"""What is being checked: a function at a point, ready to be evaluated elsewhere and to be differentiated.

A function of Tensors becomes F: ℝⁿ → ℝᵐ on lists of arrays (all outputs, flattened, one after the other), in any dtype.
Evaluating it leaves no trace: parameters and buffers get their arrays back, whatever the engine wrote into (running
statistics) is as before, and random numbers are the same each time, so a dropout mask does not change.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from minires import backend
from minires.backend import Array, use_backend
from minires.core import modes
from minires.core.autograd import grad
from minires.core.random import default_generator, get_state
from minires.core.tensor import Tensor
from minires.errors import DtypeError, GraphError, ShapeError
from minires.gradcheck.interceptors import (
    BranchComparator,
    BranchRecord,
    BranchRecorder,
    BranchReplayer,
    RoundingPerturber,
)
from minires.nn.module import Buffer, Module, Parameter

Arrays = list[np.ndarray]
Direction = Sequence[np.ndarray | None]  # None: this array stays where it is
Interceptor = BranchRecorder | BranchReplayer | BranchComparator


@dataclass(frozen=True)
class Variable:
    """One array by which f is differentiated: an argument (by its place) or a parameter of a module."""

    name: str
    array: np.ndarray
    place: int | None = None
    parameter: Parameter | None = None


class Problem:
    """f at a point.

    f: a function of Tensors, or a Module. inputs: its arguments: Tensors, arrays, and Modules, whose parameters count.
    dtype: in which the engine differentiates; None: as the inputs are. provider: whose kernels do. modules: those f is
    made of, if it is none itself. last_alone: the last argument is the only variable.
    Raises ShapeError if nothing is there to differentiate by.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        inputs: Any,
        names: Sequence[str] | None,
        dtype: Any,
        provider: str | None,
        modules: Sequence[Module] = (),
        last_alone: bool = False,
    ) -> None:
        self.f, self.provider = f, provider
        self.arguments = [each if isinstance(each, Module) else _as_tensor(each) for each in _sequence(inputs)]
        self.modules = [*modules] or [each for each in (*self.arguments, f) if isinstance(each, Module)]
        self.names = list(names) if names is not None else _names(f, len(self.arguments))
        if len(self.names) != len(self.arguments):
            raise ShapeError(f"gradcheck: {len(self.names)} names for {len(self.arguments)} inputs")
        self.variables = self._variables()[-1:] if last_alone else self._variables()
        if not self.variables:
            raise ShapeError(
                "gradcheck: nothing to differentiate by: give at least one Tensor of a floating-point dtype, or a "
                "Module with parameters"
            )
        kinds = {variable.array.dtype for variable in self.variables}
        self.dtype = _dtype(np.result_type(*kinds) if dtype is None else dtype)
        self.random_state = get_state()
        self.point = [variable.array.astype(self.dtype) for variable in self.variables]
        self.point = [array.astype(np.float64) for array in self.point]  # the very numbers that self.dtype holds
        self._complex: Arrays | None = None
        self.records = False  # whether f is evaluated with a graph

    def _variables(self) -> list[Variable]:
        tensors = [(i, each) for i, each in enumerate(self.arguments) if isinstance(each, Tensor)]
        asked = [i for i, tensor in tensors if tensor.requires_grad]
        if not asked or isinstance(self.f, Module):
            asked = [i for i, tensor in tensors if tensor.dtype.kind == "f"]
        parameters = [
            Variable(name, each.numpy(), parameter=each)
            for module in self.modules
            for name, each in module.named_parameters()
            if each.requires_grad
        ]
        return parameters + [Variable(self.names[i], tensor.numpy(), place=i) for i, tensor in tensors if i in asked]

    def at(self, h: complex, direction: Direction) -> Arrays:
        """x + h·d, complex if h is; where d is None, x itself."""
        if isinstance(h, complex) and self._complex is None:
            self._complex = [x.astype(np.complex128) for x in self.point]  # once: a network's weights are many
        still = self._complex if isinstance(h, complex) and self._complex is not None else self.point
        return [rest if d is None else x + h * d for x, rest, d in zip(self.point, still, direction, strict=True)]

    # -- evaluating ---------------------------------------------------------------------------------------------------

    def outputs(
        self, arrays: Arrays, interceptor: Interceptor | None = None, provider: str | None = "reference"
    ) -> np.ndarray:
        """F at `arrays`, (m,), in their dtype, by the reference kernels or another provider's."""
        backend_used = nullcontext() if provider is None else use_backend(provider)
        intercepted = modes.intercepting(compute=interceptor)
        installed = self.installed(arrays, record=self.records)
        with modes.set_grad_enabled(self.records), installed as (arguments, _), backend_used, intercepted:
            return _flat(tensors_of(self.f(*arguments)))

    def listen(self, arrays: Arrays, provider: str | None = "reference") -> tuple[np.ndarray, list[BranchRecord]]:
        """F at `arrays`, and the choices made."""
        recorder = BranchRecorder()
        try:
            return self.outputs(arrays, recorder, provider), recorder.records
        except GraphError:  # f asks for a graph, to hang a hook on a tensor in it
            if self.records:
                raise
            self.records = True
            return self.listen(arrays, provider)

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
        formulas: bool = False,
        only: Collection[int] | None = None,
        twice: bool = False,
        notes: Sequence[BranchRecord] | None = None,
        perturber: RoundingPerturber | None = None,
    ) -> Arrays:
        """Jᵀ u at `arrays` (default: the point), by the engine, in self.dtype and by self.provider.

        formulas: by each op's `backward` even where it has a fused one. only: while no other variable than these asks.
        twice: that of a second pass over the same graph. notes: with
        the choices of another pass. What f does not depend on has a gradient of zeros. Returned as float64 or complex.
        """
        dtype = np.result_type(self.dtype, np.complex64) if _any_complex(arrays) else self.dtype
        point = [np.asarray(array, dtype) for array in (self.point if arrays is None else arrays)]
        with ExitStack() as stack:
            arguments, leaves = stack.enter_context(self.installed(point, record=True, only=only))
            stack.enter_context(modes.enable_grad())
            if self.provider is not None:
                stack.enter_context(use_backend(self.provider))
            if formulas:
                stack.enter_context(modes.disable_fused_backward())
            stack.enter_context(modes.intercepting(compute=perturber))
            with modes.intercepting(compute=None if notes is None else BranchReplayer(notes)):
                outputs = tensors_of(self.f(*arguments))
            return self._differentiate(outputs, leaves, cotangent, dtype, twice)

    def _differentiate(
        self, outputs: list[Tensor], leaves: list[Tensor], u: np.ndarray, dtype: Any, twice: bool
    ) -> Arrays:
        seeds, start = [], 0
        for output in outputs:
            piece = u[start : start + output.numel()].reshape(output.shape).astype(output.dtype)
            seeds.append(Tensor(backend.to_device(piece, output.device)))
            start += output.numel()
        roots = [(output, seed) for output, seed in zip(outputs, seeds, strict=True) if output.requires_grad]
        asking = [leaf for leaf in leaves if leaf.requires_grad]
        found: Sequence[Tensor | None] = [None] * len(asking)
        if roots and asking:
            given = [output for output, _ in roots], asking, [seed for _, seed in roots]
            if twice:
                grad(*given, retain_graph=True, allow_unused=True)
            found = grad(*given, allow_unused=True)
        gradients = iter(found)
        result: Arrays = []
        for leaf in leaves:
            gradient = next(gradients) if leaf.requires_grad else None
            wide = np.complex128 if np.dtype(dtype).kind == "c" else np.float64
            result.append(np.zeros(leaf.shape, wide) if gradient is None else np.array(gradient.numpy(), wide))
        return result

    # -- putting numbers in place -------------------------------------------------------------------------------------

    @contextmanager
    def installed(
        self, arrays: Arrays, record: bool = False, only: Collection[int] | None = None
    ) -> Iterator[tuple[list[Any], list[Tensor]]]:
        """(arguments, variables) holding `arrays`; afterwards all that was there before is there again."""
        dtype = np.result_type(*(array.dtype for array in arrays))
        written: dict[int, tuple[Tensor, Array, int]] = {}

        def watch(tensor: Tensor) -> None:
            if id(tensor) not in written:  # the engine writes into a copy, so the array that was there stays as it was
                written[id(tensor)] = tensor, tensor.data, tensor.version
                tensor.data = tensor.data.copy()

        state = get_state()
        _restore(self.random_state)
        swapped = [(each, each.data, each.version, each.requires_grad) for each in self._state()]
        try:
            with modes.watching_writes(watch):
                yield self._install(arrays, dtype, record, only)
        finally:
            for tensor, array, version in written.values():
                tensor.data, tensor.version = array, version
            for tensor, array, version, requires_grad in swapped:
                tensor.data, tensor.version, tensor.requires_grad = array, version, requires_grad
            _restore(state)

    def _state(self) -> Iterator[Tensor]:
        for module in self.modules:
            yield from module.parameters()
            yield from module.buffers()

    def _install(
        self, arrays: Arrays, dtype: Any, record: bool, only: Collection[int] | None
    ) -> tuple[list[Any], list[Tensor]]:
        arguments: list[Any] = [
            Tensor(each.data.astype(dtype)) if isinstance(each, Tensor) and each.dtype.kind == "f" else each
            for each in self.arguments
        ]
        for tensor in self._state():
            if tensor.dtype.kind == "f" and tensor.dtype != dtype:
                tensor.data = tensor.data.astype(dtype)
            if not isinstance(tensor, Buffer):
                tensor.requires_grad_(False)
        leaves: list[Tensor] = []
        for number, (variable, array) in enumerate(zip(self.variables, arrays, strict=True)):
            asks = record and (only is None or number in only)
            if variable.parameter is not None:
                leaf: Tensor = variable.parameter
                leaf.data = backend.to_device(np.asarray(array), leaf.device)  # array: of no axes it may be a scalar
                leaf.requires_grad_(asks)
            else:
                assert variable.place is not None
                original: Any = self.arguments[variable.place]
                leaf = Tensor(backend.to_device(np.array(array), original.device), asks)
                arguments[variable.place] = leaf
            leaves.append(leaf)
        return arguments, leaves


def _restore(state: dict[str, Any]) -> None:
    """Put the thread's generator back, as the very object it is."""
    default_generator().bit_generator.state = state


def _dtype(given: Any) -> np.dtype[Any]:
    try:
        dtype = np.dtype(given)
    except TypeError:
        dtype = None
    if dtype not in (np.float32, np.float64):
        raise DtypeError(
            f"gradcheck: dtype {given} must be float64 (or float32, which shows less); pass dtype=np.float64"
        )
    return np.dtype(dtype)


def _sequence(inputs: Any) -> list[Any]:
    return list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]


def _as_tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if not backend.is_array(value):
        raise DtypeError(f"gradcheck: an input is a {type(value).__name__}: give Tensors, arrays or Modules")
    return Tensor(value.copy())


def _names(f: Callable[..., Any], count: int) -> list[str]:
    """The parameters' names in f's signature, or "input 0", "input 1"."""
    try:
        parameters = inspect.signature(f.forward if isinstance(f, Module) else f).parameters.values()
    except (TypeError, ValueError):
        parameters = {}.values()
    plain = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return [plain[i] if i < len(plain) else f"input {i}" for i in range(count)]


def tensors_of(outputs: Any) -> list[Tensor]:
    """The floating-point Tensors that f returned."""
    found = [outputs] if isinstance(outputs, Tensor) else list(outputs) if isinstance(outputs, (tuple, list)) else None
    if found is None or not all(isinstance(each, Tensor) for each in found):
        raise GraphError(f"gradcheck: f must return a Tensor or several, not a {type(outputs).__name__}")
    return [each for each in found if each.dtype.kind in "fc"]


def _flat(tensors: list[Tensor]) -> np.ndarray:
    if not tensors:
        raise GraphError("gradcheck: f returned no Tensor of a floating-point dtype")
    return np.concatenate([np.array(tensor.numpy()).reshape(-1) for tensor in tensors])


def _any_complex(arrays: Arrays | None) -> bool:
    return arrays is not None and any(array.dtype.kind == "c" for array in arrays)
