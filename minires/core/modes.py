"""Modes of the engine: whether the graph is recorded, whether numbers are checked, who intercepts operations.

Each mode is a context variable and so belongs to a thread, not to the process: two threads can train two models while
a third predicts under `no_grad`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from minires.backend import Array
    from minires.core.function import Function
    from minires.core.tensor import Tensor

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_grad_enabled: ContextVar[bool] = ContextVar("minires_grad_enabled", default=True)
_anomaly: ContextVar[bool] = ContextVar("minires_anomaly", default=False)
_inside_backward: ContextVar[bool] = ContextVar("minires_inside_backward", default=False)
_fused_backward_disabled: ContextVar[bool] = ContextVar("minires_fused_backward_disabled", default=False)
_indices_checked: ContextVar[bool] = ContextVar("minires_indices_checked", default=False)


class _Mode(ContextDecorator):
    """Sets one mode for a block, or for each call of a decorated function, and then restores what was set before."""

    def __init__(self, variable: ContextVar[bool], value: bool) -> None:
        self.variable, self.value = variable, value
        self.tokens: list[Token[bool]] = []

    def __call__(self, function: Decorated) -> Decorated:
        """Decorate `function`. Raises TypeError if its body runs after the call, when the mode is restored already."""
        kinds = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
        if any(is_kind(function) for is_kind in kinds):
            raise TypeError(
                f"{function.__qualname__} is a generator or async function, and cannot be decorated with a mode such "
                "as no_grad(): its body runs after the call. Use `with` inside it, around what computes"
            )
        return super().__call__(function)

    def _recreate_cm(self) -> _Mode:
        return _Mode(self.variable, self.value)  # one for each call, since a decorated function may run in many threads

    def __enter__(self) -> None:
        self.tokens.append(self.variable.set(self.value))

    def __exit__(self, *exception: object) -> None:
        self.variable.reset(self.tokens.pop())


# -- recording --------------------------------------------------------------------------------------------------------


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require gradients are recorded (torch.is_grad_enabled)."""
    return _grad_enabled.get()


def no_grad() -> _Mode:
    """Record nothing in this block or decorated function: no graph, no memory for backward (torch.no_grad)."""
    return _Mode(_grad_enabled, False)


def enable_grad() -> _Mode:
    """Record operations again, inside of `no_grad` (torch.enable_grad)."""
    return _Mode(_grad_enabled, True)


class set_grad_enabled(_Mode):  # a class with a name in small letters, as in torch: it is called like a function
    """Record operations, or not, from this call on (torch.set_grad_enabled).

    `set_grad_enabled(mode)` takes effect at once in this thread. As a context manager it restores, at the end of the
    block, what was set before the call; as a decorator it sets `mode` for each call of the function.
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(_grad_enabled, bool(mode))
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


def detect_anomaly() -> _Mode:
    """Raise NonFiniteError at the first NaN or infinity, forward or backward, naming the op and the user's line.

    Follows torch.autograd.detect_anomaly, but checks forward too. Every array is scanned, so use it for debugging only.
    """
    return _Mode(_anomaly, True)


def is_detecting_anomaly() -> bool:
    """Whether `detect_anomaly` is on in this thread."""
    return _anomaly.get()


def inside_backward() -> _Mode:
    """Set while an op's backward runs: anomaly detection then checks only what that backward returns.

    The steps of its formula are not checked. They may pass through an infinity that is masked later (xᵇ at x = 0 and
    b = 0), and an error in step "Divide" would not tell the user that the gradient is that of √.
    """
    return _Mode(_inside_backward, True)


def is_inside_backward() -> bool:
    """Whether an op's backward is running in this thread."""
    return _inside_backward.get()


def disable_fused_backward() -> _Mode:
    """Use every op's `backward`, the formula, even where it has a `backward_fused`. Tests compare the two."""
    return _Mode(_fused_backward_disabled, True)


def is_fused_backward_disabled() -> bool:
    """Whether `disable_fused_backward` is on in this thread."""
    return _fused_backward_disabled.get()


def indices_checked() -> _Mode:
    """The caller guarantees that labels and indices in this block are in range, and that no label is to be ignored.

    Ops then do not read them. Reading them on a GPU would synchronise, and cannot be captured in a CUDA graph.
    """
    return _Mode(_indices_checked, True)


def are_indices_checked() -> bool:
    """Whether `indices_checked` is on in this thread."""
    return _indices_checked.get()


# -- intercepting -----------------------------------------------------------------------------------------------------


class Interceptor(NamedTuple):
    """What happens at each operation: `compute` makes its output array, then `observe` sees what was done.

    One that is not given leaves the operation as it is: its own `forward` computes, and nothing is observed.
    """

    compute: Callable[[Function, list[Array]], Array] = lambda op, arrays: op.forward(*arrays)
    observe: Callable[[Function, tuple[Tensor, ...], Tensor], None] = lambda op, inputs, output: None


_interceptor: ContextVar[Interceptor | None] = ContextVar("minires_interceptor", default=None)
_write_watcher: ContextVar[Callable[[Tensor], None] | None] = ContextVar("minires_write_watcher", default=None)


@contextmanager
def intercepting(
    compute: Callable[[Function, list[Array]], Array] | None = None,
    observe: Callable[[Function, tuple[Tensor, ...], Tensor], None] | None = None,
) -> Iterator[None]:
    """Intercept each operation of this thread in this block, whether it is recorded or not.

    Args:
        compute: `compute(op, arrays)` returns the operation's output array, by `op.forward` or otherwise.
        observe: `observe(op, inputs, output)` is called after each operation, with Tensors.

    One that is left out stays as it is outside of the block.
    """
    outer = _interceptor.get() or Interceptor()
    token = _interceptor.set(Interceptor(compute or outer.compute, observe or outer.observe))
    try:
        yield
    finally:
        _interceptor.reset(token)


def interceptor() -> Interceptor | None:
    """The interceptor of this thread's operations; None outside of every `intercepting` block."""
    return _interceptor.get()


@contextmanager
def watching_writes(watcher: Callable[[Tensor], None]) -> Iterator[None]:
    """Call `watcher(tensor)` before the engine writes into a tensor: running statistics, `assign_`, optimisers."""
    token = _write_watcher.set(watcher)
    try:
        yield
    finally:
        _write_watcher.reset(token)


def write_watcher() -> Callable[[Tensor], None] | None:
    """The function to call before a tensor is written into, if there is one."""
    return _write_watcher.get()
