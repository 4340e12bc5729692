"""kill −9 at random moments of a run, each followed by a resume, ends in the weights of the run undisturbed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minires import training

ROOT = Path(__file__).resolve().parents[2]
STEPS = 60  # 3 epochs of 20 batches
# One BLAS thread in every run: OpenBLAS rounds differently with two.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def start(out: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.training.tiny", str(out)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def finish(out: Path) -> list[float]:
    """Let the run come to its end; returns when each of its steps began."""
    with start(out) as process:
        assert process.stdout is not None
        times = [time.perf_counter() for _ in process.stdout]
    assert process.returncode == 0
    return times


def kill_after(out: Path, step: int, delay: float) -> None:
    """Kill the run `delay` seconds after it begins step number `step`, or a later one if it stands further already."""
    with start(out) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if int(line) >= step)
        time.sleep(delay)
        process.kill()
    assert process.returncode == -9, "it was over before the kill"


def kill_early(out: Path, delay: float) -> None:
    """Kill the run `delay` seconds after its process starts: while it imports, reads the checkpoint, or takes it up."""
    with start(out) as process:
        time.sleep(delay)
        process.kill()
    assert process.returncode == -9, "it was over before the kill"


def kill_in_a_write(out: Path, step: int) -> None:
    """Kill the run as soon as a file is being written after it begins step number `step`."""
    with start(out) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if int(line) >= step)
        while process.poll() is None and not unfinished(out):
            pass
        process.kill()
    assert process.returncode == -9, "it was over before the kill"


def unfinished(out: Path) -> list[Path]:
    return list(out.glob(".*.part"))


@pytest.mark.slow  # some thirty processes that train, one after another: half a minute
def test_killed_at_twenty_random_moments_and_in_writes(tmp_path):
    """Sixteen kills at random moments of training, four of starting, and four more as soon as a write is seen."""
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    rng = random.Random(1512)
    started = time.perf_counter()
    times = finish(undisturbed)
    a_step, starting = (times[-1] - times[0]) / (STEPS - 1), times[0] - started
    steps = sorted(rng.randrange(STEPS - 5) for _ in range(20))
    in_writes = 0
    for number, step in enumerate(steps):
        if number % 5 == 0:
            kill_early(disturbed, rng.uniform(0, starting))
            kill_in_a_write(disturbed, step)
            in_writes += bool(unfinished(disturbed))
        else:
            kill_after(disturbed, step, rng.uniform(0, a_step))
            in_writes += bool(unfinished(disturbed))
    assert in_writes, "no kill met a file being written, so that case was not tested"
    finish(disturbed)

    expected, found = (training.load_checkpoint(out / "last.safetensors") for out in (undisturbed, disturbed))
    assert {name: array.tobytes() for name, array in found.model.items()} == {
        name: array.tobytes() for name, array in expected.model.items()
    }
    assert (found.epoch, found.random, found.schedule) == (3, expected.random, expected.schedule)
    for name in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "learning_rate"):
        assert [getattr(r, name) for r in found.history] == [getattr(r, name) for r in expected.history]
    assert (disturbed / "log.jsonl").read_text().count("\n") == 3
    assert sorted(path.name for path in disturbed.iterdir()) == sorted(path.name for path in undisturbed.iterdir())
