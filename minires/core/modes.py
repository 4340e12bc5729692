"""Switches that belong to a thread, not to the process: is the graph recorded, are numbers watched.

They are context variables, so two threads can train two models, one of them under `no_grad`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar, Token
from typing import Any, TypeVar

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_recording: ContextVar[bool] = ContextVar("minires_recording", default=True)
_anomaly: ContextVar[bool] = ContextVar("minires_anomaly", default=False)
_inside_backward: ContextVar[bool] = ContextVar("minires_inside_backward", default=False)
_formulas: ContextVar[bool] = ContextVar("minires_formulas", default=False)
_indices_checked: ContextVar[bool] = ContextVar("minires_indices_checked", default=False)
_tracer: ContextVar[Callable[..., None] | None] = ContextVar("minires_tracer", default=None)
_conductor: ContextVar[Callable[..., Any] | None] = ContextVar("minires_conductor", default=None)
_write_watcher: ContextVar[Callable[..., None] | None] = ContextVar("minires_write_watcher", default=None)


class _Switch(ContextDecorator):
    """Sets one switch for a block or for each call of a decorated function, then restores what was there."""

    def __init__(self, variable: ContextVar[bool], value: bool) -> None:
        self.variable, self.value = variable, value
        self.tokens: list[Token[bool]] = []

    def __call__(self, function: Decorated) -> Decorated:
        """Decorate `function`. Raises TypeError if its body runs after the call, when the switch is off again."""
        kinds = (inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction)
        if any(is_kind(function) for is_kind in kinds):
            raise TypeError(
                f"{function.__qualname__} is a generator or async function, and cannot be decorated with a switch such "
                "as no_grad(): its body runs after the call. Use `with` inside it, around what computes"
            )
        return super().__call__(function)

    def _recreate_cm(self) -> _Switch:
        return _Switch(self.variable, self.value)  # a decorated function may run in many threads: each call its own

    def __enter__(self) -> None:
        self.tokens.append(self.variable.set(self.value))

    def __exit__(self, *exception: object) -> None:
        self.variable.reset(self.tokens.pop())


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require gradients are recorded (torch.is_grad_enabled)."""
    return _recording.get()


def set_grad_enabled(on: bool) -> _Switch:
    """Record operations in this block, or not (torch.set_grad_enabled as a context)."""
    return _Switch(_recording, on)


def no_grad() -> _Switch:
    """Record nothing in this block or decorated function: no graph, no memory for backward (torch.no_grad)."""
    return _Switch(_recording, False)


def enable_grad() -> _Switch:
    """Record again, inside `no_grad` (torch.enable_grad)."""
    return _Switch(_recording, True)


def detect_anomaly() -> _Switch:
    """The first NaN or infinity, forward or backward, raises NonFiniteError: the op, and the user's line that made it.

    Follows torch.autograd.detect_anomaly, but watches forward too. Every array is scanned: for debugging only.
    """
    return _Switch(_anomaly, True)


def is_detecting_anomaly() -> bool:
    """Whether `detect_anomaly` is on in this thread."""
    return _anomaly.get()


def inside_backward() -> _Switch:
    """While an op's backward runs: what it returns is watched, and named after that op, not the steps of its formula.

    A formula may pass by an infinity that it masks (xᵇ at x = 0 and b = 0), and "Divide" would not say that it is √'s.
    """
    return _Switch(_inside_backward, True)


def is_inside_backward() -> bool:
    """Whether an op's backward is running in this thread."""
    return _inside_backward.get()


def disable_fused_backward() -> _Switch:
    """Run every op's `backward` (the formula) even where it has a fused `backward_fused`: tests compare the two."""
    return _Switch(_formulas, True)


def is_fused_backward_disabled() -> bool:
    """Whether `disable_fused_backward` is on in this thread."""
    return _formulas.get()


def indices_checked() -> _Switch:
    """The caller vouches that labels and indices used in this block are in range, and that no label is to be ignored.

    On a GPU a look at them waits for all that it was asked for before, and cannot be part of a CUDA graph.
    """
    return _Switch(_indices_checked, True)


def are_indices_checked() -> bool:
    """Whether `indices_checked` is on in this thread."""
    return _indices_checked.get()


@contextmanager
def tracing(tracer: Callable[..., None]) -> Iterator[None]:
    """Call `tracer(op, inputs, output)` after each operation of this thread, recorded or not, to watch a network."""
    token = _tracer.set(tracer)
    try:
        yield
    finally:
        _tracer.reset(token)


def tracer() -> Callable[..., None] | None:
    """Whom to tell of each operation, if anybody."""
    return _tracer.get()


@contextmanager
def conducting(conductor: Callable[..., Any]) -> Iterator[None]:
    """Let `conductor(op, arrays)` compute each operation's output array in this block, by `op.forward` or otherwise.

    The gradient check does, to note which branches a forward pass took, and to take the same ones again.
    """
    token = _conductor.set(conductor)
    try:
        yield
    finally:
        _conductor.reset(token)


def conductor() -> Callable[..., Any] | None:
    """Who computes each operation's output, if not its own `forward`."""
    return _conductor.get()


@contextmanager
def watching_writes(watcher: Callable[..., None]) -> Iterator[None]:
    """Call `watcher(tensor)` before the engine writes into a tensor: running statistics, `assign_`, optimisers."""
    token = _write_watcher.set(watcher)
    try:
        yield
    finally:
        _write_watcher.reset(token)


def write_watcher() -> Callable[..., None] | None:
    """Whom to tell before a tensor is written into, if anybody."""
    return _write_watcher.get()
