"""A rank that fails, dies, stops or hangs ends the job, which says so; the run then goes on to the same bits."""

from __future__ import annotations

import random
import time

import pytest

TIMEOUT = "8"  # seconds, instead of 20


@pytest.fixture(scope="module")
def undisturbed(run, tmp_path_factory):
    """The weights of the run without a fault."""
    return run(2, "-m", "tests.distributed.run", tmp_path_factory.mktemp("undisturbed") / "run").stdout


def struck(run, folder, fault, rank, step):
    """(the job that failed, its seconds)."""
    began = time.monotonic()
    arguments = ("-m", "tests.distributed.run", folder, fault, rank, step)
    done = run(2, *arguments, check=False, MINIRES_RANK_TIMEOUT=TIMEOUT)
    return done, time.monotonic() - began


@pytest.mark.slow  # each is two jobs of two processes, and hanging takes as long as the timeout
@pytest.mark.parametrize(
    ("fault", "rank", "said"),
    [
        ("kill", 1, "rank 1 of 2 on .* has ended without an error of its own"),
        ("kill", 0, "rank 0 of 2 on .* has ended without an error of its own"),
        ("stop", 1, "rank 1 of 2 on .* has given no sign of life for 8 s"),
        ("stop", 0, "rank 0 of 2 on .* has given no sign of life for 8 s"),
        ("hang", 1, "rank 1 of 2 on .* hangs.*time.sleep"),
        ("raise", 1, "rank 1 of 2 on .*an image is on fire"),
        ("full", 0, "rank 0 of 2 on .*No space left on device; the old file, if any, is untouched"),
    ],
)
def test_it_ends_the_job_and_the_run_goes_on(run, tmp_path, undisturbed, fault, rank, said):
    done, seconds = struck(run, tmp_path / "run", fault, rank, 4)
    assert done.returncode not in (0, 2)
    assert seconds < 30
    assert _matches(said, done.stderr), done.stderr
    assert "weights" not in done.stdout
    resumed = run(2, "-m", "tests.distributed.run", tmp_path / "run")
    assert resumed.stdout == undisturbed


def _matches(pattern: str, text: str) -> bool:
    import re

    return re.search(pattern, text, re.DOTALL) is not None


@pytest.mark.slow  # a job that is stopped, and one that goes on
def test_a_signal_to_one_rank_stops_all_saved(run, tmp_path, undisturbed):
    done, _ = struck(run, tmp_path / "run", "term", 1, 4)
    assert done.returncode == 143
    assert done.stderr.count("saved in") == 1
    assert run(2, "-m", "tests.distributed.run", tmp_path / "run").stdout == undisturbed


@pytest.mark.parametrize(
    ("fault", "said"), [("seed", "training data seed: 5 on rank 0, 6 on rank 1"), ("weights", "bit")]
)
@pytest.mark.slow  # starts two processes
def test_ranks_that_do_not_fit_are_refused_at_the_start(run, tmp_path, fault, said):
    done, _ = struck(run, tmp_path / "run", fault, 1, 0)
    assert done.returncode == 1
    assert said in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow  # eleven jobs or more: kills at ten moments, each with a restart
def test_launch_restarts_after_kills_at_random_moments_to_the_same_bits(run, tmp_path, undisturbed):
    chance = random.Random(19)
    for attempt in range(10):
        out = tmp_path / str(attempt)
        program = ("-m", "tests.distributed.run", out, "later", chance.randrange(2), chance.randrange(20, 900))
        launch = ("-m", "minires", "launch", "-n", "2", "--restarts", "1", "--")
        done = run(1, *launch, "python", *program, PATH=_path_with_python())
        assert done.stdout.endswith(undisturbed), done.stderr


def _path_with_python() -> str:
    import os
    import sys
    from pathlib import Path

    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
