"""Delays Ctrl-C and SIGTERM to the end of the training step.

In the middle of a step, some of the model, the optimiser and the schedule are already updated and others are not.
Service managers, containers and batch systems send SIGTERM, and kill the process some seconds later; so a step that
takes longer is given up, and the run stops without saving it.
"""

from __future__ import annotations

import _thread
import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

GRACE = 3.0  # seconds from SIGTERM in which the step may end; Docker and Slurm wait ten and thirty before they kill
_DEFAULTS: dict[int, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM stopped a run; the message says what was saved and how to resume it.

    Attributes:
        signal: SIGINT or SIGTERM.
    """

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.signal = signal.Signals(number)


class InterruptHandler:
    """A context in which the first Ctrl-C or SIGTERM only sets `requested` and calls `announce`; the second raises.

    It has no effect outside the main thread, nor on a signal for which the program has installed its own handler.

    Attributes:
        requested: the number of the signal that came, 0 before.
    """

    def __init__(self, announce: Callable[[], None]) -> None:
        self.requested, self.announce = 0, announce
        self._installed: list[int] = []
        self._timer: threading.Timer | None = None

    def check(self) -> None:
        """Raise KeyboardInterrupt if a signal came."""
        if self.requested:
            raise KeyboardInterrupt

    def __enter__(self) -> InterruptHandler:
        if threading.current_thread() is threading.main_thread():
            for number, default in _DEFAULTS.items():
                if signal.getsignal(number) is default:
                    signal.signal(number, self._handle)
                    self._installed.append(number)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for number in self._installed:
            signal.signal(number, _DEFAULTS[number])

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = number
        if number == signal.SIGTERM:
            # The main thread, which alone runs signal handlers, gets the second signal from the timer's thread.
            self._timer = threading.Timer(GRACE, _thread.interrupt_main, (number,))
            self._timer.daemon = True
            self._timer.start()
        # The signal may arrive in the middle of a print. The stream then refuses another one, and the run stops without
        # an announcement.
        with contextlib.suppress(RuntimeError):
            self.announce()
