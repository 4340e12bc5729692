"""A contender in a process of its own: how it is started, put to sleep, woken, asked and ended.

Libraries disturb each other. Their idle threads wait in a loop for a while, their allocators keep memory, and in one
process ONNX Runtime fell from 45 to 28 images per second. So each contender has a process, and while one is timed the
others can be stopped altogether (SIGSTOP): a stopped process has no thread that could spin.

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
MISTUNED = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
)  # where they are set, NumPy's product runs another machine's kernel


def environment(threads: int) -> dict[str, str]:
    """This process's environment, with that many threads for every library; OpenBLAS chooses its kernel itself."""
    kept = {name: value for name, value in os.environ.items() if name not in MISTUNED}
    return {**kept, **dict.fromkeys(THREAD_COUNTS, str(threads))}


class Worker:
    """The parent's side."""

    def __init__(self, name: str, command: Sequence[str], threads: int) -> None:
        self.name, pipe = name, subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment(threads))
        try:
            self.greeting: dict[str, Any] = self._answer()
        except BaseException:
            self.end()
            raise

    def ask(self, question: str) -> Any:
        """Its answer."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # reading tells what happened
            self.process.stdin.write(f"{question}\n")
            self.process.stdin.flush()
        return self._answer()

    def suspend(self) -> None:
        """Stop all its threads until `resume`."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run again."""
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """At once, suspended or not: all it knows has been asked."""
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
    """Called first in a worker: the stream for answers. What else it prints, from Python or from C, goes to stderr.

    Ctrl-C, which reaches every process of a terminal, is left to the parent: it ends its workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return answers


def serve(greeting: Any, answer: Callable[[str], Any], stream: TextIO | None = None) -> None:
    """The worker's side: greet, then answer each line of stdin, until the parent ends."""
    print(json.dumps(greeting), file=stream, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(line.strip())), file=stream, flush=True)


def seconds_of(task: Callable[[], Any]) -> float:
    """Of doing it once."""
    began = time.perf_counter()
    task()
    return time.perf_counter() - began


def sustained(task: Callable[[], Any], seconds: float) -> float:
    """The mean time of a call, calling for that many seconds and at least once.

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

    Linux hands a parent's peak on to the child (vfork shares its memory), so the parent of a worker must stay small:
    it must not import NumPy.
    """
    import resource  # here, since not every system has it

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
