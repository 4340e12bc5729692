"""The least and largest settings that schedules and optimisers take, and those right beyond, which they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import nn, optim
from minires.errors import ShapeError
from minires.optim import lr_scheduler, swa_utils

# (class, other arguments, setting, smallest allowed, largest allowed): the limits themselves are allowed.
SCHEDULES: list[tuple[Any, dict[str, Any], str, float | None, float | None]] = [
    (lr_scheduler.ConstantLR, {}, "factor", 0.0, 1.0),
    (lr_scheduler.ConstantLR, {}, "total_iters", 0, None),
    (lr_scheduler.LinearLR, {}, "start_factor", None, 1.0),
    (lr_scheduler.LinearLR, {}, "end_factor", 0.0, 1.0),
    (lr_scheduler.LinearLR, {}, "total_iters", 1, None),
    (lr_scheduler.ExponentialLR, {}, "gamma", 0.0, None),
    (lr_scheduler.PolynomialLR, {}, "total_iters", 1, None),
    (lr_scheduler.PolynomialLR, {}, "power", 0.0, None),
    (lr_scheduler.CosineAnnealingLR, {}, "T_max", 1, None),
    (lr_scheduler.CosineAnnealingLR, {"T_max": 3}, "eta_min", 0.0, None),
    (lr_scheduler.CosineAnnealingWarmRestarts, {}, "T_0", 1, None),
    (lr_scheduler.CosineAnnealingWarmRestarts, {"T_0": 2}, "T_mult", 1, None),
    (lr_scheduler.CosineAnnealingWarmRestarts, {"T_0": 2}, "eta_min", 0.0, None),
    (lr_scheduler.CosineAnnealingWarmRestarts, {"T_0": 2}, "last_epoch", -1, None),
    (lr_scheduler.StepLR, {}, "step_size", 1, None),
    (lr_scheduler.StepLR, {"step_size": 2}, "gamma", 0.0, None),
    (lr_scheduler.StepLR, {"step_size": 2}, "last_epoch", -1, None),
    (lr_scheduler.CyclicLR, {"base_lr": 0.1, "max_lr": 1.0}, "step_size_up", 1, None),
    (lr_scheduler.CyclicLR, {"base_lr": 0.1, "max_lr": 1.0}, "step_size_down", 1, None),
    (lr_scheduler.CyclicLR, {"base_lr": 0.1, "max_lr": 1.0}, "gamma", 0.0, None),
    (lr_scheduler.OneCycleLR, {"max_lr": 1.0}, "total_steps", 1, None),
    (lr_scheduler.OneCycleLR, {"max_lr": 1.0, "total_steps": 8}, "pct_start", 0.0, 1.0),
    (lr_scheduler.ReduceLROnPlateau, {}, "patience", 0, None),
    (lr_scheduler.ReduceLROnPlateau, {}, "cooldown", 0, None),
    (lr_scheduler.ReduceLROnPlateau, {}, "threshold", 0.0, None),
    (lr_scheduler.ReduceLROnPlateau, {}, "eps", 0.0, None),
    (swa_utils.SWALR, {"swa_lr": 0.1}, "anneal_epochs", 0, None),
    (optim.Cosine, {}, "total", 1, None),
    (optim.Cosine, {"total": 3}, "floor", 0.0, 1.0),
    (optim.OneCycle, {}, "total", 1, None),
    (optim.OneCycle, {"total": 9}, "div", 1.0, None),
    (optim.OneCycle, {"total": 9}, "final_div", 1.0, None),
]


def sgd() -> optim.Optimizer:
    return optim.SGD([nn.Parameter(np.ones(2, np.float32))], lr=1.0, momentum=0.5)


@pytest.mark.parametrize(("kind", "others", "name", "least", "most"), SCHEDULES)
def test_limits_of_schedules(kind, others, name, least, most):
    if name == "last_epoch":  # a later start needs the rates of the first
        kind(sgd(), **others, last_epoch=least)
    else:
        for limit in (least, most):
            if limit is not None:
                kind(sgd(), **others, **{name: limit})
    beyond = [] if least is None else [least - 1 if isinstance(least, int) else least - 0.1]
    beyond += [] if most is None else [most + 0.1]
    for value in beyond:
        with pytest.raises(ValueError, match=f"{name} = {value} must"):
            kind(sgd(), **others, **{name: value})


@pytest.mark.parametrize("etas", [(0.0, 1.2), (0.5, 1.0), (1.0, 1.2), (-0.1, 1.2)])
def test_rprop_shrinks_and_grows(etas):
    with pytest.raises(ValueError, match="etas"):
        optim.Rprop([nn.Parameter(np.ones(2, np.float32))], etas=etas)
    optim.Rprop([nn.Parameter(np.ones(2, np.float32))], etas=(1e-6, 1.000001), step_sizes=(0.1, 0.1))


def test_an_average_takes_no_model_of_other_parameters():
    average = swa_utils.AveragedModel(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)))
    before = [parameter.numpy().copy() for parameter in average.parameters()]
    for other in (
        nn.Sequential(nn.Linear(2, 3)),  # the beginning of it
        nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1), nn.Linear(1, 1)),
        nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)),
    ):
        with pytest.raises(ShapeError, match="this Sequential has other parameters than the averaged model"):
            average.update_parameters(other)
    for old, new in zip(before, average.parameters(), strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    mr.manual_seed(0)
    average.update_parameters(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)))
