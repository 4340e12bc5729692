"""Schedules under torch's names, beside torch's over 60 steps: alone, chained, after a change by hand, and resumed."""

from __future__ import annotations

import inspect
import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import optim
from minires.errors import WeightsError
from minires.optim import lr_scheduler

STEPS = 60
RATES = (0.1, 0.02)
CASES: dict[str, Callable[[Any, Any], Any]] = {  # (the module lr_scheduler, ours or torch's; an optimiser)
    "StepLR": lambda s, o: s.StepLR(o, 7, gamma=0.3),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [10, 25, 25, 40], 0.2),
    "MultiStepLR of a generator": lambda s, o: s.MultiStepLR(o, (5 * i for i in range(1, 4))),
    "ConstantLR": lambda s, o: s.ConstantLR(o, 0.25, 8),
    "ConstantLR, defaults": lambda s, o: s.ConstantLR(o),
    "LinearLR": lambda s, o: s.LinearLR(o, 0.1, 0.7, total_iters=20),
    "LinearLR, defaults": lambda s, o: s.LinearLR(o),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.93),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, 40, 1.7),
    "PolynomialLR, defaults": lambda s, o: s.PolynomialLR(o),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 13),
    "CosineAnnealingLR, eta_min": lambda s, o: s.CosineAnnealingLR(o, T_max=25, eta_min=0.003),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 8),
    "CosineAnnealingWarmRestarts, growing": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, 2, eta_min=0.001),
    "LambdaLR": lambda s, o: s.LambdaLR(o, lambda t: 0.95**t),
    "LambdaLR, one a group": lambda s, o: s.LambdaLR(o, [lambda t: 1 / (t + 1), lambda t: min(1.0, t / 10)]),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda t: 1 - 1 / (t + 2)),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, 0.3, total_steps=60),
    "OneCycleLR, three phases": lambda s, o: s.OneCycleLR(
        o, [0.3, 0.4], epochs=6, steps_per_epoch=10, pct_start=0.4, three_phase=True, anneal_strategy="linear"
    ),
    "OneCycleLR, all settings": lambda s, o: s.OneCycleLR(
        o, 0.2, 64, base_momentum=[0.7, 0.6], max_momentum=0.99, div_factor=5, final_div_factor=50
    ),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.01, 0.2, step_size_up=6),
    "CyclicLR, triangular2": lambda s, o: s.CyclicLR(o, [0.01, 0.02], 0.2, 5, 9, mode="triangular2"),
    "CyclicLR, exp_range": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 5, mode="exp_range", gamma=0.97, base_momentum=0.7),
    "CyclicLR, own scale": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 4, scale_fn=lambda n: 1 / n, cycle_momentum=False),
    "CyclicLR, own scale of t": lambda s, o: s.CyclicLR(
        o, 0.01, 0.2, 4, scale_fn=lambda t: 0.9**t, scale_mode="iterations"
    ),
    "SequentialLR": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, total_iters=8), s.CosineAnnealingLR(o, 30), s.ExponentialLR(o, 0.9)], [8, 38]
    ),
    "SequentialLR of absolute ones": lambda s, o: s.SequentialLR(
        o, [s.ConstantLR(o, 0.1, 4), s.LambdaLR(o, lambda t: 0.9**t), s.CosineAnnealingWarmRestarts(o, 7)], [5, 20]
    ),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler(
        [s.ConstantLR(o, 0.1, 5), s.ExponentialLR(o, 0.95), s.StepLR(o, 20)], o
    ),
}
RELATIVE = [  # those that multiply what they find, so that any two of them chain
    *("StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "MultiplicativeLR"),
    *("CosineAnnealingLR", "CosineAnnealingLR, eta_min"),
]


def our_optimizer(rates: tuple[float, ...] = RATES) -> optim.Optimizer:
    return optim.SGD([{"params": [mr.tensor([1.0])], "lr": lr} for lr in rates], momentum=0.9)


def their_optimizer(torch: Any, rates: tuple[float, ...] = RATES) -> Any:
    groups = [{"params": [torch.ones(1, requires_grad=True)], "lr": lr} for lr in rates]
    return torch.optim.SGD(groups, momentum=0.9)


def settings(optimizer: Any) -> list[tuple[float, float]]:
    return [(float(group["lr"]), group["momentum"]) for group in optimizer.param_groups]


def run(
    optimizer: Any, schedules: list[Any], first: int = 0, by_hand: Callable[[int], float] = lambda t: 1.0
) -> np.ndarray:
    """(steps, groups, 2): rate and momentum at steps first, first + 1, … < STEPS; by_hand(t) multiplies group 0's."""
    rows = []
    for t in range(first, STEPS):
        optimizer.param_groups[0]["lr"] *= by_hand(t)
        rows.append(settings(optimizer))
        if t < STEPS - 1:
            optimizer.step()
            for schedule in schedules:
                schedule.step()
            last = schedules[-1].get_last_lr()
            assert last == pytest.approx([rate for rate, _ in settings(optimizer)], rel=1e-12)
    return np.array(rows)


def both(torch: Any, names: list[str], **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """The series here and in torch, of the cases of these names on one optimiser."""
    ours, theirs = our_optimizer(), their_optimizer(torch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's SequentialLR warns of itself
        schedules = [CASES[name](torch.optim.lr_scheduler, theirs) for name in names]
        expected = run(theirs, schedules, **options)
    return run(ours, [CASES[name](lr_scheduler, ours) for name in names], **options), expected


@pytest.mark.parametrize("name", CASES)
def test_a_schedule_gives_torchs_rates(torch, name):
    ours, theirs = both(torch, [name])
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_a_rate_set_by_hand_in_the_middle_is_as_in_torch(torch, name):
    """It holds until the next change, and most schedules go on from it; those that set the rate overwrite it.

    At its lowest rate the cosine forgets it, as torch's does.
    """
    ours, theirs = both(torch, [name], by_hand=lambda t: {9: 0.5, 31: 3.0}.get(t, 1.0))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-14)


# Where the rates of two cosines are lowest, torch itself divides 0 by 0, or nearly.
PAIRS = [(a, b) for a in RELATIVE for b in RELATIVE if not (a.startswith("Cosine") and b.startswith("Cosine"))]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_schedules_on_one_optimizer_multiply_as_in_torch(torch, first, second):
    """Where torch's product falls below a cosine's eta_min it becomes negative; the optimiser here refuses that."""
    theirs = their_optimizer(torch)
    expected = run(theirs, [CASES[name](torch.optim.lr_scheduler, theirs) for name in (first, second)])
    ours = our_optimizer()
    schedules = [CASES[name](lr_scheduler, ours) for name in (first, second)]
    if expected.min() < 0:
        with pytest.raises(ValueError, match=r"SGD: lr = -0\.0.* must not be negative"):
            run(ours, schedules)
    else:
        np.testing.assert_allclose(run(ours, schedules), expected, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("pair", [("LambdaLR", "StepLR"), ("CosineAnnealingWarmRestarts", "ExponentialLR")])
def test_one_that_sets_the_rate_overwrites_as_in_torch(torch, pair):
    for names in (list(pair), list(pair)[::-1]):
        ours, theirs = both(torch, names)
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("loaded", [False, True])
def test_a_saved_state_goes_on_identically(name, loaded):
    """Through JSON, at several steps, into an optimiser that starts anew or was loaded; after a change by hand too."""
    by_hand = lambda t: {9: 0.5}.get(t, 1.0)  # noqa: E731
    optimizer = our_optimizer()
    expected = run(optimizer, [CASES[name](lr_scheduler, optimizer)], by_hand=by_hand)
    for first in (1, 8, 10, 33, 52):
        optimizer = our_optimizer()
        schedule = CASES[name](lr_scheduler, optimizer)
        for t in range(first):
            optimizer.param_groups[0]["lr"] *= by_hand(t)
            schedule.step()
        saved = json.loads(json.dumps([schedule.state_dict(), optimizer.state_dict()["param_groups"]]))
        again = our_optimizer()
        if loaded:
            again.load_state_dict({**again.state_dict(), "param_groups": saved[1]})
        schedule = CASES[name](lr_scheduler, again)
        schedule.load_state_dict(saved[0])
        found = run(again, [schedule], first, by_hand)
        rate = slice(None) if loaded else slice(0, 1)  # momentum is in the state of the optimiser
        assert np.array_equal(found[1:, :, rate], expected[first + 1 :, :, rate])
        assert np.array_equal(found[0, :, 0], expected[first, :, 0])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_chained_schedules_resume_in_any_order(order):
    make = [lambda o: lr_scheduler.ExponentialLR(o, 0.9), lambda o: lr_scheduler.StepLR(o, 4)]
    optimizer = our_optimizer()
    schedules = [each(optimizer) for each in make]
    for _ in range(7):
        for schedule in schedules:
            schedule.step()
    states = [schedule.state_dict() for schedule in schedules]
    again = our_optimizer()
    resumed = [each(again) for each in make]
    for i in order:
        resumed[i].load_state_dict(states[i])
    np.testing.assert_allclose(run(again, resumed, 7), run(optimizer, schedules, 7), rtol=1e-12)


RESUMED = [
    (name, epoch)
    for name in CASES
    for epoch in (4, 9)
    if not name.startswith(("Sequential", "Chained", "Multiplicative"))
    and (name, epoch) != ("CosineAnnealingWarmRestarts, growing", 9)  # torch counts one restart only on the way there
]


@pytest.mark.parametrize(("name", "epoch"), RESUMED)
def test_last_epoch_goes_on_as_in_torch(torch, name, epoch):
    """With the state of the optimiser, which has initial_lr. The first rates after it too, at a milestone of StepLR."""
    rows = []
    for package, s in ((mr, lr_scheduler), (torch, torch.optim.lr_scheduler)):
        optimizer = our_optimizer() if package is mr else their_optimizer(torch)
        schedule = CASES[name](s, optimizer)
        for _ in range(epoch + 1):
            optimizer.step()
            schedule.step()
        groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
        resumed = our_optimizer() if package is mr else their_optimizer(torch)
        for group, saved in zip(resumed.param_groups, groups, strict=True):
            group.update({key: value for key, value in saved.items() if package is torch or key in group})
            group["initial_lr"] = saved["initial_lr"]
        kind, arguments = type(schedule), inspect.signature(type(schedule)).parameters
        assert "last_epoch" in arguments, kind
        made = resume_case(name, s, resumed, epoch)
        row = []
        for _ in range(12):
            row.append([rate for rate, _ in settings(resumed)])
            resumed.step()
            made.step()
        rows.append(row)
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-10, atol=1e-15)


def resume_case(name: str, s: Any, optimizer: Any, epoch: int) -> Any:
    """The case of that name, made with last_epoch."""

    class Late:
        def __getattr__(self, kind: str) -> Any:
            return lambda *args, **options: getattr(s, kind)(*args, **options, last_epoch=epoch)

    return CASES[name](Late(), optimizer)


@pytest.mark.parametrize(
    "name", ["StepLR", "MultiStepLR", "ExponentialLR", "CosineAnnealingLR", "LambdaLR", "LinearLR"]
)
def test_step_with_an_epoch_jumps_as_in_torch(torch, name):
    ours, theirs = our_optimizer(), their_optimizer(torch)
    schedules = CASES[name](lr_scheduler, ours), CASES[name](torch.optim.lr_scheduler, theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for epoch in (3, None, 27, None, 11, None, 0):
            for schedule in schedules:
                schedule.step(epoch)
            np.testing.assert_allclose(settings(ours), settings(theirs), rtol=1e-10, atol=1e-15)
            assert schedules[0].last_epoch == schedules[1].last_epoch


def test_warm_restarts_take_fractions_of_an_epoch(torch):
    ours, theirs = our_optimizer(), their_optimizer(torch)
    name = "CosineAnnealingWarmRestarts, growing"
    schedules = CASES[name](lr_scheduler, ours), CASES[name](torch.optim.lr_scheduler, theirs)
    for epoch in [*np.arange(0, 17, 0.25).tolist(), None, None, None, 36.5]:
        for schedule in schedules:
            schedule.step(epoch)
        np.testing.assert_allclose(settings(ours), settings(theirs), rtol=1e-10, atol=1e-15)


PLATEAUS = {
    "defaults": {},
    "settings": {"factor": 0.5, "patience": 2, "threshold": 0.05, "cooldown": 3, "min_lr": 0.011},
    "max, absolute": {"mode": "max", "patience": 0, "threshold_mode": "abs", "threshold": 0.1, "min_lr": [0.0, 0.01]},
    "eps": {"patience": 0, "factor": 0.9, "eps": 2e-3},
}


@pytest.mark.parametrize("name", PLATEAUS)
def test_reduce_on_plateau_is_torchs(torch, name):
    metrics = np.random.default_rng(5).normal(size=STEPS) * 0.2 + np.minimum(np.arange(STEPS) / 20, 1)
    ours, theirs = our_optimizer(), their_optimizer(torch)
    mine = lr_scheduler.ReduceLROnPlateau(ours, **PLATEAUS[name])
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **PLATEAUS[name])
    seen = set()
    for t, metric in enumerate(metrics):
        if t == 30:
            for optimizer in (ours, theirs):
                optimizer.param_groups[0]["lr"] *= 2
            state = json.loads(json.dumps(mine.state_dict()))
            mine = lr_scheduler.ReduceLROnPlateau(ours)
            mine.load_state_dict(state)
        mine.step(metric)
        other.step(metric)
        np.testing.assert_allclose(settings(ours), settings(theirs), rtol=1e-12)
        np.testing.assert_allclose(mine.get_last_lr(), other.get_last_lr(), rtol=1e-12)
        seen.add(settings(ours)[0])
    assert len(seen) > 2
    assert optim.ReduceLROnPlateau is lr_scheduler.ReduceLROnPlateau


def test_every_schedule_of_torch_is_here_with_its_arguments(torch):
    theirs = {
        name: kind
        for name, kind in vars(torch.optim.lr_scheduler).items()
        if isinstance(kind, type) and issubclass(kind, torch.optim.lr_scheduler.LRScheduler)
    }
    assert theirs.keys() <= vars(lr_scheduler).keys()
    for name, kind in theirs.items():
        ours, others = (inspect.signature(each).parameters for each in (getattr(lr_scheduler, name), kind))
        assert list(ours) == list(others), name
        assert [each.default for each in ours.values()] == [each.default for each in others.values()], name


class Halving(lr_scheduler.LRScheduler):
    """A schedule as programs for torch write it."""

    def __init__(self, optimizer, every, last_epoch=-1):
        self.every = every
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if not self._get_lr_called_within_step:
            warnings.warn("use get_last_lr()", UserWarning, stacklevel=2)
        return [base_lr * 0.5 ** (self.last_epoch // self.every) for base_lr in self.base_lrs]


def test_a_schedule_of_ones_own_defines_get_lr():
    optimizer = our_optimizer((1.0, 2.0))
    schedule = Halving(optimizer, 2)
    for expected in ([1, 2], [1, 2], [0.5, 1], [0.5, 1], [0.25, 0.5]):
        assert schedule.get_last_lr() == [group["lr"] for group in optimizer.param_groups] == expected
        schedule.step()
    again = Halving(our_optimizer((1.0, 2.0)), 7)
    again.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    assert (again.every, again.last_epoch, again.get_last_lr()) == (2, 5, [0.25, 0.5])


def test_a_group_that_is_added_later_follows_relative_schedules(torch):
    ours, theirs = our_optimizer(), their_optimizer(torch)
    schedules = [(s.StepLR(o, 3), s.ExponentialLR(o, 0.9)) for s, o in _pairs(torch, ours, theirs)]
    for t in range(12):
        if t == 4:
            ours.add_param_group({"params": [mr.tensor([2.0])], "lr": 0.7})
            theirs.add_param_group({"params": [torch.ones(2, requires_grad=True)], "lr": 0.7})
        for optimizer, pair in zip((ours, theirs), schedules, strict=True):
            optimizer.step()
            for schedule in pair:
                schedule.step()
        np.testing.assert_allclose(settings(ours), settings(theirs), rtol=1e-12)
    absolute = our_optimizer()
    schedule = lr_scheduler.LambdaLR(absolute, lambda t: 1.0)
    absolute.add_param_group({"params": [mr.tensor([2.0])]})
    with pytest.raises(ValueError, match=r"LambdaLR: gives 2 rates, .* 3 groups: make the schedule after add_param_g"):
        schedule.step()


def _pairs(torch: Any, ours: Any, theirs: Any) -> list[tuple[Any, Any]]:
    return [(lr_scheduler, ours), (torch.optim.lr_scheduler, theirs)]


def test_a_tensor_as_rate_is_written_into():
    rate = mr.tensor(0.5)
    parameter = mr.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([parameter], lr=rate)
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.5)
    schedule.step()
    assert optimizer.param_groups[0]["lr"] is rate
    assert (rate.item(), schedule.get_last_lr(), optimizer.state_dict()["param_groups"][0]["lr"]) == (
        0.25,
        [0.25],
        0.25,
    )
    rate.assign_(1.0)
    parameter.grad = mr.tensor([0.75])
    optimizer.step()
    assert parameter.item() == 0.25
    optimizer.load_state_dict({**optimizer.state_dict(), "param_groups": [{**settings_of(optimizer), "lr": 2.0}]})
    assert (rate.item(), optimizer.param_groups[0]["lr"] is rate) == (2.0, True)
    with pytest.raises(ValueError, match=r"lr is a Tensor of shape \(2,\), and must have one element"):
        optim.SGD([parameter], lr=mr.tensor([0.1, 0.2]))


def settings_of(optimizer: optim.Optimizer) -> dict[str, Any]:
    return optimizer.state_dict()["param_groups"][0]


def test_momentum_cycles_as_beta_1(torch):
    ours, theirs = optim.Adam([mr.tensor([1.0])], 0.1), torch.optim.Adam([torch.ones(1, requires_grad=True)], 0.1)
    for s, make in ((0, "OneCycleLR, three phases"), (1, "CyclicLR")):
        arguments = {"OneCycleLR, three phases": (0.3, 20), "CyclicLR": (0.01, 0.3, 4)}[make]
        name = make.partition(",")[0]
        schedules = [getattr(m, name)(o, *arguments) for m, o in _pairs(torch, ours, theirs)]
        for _ in range(15 + s):
            theirs.step()
            for schedule in schedules:
                schedule.step()
            assert ours.param_groups[0]["betas"] == pytest.approx(theirs.param_groups[0]["betas"], rel=1e-12)
            assert ours.param_groups[0]["lr"] == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)


def test_callable_objects_keep_their_attributes():
    class Decay:
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, t):
            return self.rate**t

    schedule = lr_scheduler.LambdaLR(our_optimizer(), Decay(0.5))
    schedule.step()
    state = json.loads(json.dumps(schedule.state_dict()))
    again = lr_scheduler.LambdaLR(our_optimizer(), Decay(0.9))
    again.load_state_dict(state)
    again.step()
    assert again.get_last_lr() == pytest.approx([0.025, 0.005])
    with pytest.raises(WeightsError, match="LambdaLR: the saved state has 1 functions, not 2"):
        again.load_state_dict({**state, "lr_lambdas": [None]})


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: lr_scheduler.StepLR(o, 3, last_epoch=2), KeyError, "group 0 has no 'initial_lr'"),
        (lambda o: lr_scheduler.StepLR(o, 3, last_epoch=-2), ValueError, "last_epoch = -2 must be at least -1"),
        (lambda o: lr_scheduler.StepLR(o, 3).step(-1), ValueError, "epoch = -1 must not be negative"),
        (lambda o: lr_scheduler.ConstantLR(o, 1.5), ValueError, "ConstantLR: factor = 1.5 must be between 0 and 1"),
        (lambda o: lr_scheduler.LinearLR(o, 0.0), ValueError, "LinearLR: start_factor = 0 must be above 0"),
        (
            lambda o: lr_scheduler.LinearLR(o, 0.1, 1.1),
            ValueError,
            "LinearLR: end_factor = 1.1 must be between 0 and 1",
        ),
        (lambda o: lr_scheduler.LinearLR(o, total_iters=0), ValueError, "total_iters = 0 must be at least 1"),
        (lambda o: lr_scheduler.PolynomialLR(o, 0), ValueError, "total_iters = 0 must be at least 1"),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 0), ValueError, "T_max = 0 must be at least 1"),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 0), ValueError, "T_0 = 0 must be at least 1"),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2, 1.5), ValueError, "T_mult = 1.5 must be an integer"),
        (lambda o: lr_scheduler.LambdaLR(o, [abs]), ValueError, "lr_lambda has 1 functions, and the optimiser 2"),
        (lambda o: lr_scheduler.MultiplicativeLR(o, 0.9), TypeError, "lr_lambda has a float, not a function"),
        (lambda o: lr_scheduler.LambdaLR(o, lambda t: "much"), ValueError, r"lr_lambda\(t\) = 'much' must be a number"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1), ValueError, "needs total_steps, or epochs and steps_per_epoch"),
        (lambda o: lr_scheduler.OneCycleLR(o, [0.1], 9), ValueError, "max_lr has 1 values, and the optimiser 2 groups"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1, 9, pct_start=2.0), ValueError, "pct_start = 2.0 must be between"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1, 9, anneal_strategy="x"), ValueError, "must be 'cos' or 'linear'"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1, 9, div_factor=0), ValueError, "div_factor .* must be above 0"),
        (
            lambda o: [s.step() for s in [lr_scheduler.OneCycleLR(o, 0.1, 3)] for _ in range(4)],
            ValueError,
            "step 4 of 3",
        ),
        (lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.2, mode="x"), ValueError, "mode 'x' must be 'triangular'"),
        (lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.2, scale_mode="x"), ValueError, "scale_mode 'x' must be"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, threshold_mode="x"), ValueError, "threshold_mode 'x' must be"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, min_lr=[0.1]), ValueError, "min_lr has 1 values, and the opt"),
        (lambda o: lr_scheduler.SequentialLR(o, [], []), ValueError, "needs at least one schedule"),
        (
            lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 1)], [3]),
            ValueError,
            "1 schedules need one mil",
        ),
        (lambda o: lr_scheduler.ChainedScheduler([o]), TypeError, "number 0 is a SGD, not a schedule"),
        (lambda o: lr_scheduler.ChainedScheduler([optim.ReduceOnPlateau(o)]), ValueError, "whose step needs a metric"),
        (
            lambda o: lr_scheduler.ChainedScheduler(
                [lr_scheduler.StepLR(o, 1), lr_scheduler.StepLR(our_optimizer(), 1)]
            ),
            ValueError,
            r"number 1 \(Step\) is that of another optimiser",
        ),
        (lambda o: optim.WarmUp(lr_scheduler.LambdaLR(o, abs), 3), TypeError, "LambdaLR cannot come after it"),
        (lambda o: optim.WarmUp(lr_scheduler.CosineAnnealingLR(o, 9, 0.1), 3), TypeError, "SequentialLR"),
    ],
)
def test_bad_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(our_optimizer())


@pytest.mark.parametrize("schedule", [lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR])
def test_an_optimizer_without_momentum_has_none_to_cycle(schedule):
    optimizer = optim.Adagrad([mr.tensor([1.0])])
    with pytest.raises(ValueError, match="Adagrad has neither momentum nor betas to cycle: cycle_momentum=False"):
        schedule(optimizer, 0.1, 9)
    with pytest.raises(TypeError, match="needs an optimiser, got a list"):
        schedule([optimizer], 0.1, 9)


def test_a_warm_up_goes_on_with_a_schedule_under_torchs_name():
    optimizer = our_optimizer((1.0,))
    schedule = optim.WarmUp(lr_scheduler.ExponentialLR(optimizer, 0.5), 2)
    found = []
    for _ in range(5):
        found.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    assert found == pytest.approx([0, 0.5, 1, 0.5, 0.25])


def test_the_formula_of_the_cosine_stands_at_every_step():
    optimizer = our_optimizer((1.0,))
    schedule = lr_scheduler.CosineAnnealingLR(optimizer, 10, 0.2)
    for t in range(45):
        assert schedule.get_last_lr() == pytest.approx([0.2 + 0.8 * (1 + math.cos(math.pi * t / 10)) / 2], abs=1e-12)
        schedule.step()


def test_a_rate_set_below_eta_min_resumes_too():
    """The formula starts below 0 then, and rises to the rate that was set."""
    optimizer = our_optimizer((1.0,))
    schedule = lr_scheduler.CosineAnnealingLR(optimizer, 10, 0.2)
    for _ in range(7):
        schedule.step()
    optimizer.param_groups[0]["lr"] = 0.05
    again = our_optimizer((1.0,))
    resumed = lr_scheduler.CosineAnnealingLR(again, 10, 0.2)
    resumed.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    for _ in range(9):
        assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
        schedule.step()
        resumed.step()


def test_states_that_do_not_fit_are_refused_and_nothing_changes():
    optimizer = our_optimizer()
    schedule = CASES["SequentialLR"](lr_scheduler, optimizer)
    schedule.step()
    before = json.dumps(schedule.state_dict())
    state = json.loads(before)
    for bad in (
        {**state, "schedulers": state["schedulers"][:1]},
        {**state, "schedulers": [*state["schedulers"][:2], state["schedulers"][0]]},
        {**state, "t": -1},
        lr_scheduler.StepLR(our_optimizer(), 2).state_dict(),
    ):
        with pytest.raises(WeightsError):
            schedule.load_state_dict(bad)
        assert json.dumps(schedule.state_dict()) == before
