"""Runs a step in a process of its own, kills it at its limit, and keeps what it had found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.on_gpu.first_run.plan import ROOT, Step

# Imported by the tests and MiniRes. tests/substitutes has the functions that they call, for where one is not there.
SUBSTITUTES = ("hypothesis", "threadpoolctl")
DONE, FAILED, KILLED, LEFT_OUT = "done", "failed", "killed", "left out"


class Result(NamedTuple):
    """What came of a step.

    Attributes:
        state: one of DONE, FAILED, KILLED, LEFT_OUT.
        reason: a line; empty where the step is done.
        records: what the step found, in order; each has a "kind".
    """

    step: Step
    state: str
    reason: str
    seconds: float
    records: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The records of one kind."""
        return [record for record in self.records if record["kind"] == kind]


def run(step: Step, out: Path, seconds: float) -> Result:
    """Run a step for at most so many seconds. Its output goes to `out`/NAME.log, its records to `out`/NAME.jsonl."""
    if step.command is None:
        return Result(step, LEFT_OUT, step.left_out, 0.0, [])
    log, records = out / f"{step.name}.log", out / f"{step.name}.jsonl"
    records.unlink(missing_ok=True)
    begun = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            step.command,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            cwd=ROOT, env=environment(out), start_new_session=True,
        )  # fmt: skip
        try:
            state, reason = judged(process.wait(timeout=seconds), log)
        except subprocess.TimeoutExpired:
            state, reason = KILLED, f"killed after {seconds:.0f} s, its limit"
        finally:
            kill_all(process)
    return Result(step, state, reason, time.monotonic() - begun, read(records))


def stopped(step: Step, out: Path, seconds: float) -> Result:
    """The result of a step during which the whole run was stopped: what it had found until then."""
    return Result(step, KILLED, "the run was stopped", seconds, read(out / f"{step.name}.jsonl"))


def environment(out: Path) -> dict[str, str]:
    """Of a step: this checkout is imported, kernels are compiled into `out`, output is not held back."""
    missing = [name for name in SUBSTITUTES if find_spec(name) is None]
    paths = [str(ROOT), *(str(ROOT / "tests" / "substitutes" / name) for name in missing)]
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    own = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", "CUPY_CACHE_DIR": str(out / "kernel_cache")}
    return {**os.environ, **own}


def judged(status: int, log: Path) -> tuple[str, str]:
    """(state, reason) of a process that ended with this status."""
    if status == 0:
        return DONE, ""
    if status < 0:
        return FAILED, f"ended by {signal.Signals(-status).name}"
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return FAILED, (lines[-1] if lines else f"ended with status {status}")[:300]


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kill the process, and every process that it has started and left."""
    if os.name == "posix":
        with suppress(ProcessLookupError):  # they have all ended
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def read(path: Path) -> list[dict[str, Any]]:
    """The records in a file; a last line that was cut short is left out."""
    if not path.exists():
        return []
    whole = path.read_text("utf-8", "replace").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]
