"""Delays Ctrl-C to the end of the training step.

In the middle of a step, some of the model, the optimiser and the schedule are already updated and others are not.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C stopped a run; the message says what was saved and how to resume it."""


class InterruptHandler:
    """A context in which the first Ctrl-C only sets `requested` and calls `announce`; the second raises as usual.

    It has no effect outside the main thread, or if the program has installed its own handler for SIGINT.
    """

    def __init__(self, announce: Callable[[], None]) -> None:
        self.requested, self.announce = False, announce
        self._installed = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self.requested:
            raise KeyboardInterrupt

    def __enter__(self) -> InterruptHandler:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def __exit__(self, *exception: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        # The signal may arrive in the middle of a print. The stream then refuses another one, and the run stops without
        # an announcement.
        with contextlib.suppress(RuntimeError):
            self.announce()
