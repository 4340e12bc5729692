"""`minires.profile`: how often each kernel of the contract was called, how long it took, and who computed it.

It also shows what fast providers declined, since a call that silently falls through to the reference is slow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np

from minires.backend.arrays import array_module, is_array
from minires.backend.capturing import is_capturing
from minires.backend.switches import setting

LONGEST_EXAMPLE = 100  # characters


@dataclass
class ProfileRow:
    """All calls of one kernel that one provider computed.

    Attributes:
        kernel: its name in the contract (`minires/backend/contract.py`).
        provider: "reference", "cpu" or "cuda".
        calls: how many there were.
        seconds: how long they took in all.
        bytes: the size of the arrays that went in and came out, in all.
    """

    kernel: str
    provider: str
    calls: int = 0
    seconds: float = 0.0
    bytes: int = 0


@dataclass
class FallThrough:
    """All calls of one kernel that one provider declined, so that the next one computed them.

    Attributes:
        kernel: its name in the contract.
        provider: who declined.
        calls: how many there were.
        example: the arguments of the first of them.
    """

    kernel: str
    provider: str
    example: str
    calls: int = 0


@dataclass
class Profile:
    """What `minires.profile` returns. Printing it shows a table, the kernel that took the most time first."""

    _rows: dict[tuple[str, str], ProfileRow] = field(default_factory=dict)
    _declined: dict[tuple[str, str], FallThrough] = field(default_factory=dict)

    @property
    def rows(self) -> list[ProfileRow]:
        """One row for each kernel and provider, sorted by time."""
        return sorted(self._rows.values(), key=lambda row: -row.seconds)

    @property
    def fell_through(self) -> list[FallThrough]:
        """The kernels that a provider declined, sorted by calls."""
        return sorted(self._declined.values(), key=lambda row: -row.calls)

    def __str__(self) -> str:
        rows = self.rows
        total = ProfileRow("total", "", *(sum(column) for column in zip(*map(_numbers, rows), strict=True)))
        lines = [f"{'kernel':<20} {'provider':<9} {'calls':>7} {'ms':>10} {'share':>6} {'MB':>10}"]
        for row in [*rows, total]:
            share = row.seconds / total.seconds if total.seconds else 0.0
            lines.append(
                f"{row.kernel:<20} {row.provider:<9} {row.calls:>7} {row.seconds * 1e3:>10.3f} {share:>6.1%} "
                f"{row.bytes / 1e6:>10.2f}"
            )
        lines += [
            f"{each.kernel}: {each.calls} calls fell through, declined by {each.provider}; the first: {each.example}"
            for each in self.fell_through
        ]
        return "\n".join(lines)


def _numbers(row: ProfileRow) -> tuple[int, float, int]:
    return row.calls, row.seconds, row.bytes


# The profiles of this thread's calls.
ACTIVE: ContextVar[tuple[Profile, ...]] = ContextVar("minires_profiles", default=())


@contextmanager
def profile() -> Iterator[Profile]:
    """Profile the kernels that this thread calls in this block: `with minires.profile() as p: model(x)`; `print(p)`.

    Profiles may be nested; each counts all calls of its block. On a GPU the profiler waits for each kernel, so that the
    time belongs to that kernel; this slows the block down. A compiled model calls no kernels of the contract, so its
    steps do not appear.
    """
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
        row = profile._rows.setdefault((kernel, provider), ProfileRow(kernel, provider))
        row.calls, row.seconds, row.bytes = row.calls + 1, row.seconds + seconds, row.bytes + size


def record_declined(kernel: Callable[..., Any], provider: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Count one call that `provider` declined; the arguments of the first are kept as text."""
    key = kernel.__name__, provider
    for profile in ACTIVE.get():
        if key not in profile._declined:
            arguments = signature(kernel).bind(*args, **kwargs).arguments.items()
            example = ", ".join(f"{name}={_described(value)}" for name, value in arguments)
            profile._declined[key] = FallThrough(*key, example[:LONGEST_EXAMPLE])
        profile._declined[key].calls += 1


def _size(value: Any) -> int:
    """Bytes of the arrays in `value`, which may be a sequence of arrays and other things."""
    if isinstance(value, (list, tuple)):
        return sum(_size(each) for each in value)
    return int(getattr(value, "nbytes", 0))


def _described(value: Any) -> str:
    if isinstance(value, (list, tuple)) and any(is_array(each) for each in value):
        return f"[{', '.join(_described(each) for each in value)}]"
    return f"{value.dtype} {tuple(value.shape)}" if is_array(value) else repr(value)
