"""The command line of the first run on a GPU.

Exit code: 0, 1 if a step failed or was killed, 2 if there is no GPU to use (a line says why).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.on_gpu.first_run.plan import MINUTES, ROOT, Step, steps
from benchmarks.on_gpu.first_run.report import report
from benchmarks.on_gpu.first_run.supervise import DONE, LEFT_OUT, Result, environment, run, stopped

ASK = "import sys; from minires import cuda; found = cuda.is_available(); found or sys.exit(found.reason)"
PATIENCE = 60.0  # seconds for the answer whether there is a GPU


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks.on_gpu.first_run",
        description=f"Find out all that is worth knowing on a GPU that was never used before, in {MINUTES:g} minutes.",
    )
    parser.add_argument("--out", type=Path, required=True, help="a folder for report.md and everything else")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"of the whole run (default: {MINUTES:g})")
    parser.add_argument("--only", action="append", metavar="STEP", help="this step; may be given several times")
    rehearse = "run it small on the stand-in for CuPy and the simulator, without a GPU"
    parser.add_argument("--rehearse", action="store_true", help=rehearse)
    options = parser.parse_args(arguments)
    if not 0 < options.minutes < 1000:
        parser.error(f"--minutes {options.minutes:g} must be more than 0")
    names = [step.name for step in steps(options.out, options.minutes, options.rehearse)]
    if unknown := sorted(set(options.only or []) - set(names)):
        parser.error(f"--only {unknown[0]}: the steps are {', '.join(names)}")
    options.only = options.only or names
    return options


def no_gpu() -> str:
    """Why no GPU can be used; empty if one can. A process of its own asks CuPy: a broken one may crash, or hang."""
    command = [sys.executable, "-c", ASK]
    with tempfile.TemporaryDirectory() as folder:  # CuPy makes one for its kernels when it is imported
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=environment(Path(folder)),
                capture_output=True, text=True, timeout=PATIENCE, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"CuPy did not answer for {PATIENCE:.0f} s"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return "" if done.returncode == 0 else (lines[-1] if lines else f"CuPy ended with status {done.returncode}")


def run_all(planned: Sequence[Step], out: Path, rehearse: bool) -> list[Result]:
    """Run the steps in order, and write the report anew after each, also after one that a signal ends."""
    results: list[Result] = []

    def add(result: Result) -> None:
        results.append(result)
        (out / "report.md.part").write_text(report(results, rehearse), "utf-8")
        os.replace(out / "report.md.part", out / "report.md")  # a kill in between leaves the old report whole

    for step in planned:
        print(f"{step.title} …", end=" ", flush=True)
        begun = time.monotonic()
        try:
            add(run(step, out, step.seconds))
        except (KeyboardInterrupt, SystemExit):
            add(stopped(step, out, time.monotonic() - begun))
            raise
        state, reason = results[-1].state, results[-1].reason
        print(f"{state} ({results[-1].seconds:.0f} s){': ' + reason if reason else ''}", flush=True)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; returns the exit code."""
    options = parse(arguments)
    before = signal.signal(signal.SIGTERM, stop)
    try:
        return run_options(options)
    finally:
        signal.signal(signal.SIGTERM, before)


def stop(*_: object) -> None:
    """End the run on SIGTERM as an error would, so that the step is killed and the report is written."""
    sys.exit(128 + signal.SIGTERM)


def run_options(options: argparse.Namespace) -> int:
    """Run the steps of a parsed command line; returns the exit code."""
    out = options.out.resolve()
    if not options.rehearse and (reason := no_gpu()):
        print(f"first run: there is no GPU to use: {reason}", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    planned = [step for step in steps(out, options.minutes, options.rehearse) if step.name in options.only]
    results = run_all(planned, out, options.rehearse)
    print(f"the report, after {(time.monotonic() - begun) / 60:.1f} minutes: {out / 'report.md'}")
    return int(any(result.state not in (DONE, LEFT_OUT) for result in results))


if __name__ == "__main__":
    sys.exit(main())
