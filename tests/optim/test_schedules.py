"""Schedules on their own: their formulas, what they do at the edges, and state that travels."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import minires as mr
from minires import optim
from minires.errors import WeightsError
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


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_numpys_numbers_become_pythons(kind):
    schedules = {
        "Step": lambda opt, f, n: optim.Step(opt, n(2), f(0.5)),
        "MultiStep": lambda opt, f, n: optim.MultiStep(opt, np.array([1, 3]) if n is np.int64 else [1, 3], f(0.5)),
        "Cosine": lambda opt, f, n: optim.Cosine(opt, n(4), f(0.25)),
        "OneCycle": lambda opt, f, n: optim.OneCycle(opt, n(8), f(0.5), f(4.0), f(16.0)),
        "WarmUp": lambda opt, f, n: optim.WarmUp(optim.Constant(opt), n(2), f(0.25)),
        "ReduceOnPlateau": lambda opt, f, n: optim.ReduceOnPlateau(opt, "min", f(0.5), n(0), f(0.0)),
    }
    for name, make in schedules.items():
        rates = []
        for f, n in ((kind, np.int64), (float, int)):
            optimizer = optim.SGD([mr.tensor([1.0])], lr=f(0.5))
            schedule = make(optimizer, f, n)
            rates.append([])
            for step in range(5):
                schedule.step(f(step)) if name == "ReduceOnPlateau" else schedule.step()
                rates[-1].append(optimizer.param_groups[0]["lr"])
            json.dumps([schedule.state_dict(), rates])
            assert {type(rate) for rate in rates[-1]} == {float}
        assert rates[0] == rates[1], name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda opt: optim.Step(opt, 1.5), "Step: step_size = 1.5 must be an integer"),
        (lambda opt: optim.Step(opt, True), "Step: step_size = True must be an integer"),
        (lambda opt: optim.Step(opt, 1, -0.1), "Step: gamma = -0.1 must not be negative"),
        (lambda opt: optim.MultiStep(opt, [1, 2.5]), "MultiStep: milestones = 2.5 must be an integer"),
        (lambda opt: optim.MultiStep(opt, [1], math.nan), "MultiStep: gamma = nan"),
        (lambda opt: optim.Cosine(opt, 10, -0.1), "Cosine: floor = -0.1 must be between 0 and 1"),
        (lambda opt: optim.Cosine(opt, math.nan), "Cosine: total = nan"),
        (lambda opt: optim.OneCycle(opt, 10, div=0.0), "OneCycle: div = 0.0 must be at least 1"),
        (lambda opt: optim.WarmUp(optim.Constant(opt), 1.5), "WarmUp: steps = 1.5 must be an integer"),
        (lambda opt: optim.WarmUp(optim.Constant(opt), 2, -1.0), "WarmUp: start = -1.0 must not be negative"),
        (lambda opt: optim.ReduceOnPlateau(opt, threshold=-1.0), "threshold = -1.0 must not be negative"),
    ],
)
def test_settings_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make(optim.SGD([mr.tensor([1.0])], lr=0.5))


def test_the_state_of_another_kind_of_schedule_is_refused():
    optimizer = optim.SGD([mr.tensor([1.0])], lr=0.5)
    saved = optim.Step(optimizer, 2).state_dict()
    with pytest.raises(
        WeightsError, match=r"Cosine: the saved state has base_lrs, gamma, .*it is the state of another one"
    ):
        optim.Cosine(optimizer, 5).load_state_dict(saved)
    with pytest.raises(TypeError, match="Step: needs an optimiser, got a list"):
        optim.Step([mr.tensor([1.0])], 1)


def test_the_metric_of_a_plateau_may_be_a_tensor():
    optimizer = optim.SGD([mr.tensor([1.0])], lr=0.5)
    schedule = optim.ReduceOnPlateau(optimizer, patience=0)
    for metric in (mr.tensor(1.0), np.float32(0.5), mr.tensor([2.0])):
        schedule.step(metric)
    json.dumps(schedule.state_dict())
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


BY_HAND = {  # (ours, torch's), of the same arguments
    "step": (lambda o: optim.Step(o, 2), lambda torch, o: torch.optim.lr_scheduler.StepLR(o, 2)),
    "milestones": (
        lambda o: optim.MultiStep(o, [2, 5], 0.5),
        lambda torch, o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 5], 0.5),
    ),
    "cosine": (lambda o: optim.Cosine(o, 10), lambda torch, o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 10)),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_a_rate_set_by_hand_holds_as_in_torch(torch, name):
    ours, theirs = our_optimizer([0.1, 0.3]), torch.optim.SGD([{"params": [torch.zeros(1)]} for _ in range(2)], 0.1)
    theirs.param_groups[1]["lr"] = 0.3
    schedules = BY_HAND[name][0](ours), BY_HAND[name][1](torch, theirs)
    for t in range(8):
        if t == 3:
            for optimizer in (ours, theirs):
                optimizer.param_groups[0]["lr"] *= 0.5
        rates = [[float(group["lr"]) for group in optimizer.param_groups] for optimizer in (ours, theirs)]
        assert rates[0] == pytest.approx(rates[1], rel=1e-12)
        theirs.step()
        for schedule in schedules:
            schedule.step()


def test_a_rate_set_by_hand_holds():
    optimizer = our_optimizer([0.5])
    schedule = optim.ReduceOnPlateau(optimizer, patience=100)
    optimizer.param_groups[0]["lr"] = 0.25
    schedule.step(1.0)
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_two_schedules_multiply():
    """0.1 · 0.1^⌊t/2⌋ · 0.1^(t ≥ 3), as torch's StepLR and MultiStepLR do on one optimiser."""
    optimizer = our_optimizer([0.1])
    schedules = optim.Step(optimizer, 2), optim.MultiStep(optimizer, [3])
    found = []
    for _ in range(5):
        found.append(optimizer.param_groups[0]["lr"])
        for schedule in schedules:
            schedule.step()
    assert found == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.0001])


def test_a_rate_after_a_rate_of_zero():
    optimizer = our_optimizer([0.5])
    schedule = optim.WarmUp(optim.Constant(optimizer), 2)
    assert optimizer.param_groups[0]["lr"] == 0.0
    optimizer.param_groups[0]["lr"] = 0.25
    schedule.step()
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_the_state_of_an_earlier_version_goes_on():
    optimizer = our_optimizer([0.5])
    schedule = optim.Step(optimizer, 2)
    schedule.step()
    state = schedule.state_dict()
    del state["last"]
    optimizer = our_optimizer([0.5])
    schedule = optim.Step(optimizer, 2)
    schedule.load_state_dict(state)
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05)


@pytest.mark.parametrize(("mode", "metrics"), [("min", (4.0, 3.0)), ("max", (4.0, 5.0))])
def test_a_change_of_exactly_the_threshold_is_no_improvement(mode, metrics):
    """torch's ReduceLROnPlateau compares strictly: 3 < 4·(1 − ¼) and 5 > 4·(1 + ¼) are both false."""
    optimizer = optim.SGD([mr.zeros(1, requires_grad=True)], 1.0)
    schedule = optim.ReduceOnPlateau(optimizer, mode, patience=0, threshold=0.25)
    for metric in metrics:
        schedule.step(metric)
    assert (schedule.best, optimizer.param_groups[0]["lr"]) == (4.0, pytest.approx(0.1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": -1}, "t = -1 must not be negative"),
        ({"t": 2.5}, "t = 2.5 must be an integer"),
        ({"starting": [0.1, 0.2]}, "starting has 2 rates, and the optimiser 1 groups"),
        ({"last": [math.nan]}, "last = nan must"),
        ({"starting": None}, "nothing was loaded"),
    ],
)
@pytest.mark.parametrize("warm", [False, True])
def test_a_state_with_wrong_values_is_refused_and_nothing_changes(change, message, warm):
    optimizer = our_optimizer([0.5])
    schedule = optim.Step(optimizer, 2)
    schedule = optim.WarmUp(schedule, 3) if warm else schedule
    schedule.step()
    before = json.dumps(schedule.state_dict())
    with pytest.raises(WeightsError, match=message):
        schedule.load_state_dict({**schedule.state_dict(), **change})
    assert json.dumps(schedule.state_dict()) == before


def test_the_state_of_a_warm_up_brings_its_settings_and_those_of_what_comes_after():
    optimizer, other = our_optimizer([0.5]), our_optimizer([0.5])
    schedule = optim.WarmUp(optim.Step(optimizer, 2, 0.5), 3, 0.25)
    resumed = optim.WarmUp(optim.Step(other, 7), 9)
    schedule.step()
    resumed.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    for _ in range(8):
        schedule.step()
        resumed.step()
        assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    with pytest.raises(WeightsError, match="it is the state of another one"):
        optim.WarmUp(optim.Cosine(other, 7), 9).load_state_dict(schedule.state_dict())


def test_the_warm_up_state_of_an_earlier_version_goes_on():
    optimizer = our_optimizer([0.5])
    schedule = optim.WarmUp(optim.Step(optimizer, 2), 4)
    schedule.load_state_dict({"t": 2, "starting": [0.5], "last": [0.25]})
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == 0.375
