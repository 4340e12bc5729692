"""A rehearsal: importing this module puts the stand-in for CuPy (tests/backend/standin.py) in the place of CuPy.

Kernels then run on the simulator (tests/cudasim), and times are those of the processor, so they mean nothing.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from tests.backend import standin_streams
from tests.backend.standin import Cupy


class Event(standin_streams.Event):
    """An event that knows when it was recorded."""

    def record(self, stream: Any = None) -> None:
        super().record(stream)
        self.at = time.perf_counter()


def install() -> None:
    """Let `import cupy` give the stand-in."""
    cupy = Cupy()
    cupy.cuda.Event = Event
    cupy.cuda.get_elapsed_time = lambda start, end: 1e3 * max(end.at - start.at, 1e-6)
    sys.modules["cupy"] = cupy


install()
