"""What `init` makes of the launcher's variables, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minires.core import ranks
from minires.distributed import SingleProcess, start
from minires.errors import MissingLibraryError


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(start, "_communicator", None)
    for name in start._SIZE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield
    ranks.set_default(None)


def test_a_process_alone_needs_no_mpi(monkeypatch):
    monkeypatch.setattr("minires.extras.find_spec", lambda name: None)
    comm = start.init()
    assert isinstance(comm, SingleProcess)
    assert start.init() is comm
    assert ranks.default() is comm


def test_several_processes_without_mpi4py_say_what_to_install(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setattr("minires.extras.find_spec", lambda name: None)
    assert start.launched_ranks() == 4
    with pytest.raises(MissingLibraryError, match=r"minires\[mpi\]"):
        start.init()


@pytest.mark.parametrize("timeout", [0, -1, math.inf, math.nan, "soon"])
def test_a_timeout_that_is_no_time_is_refused(timeout):
    with pytest.raises(ValueError, match="MINIRES_RANK_TIMEOUT"):
        start.init(timeout=timeout)


def test_a_timeout_from_the_environment_is_checked(monkeypatch):
    monkeypatch.setenv("MINIRES_RANK_TIMEOUT", "soon")
    with pytest.raises(ValueError, match="soon"):
        start.init()


def test_alone_every_call_returns_what_it_is_given():
    comm, array = SingleProcess(), np.arange(6.0).reshape(2, 3)
    for found in (comm.all_reduce(array), comm.broadcast(array), comm.all_gather(array)[0]):
        np.testing.assert_array_equal(found, array)
        assert found is not array
    comm.start_all_reduce(array.ravel()).wait()
    comm.barrier()
    comm.progress()
    assert comm.gather_objects("a") == ["a"]
    assert comm.split(0) is comm
    assert comm.exclusively(lambda: 3) == 3
    with pytest.raises(SystemExit):
        comm.abort(3)
