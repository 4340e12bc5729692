"""Whether this thread is capturing work on a GPU (minires/backend/cuda/graph.py).

What lies below the capture asks here before it does what no graph can hold and CuPy lets pass: a copy from host memory
would be captured as one from a buffer that soon holds other numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from minires.errors import DeviceError

_capturing: ContextVar[bool] = ContextVar("minires_capturing", default=False)


class Refused(DeviceError):
    """Something that cannot be part of a CUDA graph, by MiniRes's own judgement; the message says what."""


@contextmanager
def capturing() -> Iterator[None]:
    """In this block work on the GPU is captured, not done."""
    token = _capturing.set(True)
    try:
        yield
    finally:
        _capturing.reset(token)


def is_capturing() -> bool:
    """Whether this thread is in such a block."""
    return _capturing.get()


def refuse_while_capturing(what: str) -> None:
    """Raise Refused, with `what` as the reason, if work is being captured."""
    if _capturing.get():
        raise Refused(what)
