"""What a rank sends to the monitor: signs of life, each second, from a thread of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from minires.errors import DistributedError

TIMEOUT = 20.0  # seconds without a sign of life, or in which others wait for a rank, until the job is ended
BEAT_SECONDS = 1.0


class Signs:
    """Says nothing to anybody: of a process that is alone."""

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A block in which this rank waits for others."""
        yield

    @contextmanager
    def busy(self, is_working: bool) -> Iterator[None]:
        """A block that may take long: nobody hangs while it lasts. `is_working`: of this rank, not of another."""
        yield

    def failed(self) -> None:
        """This rank has said why it ends."""

    def goodbye(self) -> None:
        """This rank ends in good order."""


class SignsOfLife(Signs):
    """Tells the monitor at `address` how this rank is; `abort` ends the job when the monitor says so."""

    def __init__(self, address: tuple[str, int], rank: int, abort: Callable[[int], Any]) -> None:
        self.calls, self.rank = 0, rank
        self._since: float | None = None  # when the present collective call began
        self._busy = 0
        self._abort, self._main = abort, threading.main_thread().ident
        self._lock = threading.Lock()
        try:
            self._connection = socket.create_connection(address, timeout=30)
        except OSError as error:
            raise DistributedError(f"rank {rank} cannot reach the monitor of rank 0 at {address}: {error}") from error
        self._connection.settimeout(None)
        self._send({"rank": rank, "host": socket.gethostname(), "pid": os.getpid()})
        self._is_over = threading.Event()
        for target in (self._beat, self._obey):
            threading.Thread(target=target, name="minires-signs", daemon=True).start()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        self.calls += 1
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None

    @contextmanager
    def busy(self, is_working: bool) -> Iterator[None]:
        self._busy += 1
        self._report()
        try:
            yield
        finally:
            self._busy -= 1
            self._report()

    def failed(self) -> None:
        self._send({"state": "failed"})
        self._is_over.set()

    def goodbye(self) -> None:
        self._send({"state": "left"})
        self._is_over.set()

    def _send(self, message: dict[str, Any]) -> None:
        with self._lock, suppress(OSError):  # without the monitor the run goes on
            self._connection.sendall(f"{json.dumps(message)}\n".encode())

    def _report(self) -> None:
        since = self._since
        waits = 0.0 if since is None else time.monotonic() - since
        self._send({"calls": self.calls, "waits": waits, "busy": self._busy > 0})

    def _beat(self) -> None:
        while not self._is_over.wait(BEAT_SECONDS):
            self._report()

    def _obey(self) -> None:
        """Wait for an order of the monitor."""
        with suppress(OSError), self._connection.makefile("r", encoding="utf-8") as orders:
            for order in orders:
                if self._is_over.is_set():
                    return
                if order.strip() == "stack":
                    self._print_stack()
                    time.sleep(0.2)  # the text leaves this process before it ends
                self._abort(1)

    def _print_stack(self) -> None:
        frame = sys._current_frames().get(self._main or 0)
        lines = traceback.format_stack(frame) if frame is not None else ["the main thread has ended\n"]
        text = "".join(lines)
        sys.stderr.write(f"minires: rank {self.rank} on {socket.gethostname()} is here:\n{text}")
        sys.stderr.flush()


def start_monitor(ranks: int, timeout: float) -> tuple[str, int]:
    """Start the monitor's process on this machine; returns its address."""
    process = subprocess.Popen(
        [sys.executable, "-I", str(Path(__file__).with_name("monitor.py")), str(ranks), str(timeout)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # neither Ctrl-C nor the end of the job is for it
    )
    assert process.stdout is not None
    port = process.stdout.readline()
    process.stdout.close()
    process.returncode = 0  # it outlives this process, which does not wait for it
    if not port.strip():
        raise DistributedError("the monitor of the ranks did not start")
    return socket.gethostname(), int(port)
