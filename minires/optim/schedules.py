"""Learning-rate schedules: each is a formula `factor(t)` by which the initial learning rate is multiplied at step t.

`step()` moves to t + 1 and sets lr = initial lr · factor(t) in every group of the optimiser. A step may be an epoch or
an iteration, as the caller likes. A rate that something else has changed since, the user's loop or another schedule,
changes the initial rate in the same ratio: what was set by hand holds, and two schedules multiply, as in torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from minires.core.settings import integer, number
from minires.errors import WeightsError
from minires.optim.optimizer import Optimizer


class Schedule:
    """lr(t) = initial lr · factor(t). Each subclass says which of torch.optim.lr_scheduler it follows."""

    def __init__(self, optimizer: Optimizer) -> None:
        if not hasattr(optimizer, "param_groups"):
            raise TypeError(f"{type(self).__name__}: needs an optimiser, got a {type(optimizer).__name__}")
        self.optimizer = optimizer
        self.starting = [float(group["lr"]) for group in optimizer.param_groups]
        self.last = list(self.starting)  # what this schedule has set
        self.t = 0
        self._set()

    def factor(self, t: int) -> float:
        """The factor by which the initial rate is multiplied at step t."""
        raise NotImplementedError

    def step(self) -> None:
        """Move to the next step and set the learning rates."""
        self._follow_changes()
        self.t += 1
        self._set()

    def _follow_changes(self) -> None:
        """initial lr ← initial lr · (lr now / lr that this schedule set); the rate itself where that was 0."""
        for i, group in enumerate(self.optimizer.param_groups):
            now, last = float(group["lr"]), self.last[i]
            if now != last:
                self.starting[i] = self.starting[i] * (now / last) if last else now

    def _set(self) -> None:
        self.last = [float(lr * self.factor(self.t)) for lr in self.starting]
        for group, lr in zip(self.optimizer.param_groups, self.last, strict=True):
            group["lr"] = lr

    def state_dict(self) -> dict[str, Any]:
        """The state that `load_state_dict` needs to continue."""
        state = {key: value for key, value in vars(self).items() if key != "optimizer"}
        return {key: list(value) if isinstance(value, list) else value for key, value in state.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict()` was taken, with its settings.

        Raises WeightsError, and changes nothing, for a state of another kind of schedule or of other parameter groups.
        """
        self._check_state(state)
        vars(self).update({key: list(value) if isinstance(value, list) else value for key, value in state.items()})
        self._set()

    def _check_state(self, state: Mapping[str, Any]) -> None:
        name = type(self).__name__
        own = self.state_dict().keys()
        if state.keys() | {"last"} != own:  # states of earlier versions have no "last"
            raise WeightsError(
                f"{name}: the saved state has {', '.join(sorted(state)) or 'no keys'}; this schedule has "
                f"{', '.join(sorted(own))}: it is the state of another one"
            )
        groups = len(self.optimizer.param_groups)
        try:
            integer(name, "t", state["t"], 0)
            for key in ("starting", "last"):
                rates = [number(name, key, rate, 0) for rate in state.get(key, self.last)]
                if len(rates) != groups:
                    raise ValueError(f"{name}: {key} has {len(rates)} rates, and the optimiser {groups} groups")
        except (TypeError, ValueError) as error:
            raise WeightsError(f"the saved state does not fit, and nothing was loaded: {error}") from None


class Constant(Schedule):
    """The initial rate at every step."""

    def factor(self, t: int) -> float:
        return 1.0


class MultiStep(Schedule):
    """gamma^(number of milestones passed) (torch MultiStepLR). The ResNet papers divide by ten at two milestones."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones = tuple(integer("MultiStep", "milestones", each, 0) for each in milestones)
        self.gamma = number("MultiStep", "gamma", gamma, 0)
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma ** sum(t >= milestone for milestone in self.milestones)


class Step(Schedule):
    """gamma^⌊t/step_size⌋ (torch StepLR). Raises ValueError unless step_size is at least 1."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = integer("Step", "step_size", step_size, 1), number("Step", "gamma", gamma, 0)
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma ** (t // self.step_size)


class Cosine(Schedule):
    """floor + (1 − floor)·(1 + cos(πt/T))/2 until t = T = total, and `floor` from then on.

    Loshchilov & Hutter 2017. In torch's CosineAnnealingLR, eta_min is a rate; `floor` is a fraction of the initial one.
    Raises ValueError unless total is at least 1.
    """

    def __init__(self, optimizer: Optimizer, total: int, floor: float = 0.0) -> None:
        self.total, self.floor = number("Cosine", "total", total, 1), number("Cosine", "floor", floor, 0, 1)
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        progress = min(t / self.total, 1.0)
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * progress)) / 2


class OneCycle(Schedule):
    """Rises by a cosine from 1/div to 1 in the fraction `up` of the steps, then falls to 1/(div·final_div).

    Smith 2018. Follows torch's OneCycleLR with cycle_momentum=False, and with the optimiser's rate as max_lr. Raises
    ValueError unless total is at least 1 and 0 < up < 1.
    """

    def __init__(
        self, optimizer: Optimizer, total: int, up: float = 0.3, div: float = 25.0, final_div: float = 1e4
    ) -> None:
        if not 0 < number("OneCycle", "up", up) < 1:
            raise ValueError(f"OneCycle: up = {up} must be a part of the cycle, between 0 and 1")
        self.total, self.up = number("OneCycle", "total", total, 1), number("OneCycle", "up", up)
        self.div, self.final_div = number("OneCycle", "div", div, 1), number("OneCycle", "final_div", final_div, 1)
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
    """Rises linearly from `start` to 1 over the first `steps`, then continues with `after`, whose step 0 is there.

    Corresponds to torch's SequentialLR of LinearLR and `after`. Raises TypeError for ReduceOnPlateau, which needs a
    metric at each step, and ValueError for negative steps.
    """

    def __init__(self, after: Schedule, steps: int, start: float = 0.0) -> None:
        if isinstance(after, ReduceOnPlateau):
            raise TypeError("WarmUp: ReduceOnPlateau cannot come after it, since it needs a metric at each step")
        self.after, self.steps = after, integer("WarmUp", "steps", steps, 0)
        self.start_factor = number("WarmUp", "start", start, 0)
        self.optimizer, self.starting, self.last, self.t = after.optimizer, after.starting, after.last, 0
        self._set()

    def factor(self, t: int) -> float:
        if t < self.steps:
            return self.start_factor + (1 - self.start_factor) * t / self.steps
        return self.after.factor(t - self.steps)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "after": self.after.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        own = self.state_dict()
        state = {key: own[key] for key in ("steps", "start_factor", "after")} | {**state}  # earlier versions lack these
        self._check_state(state)
        self.after._check_state(state["after"])
        self.after.load_state_dict(state["after"])
        super().load_state_dict({**state, "after": self.after})
        self.after.starting = self.starting


class ReduceOnPlateau(Schedule):
    """Multiplies the rate by gamma each time a metric has not improved for more than `patience` steps.

    Follows torch's ReduceLROnPlateau with a relative threshold. `step(metric)` takes a number that should fall, such as
    the validation loss, or rise with mode="max". Raises ValueError for settings that make no sense.
    """

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", gamma: float = 0.1, patience: int = 10, threshold: float = 1e-4
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"ReduceOnPlateau: mode {mode!r} must be 'min' or 'max'")
        if not 0 < number("ReduceOnPlateau", "gamma", gamma) < 1:
            raise ValueError(f"ReduceOnPlateau: gamma = {gamma} must be between 0 and 1: the rate is to fall")
        self.mode, self.gamma = mode, number("ReduceOnPlateau", "gamma", gamma)
        self.patience = integer("ReduceOnPlateau", "patience", patience, 0)
        self.threshold = number("ReduceOnPlateau", "threshold", threshold, 0)
        self.best, self.waited, self.reductions = math.inf if mode == "min" else -math.inf, 0, 0
        super().__init__(optimizer)

    def factor(self, t: int) -> float:
        return self.gamma**self.reductions

    def step(self, metric: float | None = None) -> None:
        if metric is None:
            raise TypeError("ReduceOnPlateau.step needs the metric that should improve")
        metric = float(metric)  # a Tensor with one element, or a number of NumPy
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
