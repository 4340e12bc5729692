"""Every optimiser and schedule, ours and PyTorch's, in one table: for the live comparison and for the committed oracle.

`ours` and `theirs` give the same series of arrays: parameters after each step, learning rates at each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import minires as mr
from minires import optim

STEPS = 6
SHAPES = ((3, 2), (2,), (4,))
# In each step one parameter in turn has no gradient: its state must not move.
GRADIENTS = [
    [None if step % len(SHAPES) == i and step else rng.normal(size=shape) for i, shape in enumerate(SHAPES)]
    for step, rng in enumerate(np.random.default_rng(7).spawn(STEPS))
]
START = [np.random.default_rng(8).normal(size=shape) for shape in SHAPES]

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.1}),
    "SGD, weight decay": ("SGD", {"lr": 0.1, "weight_decay": 0.3}),
    "SGD, momentum": ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    "SGD, dampening": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.4}),
    "SGD, Nesterov": ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    "Adam": ("Adam", {"lr": 0.05}),
    "Adam, all settings": ("Adam", {"lr": 0.05, "betas": (0.7, 0.9), "eps": 1e-2, "weight_decay": 0.2}),
    "AdamW": ("AdamW", {"lr": 0.05}),
    "AdamW, all settings": ("AdamW", {"lr": 0.05, "betas": (0.7, 0.9), "eps": 1e-2, "weight_decay": 0.2}),
    "SGD, maximize": ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "maximize": True}),
    "Adam, amsgrad": ("Adam", {"lr": 0.05, "betas": (0.5, 0.6), "amsgrad": True, "maximize": True}),
    "Adam, decoupled": ("Adam", {"lr": 0.05, "weight_decay": 0.2, "decoupled_weight_decay": True}),
    "AdamW, amsgrad": ("AdamW", {"lr": 0.05, "betas": (0.5, 0.6), "amsgrad": True}),
    "RAdam": ("RAdam", {"lr": 0.05, "betas": (0.7, 0.9), "weight_decay": 0.2, "decoupled_weight_decay": True}),
    "RMSprop": ("RMSprop", {"lr": 0.05, "alpha": 0.8, "weight_decay": 0.2}),
    "RMSprop, all settings": ("RMSprop", {"lr": 0.05, "alpha": 0.8, "eps": 1e-2, "momentum": 0.7, "centered": True}),
    "Adagrad": (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.2, "initial_accumulator_value": 0.3, "eps": 1e-2},
    ),
    "Adadelta": ("Adadelta", {"lr": 0.7, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.2}),
    "Adamax": ("Adamax", {"lr": 0.05, "betas": (0.7, 0.9), "eps": 1e-2, "weight_decay": 0.2, "maximize": True}),
}


def trajectory(
    optimizers: Any, name: str, leaf: Callable[[np.ndarray], Any], gradient: Callable[[np.ndarray], Any]
) -> np.ndarray:
    """All parameters after each step, (STEPS, numbers); the second group has its own learning rate and decay."""
    kind, settings = OPTIMIZERS[name]
    leaves = [leaf(array) for array in START]
    groups = [{"params": leaves[:2]}, {"params": leaves[2:], "lr": 0.01, "weight_decay": 0.0}]
    optimizer = getattr(optimizers, kind)(groups, **settings)
    rows = []
    for gradients in GRADIENTS:
        for each, array in zip(leaves, gradients, strict=True):
            each.grad = None if array is None else gradient(array)
        optimizer.step()
        rows.append(np.concatenate([np.array(each.detach().numpy()).ravel() for each in leaves]))
    return np.stack(rows)


def our_trajectory(name: str) -> np.ndarray:
    return trajectory(optim, name, lambda array: mr.tensor(array, requires_grad=True), mr.tensor)


def their_trajectory(torch: Any, name: str) -> np.ndarray:
    return trajectory(torch.optim, name, lambda array: torch.tensor(array, requires_grad=True), torch.tensor)


# ---------------------------------------------------------------------------------------------------------------------

Metrics = Sequence[float] | None
RISING = np.concatenate([np.linspace(1, 3, 12), np.full(20, 3.0), np.linspace(3, 4, 18)])
NOISY = RISING + np.random.default_rng(9).normal(scale=0.15, size=50)


@dataclass(frozen=True)
class ScheduleCase:
    """A schedule of ours, the same of PyTorch's, and what it is stepped with."""

    ours: Callable[[optim.Optimizer], optim.Schedule]
    theirs: Callable[[Any, Any], Any]  # (torch, optimizer)
    rates: tuple[float, float] = (0.1, 0.02)
    metrics: Metrics = None


def _after_warm_up(torch: Any, optimizer: Any, after: Any, steps: int, start: float) -> Any:
    schedules = torch.optim.lr_scheduler
    line = schedules.LinearLR(optimizer, start_factor=start, total_iters=steps)
    return schedules.SequentialLR(optimizer, [line, after], milestones=[steps])


SCHEDULES = {
    "Constant": ScheduleCase(
        optim.Constant, lambda torch, o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0, total_iters=0)
    ),
    "Step": ScheduleCase(
        lambda o: optim.Step(o, 7, gamma=0.3), lambda torch, o: torch.optim.lr_scheduler.StepLR(o, 7, gamma=0.3)
    ),
    "MultiStep": ScheduleCase(
        lambda o: optim.MultiStep(o, [10, 25, 25, 40]),
        lambda torch, o: torch.optim.lr_scheduler.MultiStepLR(o, [10, 25, 25, 40]),
    ),
    "Cosine": ScheduleCase(
        lambda o: optim.Cosine(o, 49), lambda torch, o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 49)
    ),
    "Cosine, floor": ScheduleCase(
        lambda o: optim.Cosine(o, 49, floor=0.2),
        lambda torch, o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 49, eta_min=0.02),
        rates=(0.1, 0.1),  # torch's floor is a rate, ours a part of the starting one
    ),
    "OneCycle": ScheduleCase(
        lambda o: optim.OneCycle(o, 50),
        lambda torch, o: torch.optim.lr_scheduler.OneCycleLR(
            o, [group["lr"] for group in o.param_groups], total_steps=50, cycle_momentum=False
        ),
    ),
    "OneCycle, all settings": ScheduleCase(
        lambda o: optim.OneCycle(o, 50, up=0.45, div=10, final_div=100),
        lambda torch, o: torch.optim.lr_scheduler.OneCycleLR(
            o,
            [group["lr"] for group in o.param_groups],
            total_steps=50,
            pct_start=0.45,
            div_factor=10,
            final_div_factor=100,
            cycle_momentum=False,
        ),
    ),
    "WarmUp, MultiStep": ScheduleCase(
        lambda o: optim.WarmUp(optim.MultiStep(o, [10, 30]), 8, start=0.1),
        lambda torch, o: _after_warm_up(torch, o, torch.optim.lr_scheduler.MultiStepLR(o, [10, 30]), 8, 0.1),
    ),
    "WarmUp, Cosine": ScheduleCase(
        lambda o: optim.WarmUp(optim.Cosine(o, 44), 5, start=0.25),
        lambda torch, o: _after_warm_up(torch, o, torch.optim.lr_scheduler.CosineAnnealingLR(o, 44), 5, 0.25),
    ),
    "ReduceOnPlateau, min": ScheduleCase(
        lambda o: optim.ReduceOnPlateau(o, gamma=0.5, patience=2),
        lambda torch, o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=2),
        metrics=tuple(4.5 - NOISY),
    ),
    "ReduceOnPlateau, max": ScheduleCase(
        lambda o: optim.ReduceOnPlateau(o, mode="max", gamma=0.3, patience=4, threshold=0.02),
        lambda torch, o: torch.optim.lr_scheduler.ReduceLROnPlateau(
            o, mode="max", factor=0.3, patience=4, threshold=0.02
        ),
        metrics=tuple(NOISY),
    ),
}


def learning_rates(optimizer: Any, schedule: Any, metrics: Metrics, count: int = 50, first: int = 0) -> np.ndarray:
    """(count, groups): the rates at steps first, first + 1, …"""
    rows = []
    for t in range(first, first + count):
        rows.append([float(group["lr"]) for group in optimizer.param_groups])
        if t < 49:  # torch's OneCycleLR refuses to go further
            optimizer.step()
            schedule.step(*(() if metrics is None else (metrics[t],)))
    return np.array(rows)


def our_optimizer(rates: Sequence[float]) -> optim.Optimizer:
    return optim.SGD([{"params": [mr.tensor([1.0])], "lr": lr} for lr in rates])


def our_rates(case: ScheduleCase) -> np.ndarray:
    optimizer = our_optimizer(case.rates)
    return learning_rates(optimizer, case.ours(optimizer), case.metrics)


def their_rates(torch: Any, case: ScheduleCase) -> np.ndarray:
    optimizer = torch.optim.SGD([{"params": [torch.ones(1, requires_grad=True)], "lr": lr} for lr in case.rates])
    return learning_rates(optimizer, case.theirs(torch, optimizer), case.metrics)
