"""Learning-rate schedules under MiniRes's own names, as formulas `factor(t)`; those of torch are in lr_scheduler.py."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from minires.core.settings import integer, number, plain
from minires.optim.optimizer import Optimizer
from minires.optim.schedule import Schedule, for_each_group


def cosine(start: float, end: float, progress: float) -> float:
    """From start (progress 0) to end (progress 1) along half a period of a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def linear(start: float, end: float, progress: float) -> float:
    """From start (progress 0) to end (progress 1) along a line."""
    return start + (end - start) * progress


class Constant(Schedule):
    """The initial rate at every step."""

    def factor(self, t: int) -> float:
        return 1.0


class MultiStep(Schedule):
    """gamma^(number of milestones passed) (torch MultiStepLR). The ResNet papers divide by ten at two milestones."""

    changes_on_resume = True

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = tuple(integer("MultiStep", "milestones", each, 0) for each in milestones)
        self.gamma = number("MultiStep", "gamma", gamma, 0)
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        return self.gamma ** sum(t >= milestone for milestone in self.milestones)


class Step(Schedule):
    """gamma^⌊t/step_size⌋ (torch StepLR). Raises ValueError unless step_size is at least 1."""

    changes_on_resume = True

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = integer("Step", "step_size", step_size, 1), number("Step", "gamma", gamma, 0)
        super().__init__(optimizer, last_epoch)

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
        return cosine(1.0, self.floor, min(t / self.total, 1.0))


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
            return cosine(low, 1.0, t / peak)
        return cosine(1.0, end, min((t - peak) / max(self.total - 1 - peak, 1e-9), 1.0))


class WarmUp(Schedule):
    """Rises linearly from `start` to 1 over the first `steps`, then continues with `after`, whose step 0 is there.

    Corresponds to torch's SequentialLR of LinearLR and `after`. Raises TypeError for ReduceOnPlateau, which needs a
    metric at each step, and for schedules of lr_scheduler that are no factor; ValueError for negative steps.
    """

    def __init__(self, after: Schedule, steps: int, start: float = 0.0) -> None:
        if isinstance(after, ReduceOnPlateau):
            raise TypeError("WarmUp: ReduceOnPlateau cannot come after it, since it needs a metric at each step")
        if not after.follows_formula or after.eta_min:
            raise TypeError(
                f"WarmUp: {type(after).__name__} cannot come after it, since its rates are no multiples of the initial "
                "one: write lr_scheduler.SequentialLR(optimizer, [lr_scheduler.LinearLR(…), …], milestones=[steps])"
            )
        self.after, self.steps = after, integer("WarmUp", "steps", steps, 0)
        self.start_factor = number("WarmUp", "start", start, 0)
        self.optimizer, self.t, self.base_lrs = after.optimizer, 0, after.base_lrs
        self.starting, self.last = after.starting, after.last
        self._set(self._formula(self.factor(0)))

    def factor(self, t: int) -> float:
        if t < self.steps:
            return linear(self.start_factor, 1.0, t / self.steps)
        return self.after.factor(t - self.steps)

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        after = {**self.after.state_dict(), "starting": state["starting"], "last": state["last"]}
        return {**state, "after": after}

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

    Follows torch's ReduceLROnPlateau, whose `factor` is gamma. `step(metric)` takes a number that should fall, such as
    the validation loss, or rise with mode="max". It improves if it is below best·(1 − threshold), or best − threshold
    with threshold_mode="abs"; if it should rise, above with a plus. For `cooldown` steps after a reduction none is
    counted. No rate falls below min_lr, of all groups or one for each, and none changes by less than eps. Raises
    ValueError for settings that make no sense.
    """

    later_state: ClassVar[Mapping[str, Any]] = {
        "threshold_mode": "rel",
        "cooldown": 0,
        "cooling": 0,
        "min_lr": 0.0,
        "eps": 1e-8,
    }

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        gamma: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        name = type(self).__name__
        if mode not in ("min", "max"):
            raise ValueError(f"{name}: mode {mode!r} must be 'min' or 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"{name}: threshold_mode {threshold_mode!r} must be 'rel' or 'abs'")
        self.mode, self.threshold_mode, self.gamma = mode, threshold_mode, number(name, "gamma", gamma)
        if not 0 < self.gamma < 1:
            raise ValueError(f"{name}: gamma = {gamma} must be between 0 and 1: the rate is to fall")
        self.patience, self.cooldown = integer(name, "patience", patience, 0), integer(name, "cooldown", cooldown, 0)
        self.threshold, self.eps = number(name, "threshold", threshold, 0), number(name, "eps", eps, 0)
        self.min_lr = plain(list(min_lr) if isinstance(min_lr, tuple) else min_lr)
        self.best, self.waited, self.reductions = math.inf if mode == "min" else -math.inf, 0, 0
        self.cooling = 0  # steps for which none is counted yet
        super().__init__(optimizer)
        for_each_group(name, "min_lr", self.min_lr, optimizer)

    def factor(self, t: int) -> float:
        return self.gamma**self.reductions

    def get_lr(self) -> list[float]:
        """The present rates: `step` alone changes them."""
        return self._rates()

    def step(  # type: ignore[override]  # the metric comes first, as in torch
        self, metrics: float | None = None, epoch: float | None = None
    ) -> None:
        """Note the metric, and reduce the rates if it has not improved for too long; the step is t + 1, or `epoch`."""
        if metrics is None:
            raise TypeError(f"{type(self).__name__}.step needs the metric that should improve")
        metric = float(metrics)  # a Tensor with one element, or a number of NumPy
        self.t = self.t + 1 if epoch is None else integer(type(self).__name__, "epoch", epoch, 0)
        if self._improves(metric):
            self.best, self.waited = metric, 0
        else:
            self.waited += 1
        if self.cooling:
            self.cooling, self.waited = self.cooling - 1, 0
        rates = self._rates()
        if self.waited > self.patience:
            self.reductions, self.waited, self.cooling = self.reductions + 1, 0, self.cooldown
            least = for_each_group(type(self).__name__, "min_lr", self.min_lr, self.optimizer)
            lower = [max(rate * self.gamma, low) for rate, low in zip(rates, least, strict=True)]
            rates = [new if old - new > self.eps else old for old, new in zip(rates, lower, strict=True)]
        self._set(rates)

    def _improves(self, metric: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        bound = (
            self.best * (1 + sign * self.threshold)
            if self.threshold_mode == "rel"
            else self.best + sign * self.threshold
        )
        return metric < bound if self.mode == "min" else metric > bound
