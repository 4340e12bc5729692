"""Compiles a trained model for inference: `compile` it once, then call the result like the model.

    fast = inference.compile(model, example)
    logits = fast(images)

The plan of a compiled model folds batch norm into the convolutions, packs (or transforms) every weight once, and fuses
the sum and the ReLU of a residual block into its last convolution. It assigns all buffers beforehand; a call takes them
from the memory that is kept for reuse, and gives them back. Each new input shape gets its own plan when it first comes.
On a GPU the plan is captured as a CUDA graph, which one launch replays.

A compiled model is a snapshot: training the weights further does not change its results, for any input shape.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NoReturn
from weakref import WeakSet

import numpy as np

from minires import backend
from minires.backend import Array, cpu
from minires.backend.cuda.precision import tf32_allowed
from minires.core.readonly import read_only
from minires.core.tensor import Tensor
from minires.errors import DtypeError, MiniResError, ShapeError
from minires.inference.constants import Constants
from minires.inference.cuda_graph import CapturedPlan
from minires.inference.packed_weights import WeightCache
from minires.inference.plan import Plan
from minires.inference.snapshot import snapshot
from minires.inference.trace import trace
from minires.nn import Module
from minires.nn.module import training_part

MAX_PLANS = 8  # input shapes whose plans are kept at most; the least recently used one is dropped
TOLERANCE = 1e-4  # between the plan's output and the model's, relative to the largest output
TF32_TOLERANCE = 1e-2  # the same if TF32 is allowed: folded weights are rounded differently from the model's

__all__ = ["CompiledModel", "compile"]


class CompiledModel:
    """The result of `compile`. Several threads may call it at once: each call has its own buffers; on a GPU they take
    turns. `minires.set_cache_limit` bounds what calls leave for reuse, and the packed weights of the plans, each, and
    `minires.empty_cache` frees both.

    A call takes a Tensor or an array (N, C, H, W) and returns what the model returns: Tensors for a Tensor, arrays for
    an array. It records no graph.
    """

    def __init__(self, model: Callable[[Tensor], Any], example: Array, constants: Constants) -> None:
        self._model, self._constants = model, constants
        self._weights = WeightCache()
        self._plans: OrderedDict[tuple[Any, ...], Plan | CapturedPlan] = OrderedDict()
        self._lock = threading.Lock()
        _compiled_models.add(self)
        probe = _probe_input(example)
        run = trace(model, probe, constants)  # before there are packed weights, which take memory too
        _warn_of_hooks(run.hooked)
        _verify(self._plan_for(example), run.results, probe, "for other numbers than the example's")

    def __call__(self, x: Tensor | Array) -> Any:
        """The model's output for `x` (N, C, H, W). Raises DtypeError for anything but a Tensor or an array."""
        array = x.data if isinstance(x, Tensor) else x
        if not backend.is_array(array):
            raise DtypeError(f"a compiled model needs a Tensor or an array, got a {type(x).__name__}")
        plan = self._plan_for(array)
        outputs = plan.run(array)
        if isinstance(x, Tensor):
            return plan.rebuild([Tensor(read_only(output)) for output in outputs])
        return plan.rebuild(outputs)

    def __deepcopy__(self, memo: Any) -> CompiledModel:
        return self  # it never changes, and threads may share it

    def __copy__(self) -> CompiledModel:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise MiniResError(
            "a compiled model cannot be pickled, since its plans belong to this process: send the model, and compile "
            "it there"
        )

    def describe(self, shape: tuple[int, ...] | None = None) -> str:
        """One line for each step of the plan for inputs of `shape`, by default the plan that was used last.

        Raises ShapeError if there is no plan for that shape.
        """
        plans = list(self._plans.values())
        chosen = [plan for plan in plans if shape is None or plan.shape == shape]
        if not chosen:
            known = ", ".join(str(plan.shape) for plan in plans)
            raise ShapeError(f"describe: no plan for inputs of shape {shape}; there is one for {known}")
        return chosen[-1].describe()

    def _plan_for(self, x: Array) -> Plan | CapturedPlan:
        """The plan for arrays like `x`. The first such array makes it, and verifies it on its own numbers."""
        provider = backend.provider_for("conv2d", x).name
        key = tuple(x.shape), x.dtype.str, backend.device_of(x), provider, tf32_allowed()
        with self._lock:
            if key in self._plans:
                self._plans.move_to_end(key)
                return self._plans[key]
            run = trace(self._model, x, self._constants)
            cpu.free_kept_memory()  # that of the run: the plan's buffers have other sizes
            steps = Plan(run, self._weights)
            plan = CapturedPlan(steps, x) if provider == "cuda" else steps
            _verify(plan, run.results, x, f"for input {tuple(x.shape)}")
            self._plans[key] = plan
            while len(self._plans) > 1 and (len(self._plans) > MAX_PLANS or self._weights.nbytes() > _limit()):
                self._plans.popitem(last=False)
            return plan

    def forget_plans(self) -> None:
        """Drop all plans, with their packed weights; the next call plans anew. `minires.empty_cache` calls this."""
        with self._lock:
            self._plans.clear()


def _limit() -> int:
    """The most bytes of packed weights that the plans of one model may have together; one plan may have more."""
    return cpu.cache_state().limit if cpu.library is not None else sys.maxsize


_compiled_models: WeakSet[CompiledModel] = WeakSet()


def _forget_all_plans() -> None:
    for compiled in list(_compiled_models):
        compiled.forget_plans()


cpu.also_empty(_forget_all_plans)


def _renew_locks() -> None:
    """Replace all locks in a forked child: a parent's thread that held one is not there to release it."""
    for compiled in list(_compiled_models):
        compiled._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def _warn_of_hooks(hooked: Sequence[object]) -> None:
    """Warn that forward hooks, which have run in the trace, will not run when the compiled model is called."""
    if hooked:
        kinds = ", ".join(dict.fromkeys(type(module).__name__ for module in hooked))
        warnings.warn(
            f"compile: forward hooks of {kinds} run only while the model is compiled, not when the compiled model is "
            "called; what they return in place of outputs becomes part of the plan. Let forward return the features, "
            "or call the model itself",
            stacklevel=4,
        )


def _verify(plan: Plan | CapturedPlan, expected: Sequence[Array], x: Array, when: str) -> None:
    """Raise MiniResError unless the plan's outputs for x equal those of the model, `expected`."""
    tolerance = TF32_TOLERANCE if tf32_allowed() and backend.device_of(x) != "cpu" else TOLERANCE
    for result, ours in zip(expected, plan.run(x), strict=True):
        theirs = backend.to_device(result, "cpu").astype("float64")
        with np.errstate(all="ignore"):
            off = np.abs(backend.to_device(ours, "cpu") - theirs).max(initial=0)
        largest = np.abs(theirs).max(initial=0)
        if np.isfinite(theirs).all() and not off <= tolerance * largest:
            raise MiniResError(
                f"compile: the plan's output is not the model's {when}: an output {theirs.shape} is off by {off:.2g}, "
                f"its largest number is {largest:.2g}, and {tolerance:g} of that is allowed. Either the model's "
                "forward depends on the numbers of its input, or computes outside MiniRes's operations, which no plan "
                "can follow; or the plan rounds differently where the model's numbers cancel; or the plan is wrong, "
                "which is MiniRes's fault. Call the model itself"
            )


def compile(model: Callable[[Tensor], Any], example: Tensor | Array) -> CompiledModel:
    """Compile `model` for inputs like `example`; other input shapes are planned when they first come.

    The outputs equal those of the model as it is now, to 1e-4 of the largest number (with TF32 to 1e-2). A Module is
    copied, though its weights only when something changes them (`snapshot.py`); so is every tensor that a function
    reads, when it first reads it. A function runs again for each new input shape, and what it writes is restored.
    Forward hooks run only then, and a warning says so.

    Args:
        model: a Module in eval mode, or a function of one Tensor made of MiniRes's operations. It returns a Tensor, or
            a tuple, list or dict of Tensors.
        example: a Tensor or an array (N, C, H, W) of the model's dtype, with any numbers.

    Raises MiniResError if the model, or what a function calls, is in training mode, or if no plan can follow it, and
    DtypeError for an example that is not a non-empty array of floating-point numbers.
    """
    constants = Constants()
    if isinstance(model, Module):
        if part := training_part(model):
            raise MiniResError(f"compile: {part} is in training mode; call model.eval() first")
        model, locks = snapshot(model)
        constants = Constants([*model.parameters(), *model.buffers()], locks)
    array = example.data if isinstance(example, Tensor) else example
    if not backend.is_array(array) or array.dtype.kind != "f" or not array.size:
        raise DtypeError("compile: the example must be a Tensor or an array of floating-point numbers, and not empty")
    return CompiledModel(model, array, constants)


def _probe_input(x: Array) -> Array:
    """Another input of the shape of `x`, on which most data-dependent branches of a model go the other way.

    It is x reversed, negated and scaled, plus noise of 0.3 times the largest number in x (or 1 if x is zero). The sum
    of the noise has the sign opposite to the sum of x.
    """
    host = backend.to_device(x, "cpu")
    known = np.where(np.isfinite(host), host, host.dtype.type(0))
    noise: Any = np.random.default_rng(0).standard_normal(host.shape, np.float32)
    probe: Any = noise.astype(np.result_type(x.dtype, np.float32), copy=False)
    sign = -np.sign(probe.sum(dtype="float64")) * (1.0 if known.sum(dtype="float64") >= 0 else -1.0)
    with np.errstate(over="ignore"):
        probe *= sign * (0.3 * float(max(known.max(), -known.min())) or 1.0)
        probe -= probe.dtype.type(0.7) * known.reshape(-1)[::-1].reshape(host.shape)
        return backend.to_device(probe.astype(x.dtype), backend.device_of(x))
