"""Ctrl-C that waits for the end of the step: in its middle, model, optimiser and schedule do not fit each other."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C stopped a run; the message says what was saved and how to go on."""


class Interruption:
    """While this context lasts, the first Ctrl-C sets `requested` and calls `announce`; the second acts as ever.

    Only where Ctrl-C would raise KeyboardInterrupt: in the main thread, and if nobody has put a handler of their own.
    """

    def __init__(self, announce: Callable[[], None]) -> None:
        self.requested, self.announce = False, announce
        self._installed = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if one was asked for."""
        if self.requested:
            raise KeyboardInterrupt

    def __enter__(self) -> Interruption:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        # The signal may have come in the middle of a print; then the stream refuses another, and the run stops
        # unannounced.
        with contextlib.suppress(RuntimeError):
            self.announce()
