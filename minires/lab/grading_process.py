"""Starts the process in which a student's file is graded, watches it, stops it, and reads what it wrote.

What it prints is read and dropped except for the end, so a flood of output neither blocks it nor fills the memory. It
leads a process group of its own, so what it starts is stopped with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

SHOWN_OUTPUT = 500  # characters
KEPT_OUTPUT = 8192  # bytes: the stack of a crash fits
MUCH_OUTPUT = 100_000  # bytes, above which the report says so
_PACKAGES = Path(__file__).resolve().parents[2]  # where this MiniRes is imported from


@dataclass(frozen=True)
class Ended:
    """How a process ended: the reason in words, a hint, notes, and how long it ran."""

    reason: str
    hint: str
    notes: Sequence[str]
    seconds: float


def run(file: Path, time_limit: float) -> tuple[list[dict[str, Any]], Ended]:
    """Grade `file` in a process of its own; returns (the records that it wrote, how it ended)."""
    with tempfile.TemporaryDirectory(prefix="minires-lab-", ignore_cleanup_errors=True) as folder:
        answers = Path(folder) / "answers.jsonl"
        work = Path(folder) / "work"  # a file that the student's code writes here is removed with the folder
        work.mkdir()
        start = time.monotonic()
        options = ["--answers", str(answers), "--seconds", str(time_limit)]
        process = subprocess.Popen(
            [sys.executable, "-m", "minires.lab.grading_worker", str(file), *options],
            cwd=work,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        reader = _Tail(process.stdout)
        try:
            code: int | None = process.wait(time_limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _kill(process)
        reader.join(1.0)  # not for ever: a grandchild that left the group may hold the pipe open
        ended = _ended(code, time_limit, reader, file, time.monotonic() - start)
        return _records(answers), ended


def _environment() -> dict[str, str]:
    """This process's environment, with this MiniRes first on the path, and one thread: the inputs are tiny."""
    path = os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH")]))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **threads, "PYTHONPATH": path, "PYTHONFAULTHANDLER": "1", "PYTHONIOENCODING": "utf-8"}


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Stop the process and everything in its group, and wait for its end."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # also when it has ended: what it started may still run
    else:
        process.kill()
    process.wait()


class _Tail(threading.Thread):
    """Reads a pipe to its end; counts the bytes and keeps the last of them."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self.pipe, self.size, self.end = pipe, 0, b""
        self.start()

    def run(self) -> None:
        """Read until the last writer has closed the pipe."""
        while chunk := os.read(self.pipe.fileno(), 1 << 16):
            self.size += len(chunk)
            self.end = (self.end + chunk)[-KEPT_OUTPUT:]
        self.pipe.close()

    @property
    def text(self) -> str:
        """The last characters of the output."""
        return self.end.decode("utf-8", "replace").strip()[-SHOWN_OUTPUT:]


def _ended(code: int | None, time_limit: float, reader: _Tail, file: Path, seconds: float) -> Ended:
    notes = []
    if reader.size > MUCH_OUTPUT:
        notes.append(f"The file printed {reader.size:,} bytes, which nobody has read: print less.")
    if code is None:
        hint = "Look for a loop that does not end; a loop over pixels in Python may also be far too slow."
        return Ended(f"the time limit of {time_limit:g} seconds was reached", hint, notes, seconds)
    if code < 0:
        name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
        hint = "Python itself went down: endless recursion, too much memory, or a library that was misused."
        # Python's fault handler has written the stack, with the innermost frame first.
        line = re.search(rf'File "{re.escape(str(file))}", line (\d+)', reader.end.decode("utf-8", "replace"))
        reason = f"it crashed ({name}{f', line {line[1]}' if line else ''})"
        return Ended(reason, hint, notes, seconds)
    hint = "An op computes and returns; it does not end the program."
    reason = f"it ended itself, with exit code {code}"
    if reader.text and code != 0:
        notes.append(f"The last that it printed:\n{reader.text}")
    return Ended(reason, hint, notes, seconds)


def _records(answers: Path) -> list[dict[str, Any]]:
    """The JSON objects of the file, one a line, without the line that was cut off when the process died."""
    records = []
    if answers.exists():
        for line in answers.read_text("utf-8", "replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                records.append(json.loads(line))
    return records
