"""Learning-rate schedules. A schedule says by what factor the starting rate is multiplied at step t.

Each is a small formula, `factor(t)`. `step()` moves to t + 1 and sets `lr = starting lr · factor` in every group of the
optimiser. A step is what the caller takes it for, an epoch or an iteration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from minires.optim.optimizer import Optimizer


class Schedule:
    """lr(t) = starting lr · factor(t). Follows torch.optim.lr_scheduler in what each subclass computes."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.starting = [float(group["lr"]) for group in optimizer.param_groups]
        self.t = 0
        self._set()

    def factor(self, t: int) -> float:
        """What the starting rate is multiplied by at step t."""
        raise NotImplementedError

    def step(self) -> None:
        """Go to the next step."""
        self.t += 1
        self._set()

    def _set(self) -> None:
        for group, lr in zip(self.optimizer.param_groups, self.starting, strict=True):
            group["lr"] = lr * self.factor(self.t)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on."""
        return {key: value for key, value in vars(self).items() if key != "optimizer"}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict()` was taken."""
        vars(self).update(state)
        self._set()


class Constant(Schedule):
    """The starting rate throughout."""

    def factor(self, t: int) -> float:
        return 1.0


class MultiStep(Schedule):
    """gamma^(milestones passed): the papers divide by ten twice (torch MultiStepLR)."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = tuple(milestones), gamma
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma ** sum(t >= milestone for milestone in self.milestones)


class Step(Schedule):
    """gamma^⌊t/step_size⌋ (torch StepLR)."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1:
            raise ValueError(f"Step: step_size = {step_size} must be at least 1")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma ** (t // self.step_size)


class Cosine(Schedule):
    """floor + (1 − floor)·(1 + cos(πt/T))/2 down to t = T, then `floor`.

    Loshchilov & Hutter 2017; torch's CosineAnnealingLR, whose eta_min is a rate; `floor` is a part of the starting one.
    """

    def __init__(self, optimizer: Optimizer, total: int, floor: float = 0.0) -> None:
        if total < 1:
            raise ValueError(f"Cosine: total = {total} must be at least 1")
        self.total, self.floor = total, floor
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        progress = min(t / self.total, 1.0)
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * progress)) / 2


class OneCycle(Schedule):
    """Up from 1/div to 1 by a cosine in the first `up` of T steps, then down to 1/(div·final_div).

    Smith 2018; torch's OneCycleLR, with the optimiser's rate as its max_lr.
    """

    def __init__(
        self, optimizer: Optimizer, total: int, up: float = 0.3, div: float = 25.0, final_div: float = 1e4
    ) -> None:
        if total < 1:
            raise ValueError(f"OneCycle: total = {total} must be at least 1")
        if not 0 < up < 1:
            raise ValueError(f"OneCycle: up = {up} must be a part of the cycle, between 0 and 1")
        self.total, self.up, self.div, self.final_div = total, up, div, final_div
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        peak = self.up * self.total - 1
        low, end = 1 / self.div, 1 / (self.div * self.final_div)
        if t < peak:
            return _anneal(low, 1.0, t / peak)
        return _anneal(1.0, end, min((t - peak) / max(self.total - 1 - peak, 1e-9), 1.0))


def _anneal(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


class WarmUp(Schedule):
    """From `start` to 1 in a straight line over the first `steps`, then `after`, whose time starts there.

    As torch's SequentialLR of LinearLR and `after`. Raises TypeError for ReduceOnPlateau, which goes by a metric.
    """

    def __init__(self, after: Schedule, steps: int, start: float = 0.0) -> None:
        if isinstance(after, ReduceOnPlateau):
            raise TypeError("WarmUp: ReduceOnPlateau cannot come after it: a schedule of time hands on no metric")
        if steps < 0:
            raise ValueError(f"WarmUp: steps = {steps} must not be negative")
        self.after, self.steps, self.start_factor = after, steps, start
        self.optimizer, self.starting, self.t = after.optimizer, after.starting, 0
        self._set()

    def factor(self, t: int) -> float:
        if t < self.steps:
            return self.start_factor + (1 - self.start_factor) * t / self.steps
        return self.after.factor(t - self.steps)

    def state_dict(self) -> dict[str, Any]:
        return {"t": self.t, "starting": self.starting}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.after.starting = state["starting"]
        super().load_state_dict(state)


class ReduceOnPlateau(Schedule):
    """gamma each time a metric has not improved for more than `patience` steps.

    Follows torch's ReduceLROnPlateau with its relative threshold.

    `step(metric)` takes the number that should fall, e.g. the validation loss; or rise, with mode="max".
    """

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", gamma: float = 0.1, patience: int = 10, threshold: float = 1e-4
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"ReduceOnPlateau: mode {mode!r} must be 'min' or 'max'")
        if not 0 < gamma < 1:
            raise ValueError(f"ReduceOnPlateau: gamma = {gamma} must be between 0 and 1: the rate is to fall")
        if patience < 0:
            raise ValueError(f"ReduceOnPlateau: patience = {patience} must not be negative")
        self.mode, self.gamma, self.patience, self.threshold = mode, gamma, patience, threshold
        self.best, self.waited, self.reductions = math.inf if mode == "min" else -math.inf, 0, 0
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma**self.reductions

    def step(self, metric: float | None = None) -> None:
        if metric is None:
            raise TypeError("ReduceOnPlateau.step needs the metric it watches")
        if self._improves(metric):
            self.best, self.waited = metric, 0
        else:
            self.waited += 1
        if self.waited > self.patience:
            self.reductions, self.waited = self.reductions + 1, 0
        super().step()

    def _improves(self, metric: float) -> bool:
        if self.mode == "min":
            return metric < self.best * (1 - self.threshold)
        return metric > self.best * (1 + self.threshold)
