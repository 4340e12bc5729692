"""Optimisers and schedules against PyTorch: live where it is installed, and by the numbers it gave in oracle.json."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from tests.optim.cases import OPTIMIZERS, SCHEDULES, our_rates, our_trajectory, their_rates, their_trajectory
from tests.optim.make_oracle import TARGET

ORACLE = json.loads(TARGET.read_text())


def test_the_oracle_covers_the_table():
    """After a change of the table: python -m tests.optim.make_oracle."""
    assert (set(ORACLE["optimizers"]), set(ORACLE["schedules"])) == (set(OPTIMIZERS), set(SCHEDULES))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_does_what_torch_did(name):
    np.testing.assert_allclose(our_trajectory(name), ORACLE["optimizers"][name], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_gives_the_rates_that_torch_gave(name):
    np.testing.assert_allclose(our_rates(SCHEDULES[name]), ORACLE["schedules"][name], rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_equals_torch(torch, name):
    np.testing.assert_allclose(our_trajectory(name), their_trajectory(torch, name), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_equals_torch(torch, name):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The epoch parameter", category=UserWarning)  # its own SequentialLR
        theirs = their_rates(torch, SCHEDULES[name])
    np.testing.assert_allclose(our_rates(SCHEDULES[name]), theirs, rtol=1e-12, atol=1e-17)


@pytest.mark.parametrize("name", ["ReduceOnPlateau, min", "ReduceOnPlateau, max"])
def test_the_plateaus_are_met(name):
    """The metrics of the table reach several plateaus, else the comparison would say nothing."""
    assert len(set(our_rates(SCHEDULES[name])[:, 0])) >= 4
