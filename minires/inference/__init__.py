"""A trained model made ready to run: `compile` it once, then call it like the model.

    fast = inference.compile(model, example)
    logits = fast(images)

The plan behind it folds batch norm into the convolutions, packs (or transforms) every weight once, fuses the sum and
the ReLU of a residual block into its last convolution, and lays out all buffers beforehand: a call allocates its result
alone. Another shape of input is planned when it first comes. On a GPU the plan is captured as a CUDA graph, which one
launch replays. What is compiled is a snapshot, of a function as of a
Module: training the weights further changes no answer, also not for a shape that comes later.
"""

from __future__ import annotations

import copy
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import numpy as np

from minires import backend
from minires.backend import Array
from minires.backend.cuda.precision import tf32_allowed
from minires.core.tensor import Tensor, read_only
from minires.errors import DtypeError, MiniResError, ShapeError
from minires.inference.constants import Constants
from minires.inference.cuda_graph import CapturedPlan
from minires.inference.packed_weights import WeightCache
from minires.inference.plan import Plan
from minires.inference.trace import Trace, trace
from minires.nn import Module

MAX_PLANS = 8  # shapes that are remembered; the one that was not used for longest is planned anew
TOLERANCE = 1e-4  # of the largest output, between the plan's answer and the model's
TF32_TOLERANCE = 1e-2  # where products may be made in TF32: folded weights are rounded otherwise than the model's

__all__ = ["CompiledModel", "compile"]


class CompiledModel:
    """What `compile` returns. May be called from several threads at once: each has buffers of its own; on a GPU they
    take turns.

    A call takes a Tensor or an array (N, C, H, W) and returns what the model returns: Tensors for a Tensor, arrays for
    an array. No graph is recorded.
    """

    def __init__(self, model: Callable[[Tensor], Any], example: Array, constants: Constants) -> None:
        self._model, self._constants = model, constants
        self._weights = WeightCache()
        self._plans: OrderedDict[tuple[Any, ...], Plan | CapturedPlan] = OrderedDict()
        self._lock = threading.Lock()
        _living.add(self)
        plan = self._plan_for(example)
        other = _probe_input(example)
        _check(plan, trace(model, other, constants), other, "for other numbers than the example's")

    def __call__(self, x: Tensor | Array) -> Any:
        """The model's answer."""
        array = x.data if isinstance(x, Tensor) else x
        if not backend.is_array(array):
            raise DtypeError(f"a compiled model needs a Tensor or an array, got a {type(x).__name__}")
        plan = self._plan_for(array)
        outputs = plan.run(array)
        if isinstance(x, Tensor):
            return plan.rebuild([Tensor(read_only(output)) for output in outputs])
        return plan.rebuild(outputs)

    def describe(self, shape: tuple[int, ...] | None = None) -> str:
        """The steps of the plan for inputs of `shape` (by default the one used last), a line each."""
        plans = list(self._plans.values())
        chosen = [plan for plan in plans if shape is None or plan.shape == shape]
        if not chosen:
            known = ", ".join(str(plan.shape) for plan in plans)
            raise ShapeError(f"describe: no plan for inputs of shape {shape}; there is one for {known}")
        return chosen[-1].describe()

    def _plan_for(self, x: Array) -> Plan | CapturedPlan:
        """The plan for arrays like `x`; made, and checked on x itself, when such an array first comes."""
        provider = backend.provider_for("conv2d", x).name
        key = tuple(x.shape), x.dtype.str, backend.device_of(x), provider, tf32_allowed()
        with self._lock:
            if key in self._plans:
                self._plans.move_to_end(key)
                return self._plans[key]
            run = trace(self._model, x, self._constants)
            steps = Plan(run, self._weights)
            plan = CapturedPlan(steps, x) if provider == "cuda" else steps
            _check(plan, run, x, f"for input {tuple(x.shape)}")
            self._plans[key] = plan
            if len(self._plans) > MAX_PLANS:
                self._plans.popitem(last=False)
            return plan


_living: WeakSet[CompiledModel] = WeakSet()


def _renew_locks() -> None:
    """In a child after fork: who held a lock in the parent (another thread, planning) is not here to release it."""
    for compiled in list(_living):
        compiled._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def _check(plan: Plan | CapturedPlan, expected: Trace, x: Array, when: str) -> None:
    """Raise MiniResError unless the plan answers as the model did in the run `expected`."""
    tolerance = TF32_TOLERANCE if tf32_allowed() and backend.device_of(x) != "cpu" else TOLERANCE
    for number, ours in zip(expected.outputs, plan.run(x), strict=True):
        theirs = backend.to_device(expected.arrays[number], "cpu").astype("float64")
        with np.errstate(all="ignore"):
            off = np.abs(backend.to_device(ours, "cpu") - theirs).max(initial=0)
        largest = np.abs(theirs).max(initial=0)
        if np.isfinite(theirs).all() and not off <= tolerance * largest:
            raise MiniResError(
                f"compile: the plan's answer is not the model's {when}: an output {theirs.shape} is off by {off:.2g}, "
                f"its largest number is {largest:.2g}, and {tolerance:g} of that is allowed. Either the model's "
                "forward decides something by the numbers of its input or computes outside MiniRes's operations, where "
                "no plan can see it; or the plan rounds differently where the model's numbers cancel, or is wrong, "
                "which is MiniRes's fault. Call the model itself"
            )


def compile(model: Callable[[Tensor], Any], example: Tensor | Array) -> CompiledModel:
    """Make `model` ready to run on inputs like `example` (of any numbers; other shapes are planned when they come).

    model: a Module in eval mode, or any function of one Tensor made of MiniRes's operations; it returns a Tensor, or a
    tuple, list or dict of Tensors. example: (N, C, H, W), a Tensor or an array of the model's dtype. The answers equal
    those of the model as it is now, to 1e-4 of the largest (with TF32 to 1e-2): a Module is copied, and so is every
    tensor that a function reads, when it first reads it. A function runs once more for each new shape; what it writes
    (running statistics) is put back. Raises MiniResError for a model in training mode, or that no plan can follow.
    """
    constants = Constants()
    if isinstance(model, Module):
        if any(module.training for module in model.modules()):
            raise MiniResError("compile: the model is in training mode; call model.eval() first")
        model = copy.deepcopy(model)
        constants = Constants([*model.parameters(), *model.buffers()])
    array = example.data if isinstance(example, Tensor) else example
    if not backend.is_array(array) or array.dtype.kind != "f" or not array.size:
        raise DtypeError("compile: the example must be a Tensor or an array of floating-point numbers, with some in it")
    return CompiledModel(model, array, constants)


def _probe_input(x: Array) -> Array:
    """x from back to front, with the other sign and of another size, and noise: most decisions fall otherwise on it.

    The noise, a third of the largest number in x, or of size 1 where x is zero, is what an example without numbers of
    its own is tested by. Its sum, too, has the sign that x's has not.
    """
    host = backend.to_device(x, "cpu").astype("float64")
    known = np.where(np.isfinite(host), host, 0.0)
    noise = np.random.default_rng(0).standard_normal(host.shape)
    noise *= -np.sign(noise.sum()) * (1.0 if known.sum() >= 0 else -1.0)
    largest = np.abs(known).max()
    other = -0.7 * known.reshape(-1)[::-1].reshape(host.shape) + (0.3 * largest or 1.0) * noise
    with np.errstate(over="ignore"):
        return backend.to_device(other.astype(x.dtype), backend.device_of(x))
