"""A study that is killed at random moments and resumed gives the same results as one that runs through."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.studies.test_frame import without_times

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = """
import sys
from pathlib import Path
from minires import studies
from minires.studies.paths import PathSettings
from minires.studies.recipe import Recipe

if __name__ == "__main__":
    recipe = Recipe(epochs=6, train_images=256, batch_size=32, checkpoint_seconds=0.05)
    settings = PathSettings(depths=(8, 14), recipe=recipe, images=4, samples=1, exact_depth=8)
    studies.run("paths", settings=settings, out=sys.argv[1], jobs=int(sys.argv[2]), resume=True, progress=False)
"""


def start(program: Path, out: Path, jobs: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, str(program), str(out), str(jobs)], env=environment, cwd=ROOT)


def results(out: Path) -> dict[str, Any]:
    return without_times(json.loads((out / "results.json").read_text("utf-8")))


def ended(out: Path) -> int:
    """How many tasks have ended."""
    return len(list((out / "tasks").glob("[!.]*.json")))


@pytest.mark.slow  # it runs a small study twice, and starts it seven times
@pytest.mark.parametrize("jobs", [1, 2])
def test_five_kills_change_nothing(tmp_path, jobs):
    program, out = tmp_path / "program.py", tmp_path / "killed"
    program.write_text(PROGRAM, "utf-8")
    started = time.monotonic()
    assert start(program, tmp_path / "whole", 1).wait() == 0
    a_task = (time.monotonic() - started) / 7
    rng = random.Random(jobs)
    kills, in_training = 0, 0
    for least in (0, 1, 2, 3, 5):  # a random moment after so many tasks have ended
        process = start(program, out, jobs)
        while process.poll() is None and ended(out) < least:
            time.sleep(0.01)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=rng.uniform(0.2, 2.0) * a_task)
        if process.poll() is None:
            process.kill()
            process.wait()
            kills += 1
            in_training += any((out / "runs").glob("*/last.safetensors"))
    assert kills >= 3
    assert in_training, "no training was interrupted"
    assert start(program, out, jobs).wait() == 0
    assert results(out) == results(tmp_path / "whole")
    assert not list((out / "runs").iterdir())
