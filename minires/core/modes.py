"""Modes of the engine: whether the graph is recorded, whether numbers are checked, who intercepts operations.

Each mode is a context variable and so belongs to a thread, not to the process: two threads can train two models while
a third predicts under `no_grad`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from minires.backend.switches import Decorated, Switch, setting
from minires.core.settings import flag

if TYPE_CHECKING:
    from minires.backend import Array
    from minires.core.function import Function
    from minires.core.tensor import Tensor

_grad_enabled: ContextVar[bool] = ContextVar("minires_grad_enabled", default=True)
_anomaly: ContextVar[bool] = ContextVar("minires_anomaly", default=False)
_inside_backward: ContextVar[bool] = ContextVar("minires_inside_backward", default=False)
_fused_backward_disabled: ContextVar[bool] = ContextVar("minires_fused_backward_disabled", default=False)
_indices_checked: ContextVar[bool] = ContextVar("minires_indices_checked", default=False)
_complex_step: ContextVar[bool] = ContextVar("minires_complex_step", default=False)
_FLOAT32 = np.dtype(np.float32)
_default_dtype: ContextVar[np.dtype[Any]] = ContextVar("minires_default_dtype", default=_FLOAT32)


def switch(variable: ContextVar[Any], value: Any) -> AbstractContextManager[None]:
    """Within the block, and this thread or async task, `variable` has `value`."""
    return Switch(variable, value)


# -- recording --------------------------------------------------------------------------------------------------------


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require gradients are recorded (torch.is_grad_enabled)."""
    return _grad_enabled.get()


@overload
def no_grad() -> Switch: ...
@overload
def no_grad(function: Decorated) -> Decorated: ...
def no_grad(function: Any = None) -> Any:
    """Record nothing in this block or decorated function: no graph, no memory for backward (torch.no_grad).

    `@no_grad` and `@no_grad()` decorate alike. As in torch, a generator that yields inside the block leaves its caller
    inside of it, until the generator goes on. An async generator that is abandoned there leaves its task inside of it:
    close it, with `contextlib.aclosing`.
    """
    switch = Switch(_grad_enabled, False)
    return switch if function is None else switch(function)


def inference_mode(mode: Any = True) -> Any:
    """As `no_grad`, also as a decorator; with mode=False as `enable_grad` (torch.inference_mode).

    Tensors made in the block are ordinary ones: they may take part in a graph afterwards.
    """
    if callable(mode):
        return Switch(_grad_enabled, False)(mode)
    return Switch(_grad_enabled, not flag("inference_mode", "mode", mode))


@overload
def enable_grad() -> Switch: ...
@overload
def enable_grad(function: Decorated) -> Decorated: ...
def enable_grad(function: Any = None) -> Any:
    """Record operations again, inside of `no_grad` (torch.enable_grad); `@enable_grad` decorates, too."""
    switch = Switch(_grad_enabled, True)
    return switch if function is None else switch(function)


class set_grad_enabled(Switch):  # a class with a name in small letters, as in torch: it is called like a function
    """Record operations, or not, from this call on (torch.set_grad_enabled).

    `set_grad_enabled(mode)` takes effect at once in this thread. As a context manager it restores, at the end of the
    block, what was set before the call; as a decorator it sets `mode` for each call of the function.
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(_grad_enabled, flag("set_grad_enabled", "mode", mode))
        self.before = is_grad_enabled()
        _grad_enabled.set(self.value)

    def __call__(self, function: Decorated) -> Decorated:
        """Decorate `function`; outside of it nothing is changed."""
        _grad_enabled.set(self.before)
        return super().__call__(function)

    def __enter__(self) -> None:
        _grad_enabled.set(self.value)

    def __exit__(self, *exception: object) -> None:
        _grad_enabled.set(self.before)


# -- checking ---------------------------------------------------------------------------------------------------------


def detect_anomaly() -> Switch:
    """Raise NonFiniteError at the first NaN or infinity, forward or backward, naming the op and the user's line.

    Follows torch.autograd.detect_anomaly, but checks forward too. Every array is scanned, so use it for debugging only.
    """
    return Switch(_anomaly, True)


def is_detecting_anomaly() -> bool:
    """Whether `detect_anomaly` is on in this thread."""
    return _anomaly.get()


def inside_backward() -> Switch:
    """Set while an op's backward runs: anomaly detection then checks only what that backward returns.

    The steps of its formula are not checked. They may pass through an infinity that is masked later (xᵇ at x = 0 and
    b = 0), and an error in step "Divide" would not tell the user that the gradient is that of √.
    """
    return Switch(_inside_backward, True)


def is_inside_backward() -> bool:
    """Whether an op's backward is running in this thread."""
    return _inside_backward.get()


def disable_fused_backward() -> Switch:
    """Use every op's `backward`, the formula, even where it has a `backward_fused`. Tests compare the two."""
    return Switch(_fused_backward_disabled, True)


def is_fused_backward_disabled() -> bool:
    """Whether `disable_fused_backward` is on in this thread."""
    return _fused_backward_disabled.get()


def indices_checked() -> Switch:
    """The caller guarantees that labels and indices in this block are in range, and that no label is to be ignored.

    Ops then do not read them. Reading them on a GPU would synchronise, and cannot be captured in a CUDA graph.
    """
    return Switch(_indices_checked, True)


def are_indices_checked() -> bool:
    """Whether `indices_checked` is on in this thread."""
    return _indices_checked.get()


def complex_step() -> Switch:
    """Complex Tensors in this block stand for real numbers that carry a derivative in their imaginary part.

    A gradient check evaluates f(x + i·h) so. Comparisons, kinks and |x| go by the real part, and complex Tensors may
    require gradients. Elsewhere a complex Tensor is a complex number, and what has no meaning for it is refused.
    """
    return Switch(_complex_step, True)


def is_complex_step() -> bool:
    """Whether `complex_step` is on in this thread."""
    return _complex_step.get()


def making(dtype: np.dtype[Any]) -> Switch:
    """Tensors that are made in this block, of no dtype of their own, are of `dtype`: `zeros(3)`, `tensor([1.5])`.

    A gradient check evaluates f in float64 and in complex numbers; so what f makes fits to what f is given.
    """
    return Switch(_default_dtype, np.dtype(dtype))


def default_dtype() -> np.dtype[Any]:
    """The dtype of Tensors of Python's floats, float32 outside of `making`."""
    return _default_dtype.get()


# -- intercepting -----------------------------------------------------------------------------------------------------


class Interceptor:
    """What happens at each operation: `compute` makes its output array, then `observe` sees what was done.

    One that is not given leaves the operation as it is: its own `forward` computes, and nothing is observed.
    """

    __slots__ = ("compute", "observe")

    def __init__(
        self,
        compute: Callable[[Function, list[Array]], Array] = lambda op, arrays: op.forward(*arrays),
        observe: Callable[[Function, tuple[Tensor, ...], Tensor], None] = lambda op, inputs, output: None,
    ) -> None:
        self.compute, self.observe = compute, observe


_interceptor: ContextVar[Interceptor | None] = ContextVar("minires_interceptor", default=None)
_write_watcher: ContextVar[Callable[[Tensor], None] | None] = ContextVar("minires_write_watcher", default=None)


def intercepting(
    compute: Callable[[Function, list[Array]], Array] | None = None,
    observe: Callable[[Function, tuple[Tensor, ...], Tensor], None] | None = None,
) -> AbstractContextManager[None]:
    """Intercept each operation of this thread in this block, whether it is recorded or not.

    Args:
        compute: `compute(op, arrays)` returns the operation's output array, by `op.forward` or otherwise.
        observe: `observe(op, inputs, output)` is called after each operation, with Tensors.

    One that is left out stays as it is outside of the block.
    """
    outer = _interceptor.get() or Interceptor()
    return setting(_interceptor, Interceptor(compute or outer.compute, observe or outer.observe))


def interceptor() -> Interceptor | None:
    """The interceptor of this thread's operations; None outside of every `intercepting` block."""
    return _interceptor.get()


def watching_writes(watcher: Callable[[Tensor], None]) -> AbstractContextManager[None]:
    """Call `watcher(tensor)` before the engine writes into a tensor: running statistics, `assign_`, optimisers."""
    return setting(_write_watcher, watcher)


def write_watcher() -> Callable[[Tensor], None] | None:
    """The function to call before a tensor is written into, if there is one."""
    return _write_watcher.get()


_read_watcher: ContextVar[Callable[[Tensor], None] | None] = ContextVar("minires_read_watcher", default=None)
_hook_watcher: ContextVar[Callable[[object], None] | None] = ContextVar("minires_hook_watcher", default=None)


def watching_reads(watcher: Callable[[Tensor], None]) -> AbstractContextManager[None]:
    """Call `watcher(tensor)` before Python gets a tensor's numbers (`item`, `bool`, `float`, `numpy`), or a comparison,
    an argmax or a cast to integers, which are no nodes of a graph."""
    return setting(_read_watcher, watcher)


def note_read(*tensors: Tensor) -> None:
    """Tell the watcher of reads, if there is one, that numbers of `tensors` leave the operations that can be traced."""
    if (watcher := _read_watcher.get()) is not None:
        for tensor in tensors:
            watcher(tensor)


def watching_hooks(watcher: Callable[[object], None]) -> AbstractContextManager[None]:
    """Call `watcher(module)` before a forward hook of a module runs."""
    return setting(_hook_watcher, watcher)


def note_hook(module: object) -> None:
    """Tell the watcher of hooks, if there is one, that a forward hook of `module` is about to run."""
    if (watcher := _hook_watcher.get()) is not None:
        watcher(module)
