"""Whether this thread captures a CUDA graph (minires/backend/cuda/graph.py).

CuPy does not refuse everything that a graph cannot repeat: a copy from host memory is captured as a copy from a buffer
that soon holds other numbers. Functions that do such a thing call `refuse_while_capturing` first.
"""

from __future__ import annotations

from contextvars import ContextVar

from minires.backend.switches import Switch
from minires.errors import DeviceError

_capturing: ContextVar[bool] = ContextVar("minires_capturing", default=False)


class Refused(DeviceError):
    """MiniRes refuses an operation that cannot be part of a CUDA graph. The message says which."""


def capturing() -> Switch:
    """Within the block (and this thread) work on the GPU is captured, not executed."""
    return Switch(_capturing, True)


def is_capturing() -> bool:
    """Whether this thread is inside a block of `capturing`."""
    return _capturing.get()


def refuse_while_capturing(what: str) -> None:
    """Raise Refused, with `what` as the reason, if this thread captures a graph."""
    if _capturing.get():
        raise Refused(what)
