"""Schedules on their own: their formulas, what they do at the edges, and state that travels."""

from __future__ import annotations

import inspect
import json
import math

import numpy as np
import pytest

import minires as mr
from minires import optim
from tests.optim.cases import SCHEDULES, learning_rates, our_optimizer


def rates(make, count, lr=1.0):
    optimizer = our_optimizer([lr])
    schedule = make(optimizer)
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    return found


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_saved_state_goes_on_identically(name):
    """Resumed at every step: with the state as JSON, an optimiser that starts anew, and one that was loaded first."""
    case = SCHEDULES[name]
    optimizer = our_optimizer(case.rates)
    schedule = case.ours(optimizer)
    saved = []
    for t in range(50):
        saved.append(json.dumps([schedule.state_dict(), optimizer.state_dict()["param_groups"]]))
        schedule.step(*(() if case.metrics is None else (case.metrics[t],)))
    optimizer = our_optimizer(case.rates)
    expected = learning_rates(optimizer, case.ours(optimizer), case.metrics)
    for first in range(0, 50, 7):
        state, groups = json.loads(saved[first])
        for loaded in (False, True):
            optimizer = our_optimizer(case.rates)
            if loaded:
                optimizer.load_state_dict({**optimizer.state_dict(), "param_groups": groups})
            schedule = case.ours(optimizer)
            schedule.load_state_dict(state)
            found = learning_rates(optimizer, schedule, case.metrics, 50 - first, first)
            assert np.array_equal(found, expected[first:])


def test_steps_are_the_formula():
    assert rates(lambda o: optim.Step(o, 2, 0.5), 5) == [1, 1, 0.5, 0.5, 0.25]
    assert rates(lambda o: optim.MultiStep(o, (1, 3), 0.5), 5) == [1, 0.5, 0.5, 0.25, 0.25]
    assert rates(optim.Constant, 2, lr=0.3) == [0.3, 0.3]


def test_cosine_is_the_formula_and_stays_at_its_floor():
    found = rates(lambda o: optim.Cosine(o, 4, floor=0.2), 7)
    expected = [0.2 + 0.8 * (1 + math.cos(math.pi * min(t, 4) / 4)) / 2 for t in range(7)]
    assert found == pytest.approx(expected, abs=1e-15)


def test_one_cycle_climbs_falls_and_stays_down():
    found = rates(lambda o: optim.OneCycle(o, 20, up=0.3, div=10, final_div=100), 24)
    assert found[0] == pytest.approx(0.1)
    assert max(found) == pytest.approx(1.0)
    assert found.index(max(found)) == 5  # up · total − 1
    assert found[19:] == pytest.approx([1e-3] * 5)


@pytest.mark.parametrize(("total", "up"), [(10, 0.1), (10, 0.01), (1, 0.3), (1, 0.99)])
def test_a_cycle_too_short_to_climb_starts_at_its_peak_or_on_the_way_down(total, up):
    found = rates(lambda o: optim.OneCycle(o, total, up=up), total + 2)
    assert all(math.isfinite(lr) and 0 < lr <= 1 for lr in found)
    assert found == sorted(found, reverse=True)


def test_warm_up_then_the_time_of_what_comes_after_begins():
    found = rates(lambda o: optim.WarmUp(optim.MultiStep(o, [2], 0.5), 4, start=0.2), 8)
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 0.5, 0.5])
    assert rates(lambda o: optim.WarmUp(optim.Constant(o), 0), 2) == [1, 1]


def test_the_paper_recipe_of_resnet110():
    """Section 4.2: start with 0.01 for 400 iterations, then 0.1, a tenth of it at 32k and again at 48k."""
    optimizer = our_optimizer([0.1])
    after = optim.MultiStep(optimizer, [32_000 - 400, 48_000 - 400])
    schedule = optim.WarmUp(after, 400, start=0.1)
    seen = {}
    for t in range(48_001):
        seen[t] = optimizer.param_groups[0]["lr"]
        schedule.step()
    wanted = {0: 0.01, 400: 0.1, 31_999: 0.1, 32_000: 0.01, 47_999: 0.01, 48_000: 0.001}
    assert {t: seen[t] for t in wanted} == pytest.approx(wanted)


def test_a_group_of_rate_zero_stays_frozen():
    optimizer = our_optimizer([0.0, 1.0])
    schedule = optim.OneCycle(optimizer, 10)
    for _ in range(9):
        schedule.step()
        assert optimizer.param_groups[0]["lr"] == 0.0
        assert optimizer.param_groups[1]["lr"] > 0.0


def test_a_nan_is_no_improvement():
    optimizer = our_optimizer([1.0])
    schedule = optim.ReduceOnPlateau(optimizer, gamma=0.5, patience=1)
    for metric in (1.0, math.nan, math.nan):
        schedule.step(metric)
    assert optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: optim.ReduceOnPlateau(o, mode="least"), ValueError, "mode 'least' must be 'min' or 'max'"),
        (lambda o: optim.ReduceOnPlateau(o).step(), TypeError, "needs the metric"),
        (lambda o: optim.WarmUp(optim.ReduceOnPlateau(o), 3), TypeError, "ReduceOnPlateau cannot come after it"),
        (lambda o: optim.Step(o, 0), ValueError, "step_size = 0 must be at least 1"),
        (lambda o: optim.Cosine(o, 0), ValueError, "Cosine: total = 0 must be at least 1"),
        (lambda o: optim.OneCycle(o, 0), ValueError, "OneCycle: total = 0 must be at least 1"),
        (lambda o: optim.OneCycle(o, 9, up=0.0), ValueError, r"OneCycle: up = 0\.0 must be a part of the cycle"),
        (lambda o: optim.OneCycle(o, 9, up=1.0), ValueError, r"OneCycle: up = 1\.0 must be a part of the cycle"),
        (lambda o: optim.WarmUp(optim.Constant(o), -1), ValueError, "WarmUp: steps = -1 must not be negative"),
        (lambda o: optim.ReduceOnPlateau(o, gamma=1.0), ValueError, r"gamma = 1\.0 must be between 0 and 1"),
        (lambda o: optim.ReduceOnPlateau(o, gamma=0.0), ValueError, r"gamma = 0\.0 must be between 0 and 1"),
        (lambda o: optim.ReduceOnPlateau(o, patience=-1), ValueError, "patience = -1 must not be negative"),
    ],
)
def test_bad_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(our_optimizer([0.1]))


@pytest.mark.parametrize("name", ["StepLR", "MultiStepLR", "ReduceLROnPlateau"])
def test_a_schedule_under_torchs_name_takes_torchs_first_arguments(torch, name):
    """In torch's order and with its defaults; `gamma` stands for torch's `factor`."""
    ours = list(inspect.signature(getattr(optim, name)).parameters.values())
    theirs = list(inspect.signature(getattr(torch.optim.lr_scheduler, name)).parameters.values())
    assert 3 <= len(ours) <= len(theirs)
    for mine, other in zip(ours, theirs, strict=False):
        assert mine.name == {"factor": "gamma"}.get(other.name, other.name)
        assert mine.default == other.default


@pytest.mark.parametrize(("mode", "metrics"), [("min", (4.0, 3.0)), ("max", (4.0, 5.0))])
def test_a_change_of_exactly_the_threshold_is_no_improvement(mode, metrics):
    """torch's ReduceLROnPlateau compares strictly: 3 < 4·(1 − ¼) and 5 > 4·(1 + ¼) are both false."""
    optimizer = optim.SGD([mr.zeros(1, requires_grad=True)], 1.0)
    schedule = optim.ReduceOnPlateau(optimizer, mode, patience=0, threshold=0.25)
    for metric in metrics:
        schedule.step(metric)
    assert (schedule.best, optimizer.param_groups[0]["lr"]) == (4.0, pytest.approx(0.1))
