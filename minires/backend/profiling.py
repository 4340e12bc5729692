"""`minires.profile`: how often each kernel of the contract was called, how long it took, and who computed it.

It also shows what fast providers declined, since a call that silently falls through to the reference is slow. What is
counted, `profile_report.py` holds and prints; it is imported when something is profiled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from minires.backend.arrays import array_module, is_array
from minires.backend.capturing import is_capturing
from minires.backend.switches import setting

if TYPE_CHECKING:
    from minires.backend.profile_report import Profile

LONGEST_EXAMPLE = 100  # characters

# The profiles of this thread's calls.
ACTIVE: ContextVar[tuple[Profile, ...]] = ContextVar("minires_profiles", default=())


@contextmanager
def profile() -> Iterator[Profile]:
    """Profile the kernels that this thread calls in this block: `with minires.profile() as p: model(x)`; `print(p)`.

    Profiles may be nested; each counts all calls of its block. On a GPU the profiler waits for each kernel, so that the
    time belongs to that kernel; this slows the block down. A compiled model calls no kernels of the contract, so its
    steps do not appear.
    """
    from minires.backend.profile_report import Profile

    result = Profile()
    with setting(ACTIVE, (*ACTIVE.get(), result)):
        yield result


def clock(array: Any) -> float:
    """The time in seconds, once the GPU of `array` has done its work. Work that is being captured is not waited for."""
    xp = array_module(array)
    if xp is not np and not is_capturing():
        with xp.cuda.Device(array.device.id):
            xp.cuda.get_current_stream().synchronize()
    return time.perf_counter()


def record_call(kernel: str, provider: str, seconds: float, arguments_and_result: list[Any]) -> None:
    """Count one call in every profile of this thread."""
    size = _size(arguments_and_result)
    for profile in ACTIVE.get():
        profile.add_call(kernel, provider, seconds, size)


def record_declined(kernel: Callable[..., Any], provider: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Count one call that `provider` declined; the arguments of the first are kept as text."""

    def example() -> str:
        arguments = signature(kernel).bind(*args, **kwargs).arguments.items()
        return ", ".join(f"{name}={_described(value)}" for name, value in arguments)[:LONGEST_EXAMPLE]

    for profile in ACTIVE.get():
        profile.add_declined(kernel.__name__, provider, example)


def _size(value: Any) -> int:
    """Bytes of the arrays in `value`, which may be a sequence of arrays and other things."""
    if isinstance(value, (list, tuple)):
        return sum(_size(each) for each in value)
    return int(getattr(value, "nbytes", 0))


def _described(value: Any) -> str:
    if isinstance(value, (list, tuple)) and any(is_array(each) for each in value):
        return f"[{', '.join(_described(each) for each in value)}]"
    return f"{value.dtype} {tuple(value.shape)}" if is_array(value) else repr(value)
