"""A contender in a process of its own: how it is started, suspended, resumed, asked and ended.

Libraries disturb each other. Their idle threads spin for a while, their allocators keep memory, and in one process
ONNX Runtime fell from 45 to 28 images per second. So each contender has a process, and while one is timed the others
are stopped (SIGSTOP): a stopped process has no thread that could spin.

The protocol is a line of text for each question and a line of JSON for each answer; the first answer is a greeting.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Where these are set, NumPy's product runs another machine's kernel.
MISTUNED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def environment(threads: int) -> dict[str, str]:
    """This process's environment with so many threads for every library; OpenBLAS chooses its kernel itself."""
    kept = {name: value for name, value in os.environ.items() if name not in MISTUNED}
    return {**kept, **dict.fromkeys(THREAD_COUNTS, str(threads))}


class Worker:
    """A worker as its parent sees it."""

    def __init__(self, name: str, command: Sequence[str], threads: int) -> None:
        self.name, pipe = name, subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment(threads))
        try:
            self.greeting: dict[str, Any] = self._answer()
        except BaseException:
            self.end()
            raise

    def ask(self, question: str) -> Any:
        """The worker's answer to a question. Ends the program where the worker has ended."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the answer, which is missing then, tells
            self.process.stdin.write(f"{question}\n")
            self.process.stdin.flush()
        return self._answer()

    def suspend(self) -> None:
        """Stops all threads of the worker until `resume`."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a suspended worker run again."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Ends the worker at once, suspended or not."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended early; its message is above")
        return json.loads(line)


def private_stdout() -> TextIO:
    """The stream for answers; a worker calls this first. What else it prints, from Python or from C, goes to stderr.

    The worker ignores Ctrl-C, which reaches every process of a terminal: the parent ends its workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return answers


def serve(greeting: Any, answer: Callable[[str], Any], stream: TextIO | None = None) -> None:
    """Greets, then answers each line of standard input until the parent ends. The worker runs this."""
    print(json.dumps(greeting), file=stream, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(line.strip())), file=stream, flush=True)


def seconds_of(task: Callable[[], Any]) -> float:
    """The time of one call."""
    began = time.perf_counter()
    task()
    return time.perf_counter() - began


def sustained(task: Callable[[], Any], seconds: float) -> float:
    """The mean time of a call, over calls that take `seconds` together, or over one call.

    The first call is not counted: a process that was suspended has threads to wake and caches to fill.
    """
    task()
    calls, began = 0, time.perf_counter()
    while True:
        task()
        calls, elapsed = calls + 1, time.perf_counter() - began
        if elapsed >= seconds:
            return elapsed / calls


def peak_memory() -> float:
    """The most memory that this process has had resident, in MiB.

    On Linux a child inherits its parent's peak (vfork shares its memory), so the parent of a worker must stay small:
    it must not import NumPy.
    """
    import resource  # inside the function, since Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
