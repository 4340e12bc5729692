"""Starts a job with mpiexec, and starts it again when a rank or a machine has failed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from minires.errors import DistributedError

USER_ERROR, INTERRUPTED, TERMINATED = 2, 130, 143  # exit codes after which the same command would end alike
PAUSE = 1.0  # seconds before a job is started again


def find_mpiexec(given: str | None = None) -> str:
    """The path of mpiexec: the one given, else that of this Python environment, else the one on the PATH.

    Raises DistributedError if there is none.
    """
    beside = Path(sys.executable).with_name("mpiexec")
    found = shutil.which(given) if given else (str(beside) if beside.is_file() else shutil.which("mpiexec"))
    if found is None:
        raise DistributedError(
            f'there is no {given or "mpiexec"}: pip install "minires[mpi]" brings one, and clusters have their own '
            "(module load …)"
        )
    return found


def command_of(arguments: Sequence[str], restart: int) -> list[str]:
    """What each rank runs: a command of minires, to which --distributed is added, or a program of its own.

    From the first restart on, `train` gets --resume where its folder holds a checkpoint.
    """
    if arguments[0] != "train":
        return list(arguments)
    command = [sys.executable, "-m", "minires", *arguments]
    if "--distributed" not in arguments:
        command.append("--distributed")
    out = _out_of(arguments)
    if restart and "--resume" not in arguments and out is not None and (out / "last.safetensors").is_file():
        command.append("--resume")
    return command


def _out_of(arguments: Sequence[str]) -> Path | None:
    for number, argument in enumerate(arguments):
        if argument == "--out" and number + 1 < len(arguments):
            return Path(arguments[number + 1])
        if argument.startswith("--out="):
            return Path(argument.removeprefix("--out="))
    return None


def launch(
    arguments: Sequence[str],
    *,
    ranks: int,
    restarts: int = 0,
    hostfile: Path | None = None,
    mpiexec: str | None = None,
) -> int:
    """Run a job of `ranks` ranks and return its exit code; after a failure again, up to `restarts` times.

    The ranks find the number of restarts so far in MINIRES_RESTARTS: a program of your own resumes where it is above 0.
    A mistake of the user (exit code 2), Ctrl-C and SIGTERM, which are passed on to all ranks, end the job for good.
    """
    prefix = [find_mpiexec(mpiexec), "-n", str(ranks)]
    prefix += [] if hostfile is None else ["--hostfile", str(hostfile)]  # MPICH and Open MPI both know this name
    for restart in range(restarts + 1):
        code = _run([*prefix, *command_of(arguments, restart)], {**os.environ, "MINIRES_RESTARTS": str(restart)})
        if code in (0, USER_ERROR, INTERRUPTED, TERMINATED) or restart == restarts:
            break
        sys.stderr.write(
            f"minires: the job has ended with exit code {code}; it starts again (restart {restart + 1} of {restarts})\n"
        )
        sys.stderr.flush()
        time.sleep(PAUSE)
    return code


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Run a command, pass Ctrl-C and SIGTERM on to it, and return its exit code: 128 + the signal that ended it."""
    received: list[int] = []
    process = subprocess.Popen(command, env=environment, start_new_session=True)

    def forward(number: int, frame: FrameType | None) -> None:
        received.append(number)
        process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received and code:  # an exit code that mpiexec makes of several ranks' is not to be relied on
        return 128 + received[0]
    return 128 - code if code < 0 else code
