"""A study on the ranks of mpiexec: all work, the results are joined, and a failure ends in a run that goes on."""

from __future__ import annotations

import pytest

from minires.distributed import SingleProcess
from minires.errors import MiniResError
from minires.studies.farm import farming


@pytest.mark.slow  # three jobs of two or three processes
def test_tasks_are_dealt_to_the_ranks_and_resumed_after_a_failure(run, tmp_path):
    whole = run(3, "-m", "tests.distributed.farm", tmp_path / "whole")
    assert whole.stdout.endswith("2 processes, True\n")
    failed = run(3, "-m", "tests.distributed.farm", tmp_path / "parted", check=False, FARM_FAILS="b-read-2")
    assert failed.returncode == 1
    assert "the barn is on fire" in failed.stderr
    assert not (tmp_path / "parted" / "results.json").exists()
    resumed = run(2, "-m", "tests.distributed.farm", tmp_path / "parted", "--resume")
    assert resumed.stdout.rstrip().endswith("True")


def test_a_farm_needs_two_ranks():
    with pytest.raises(MiniResError, match="mpiexec -n 2"), farming(SingleProcess()):
        pass
