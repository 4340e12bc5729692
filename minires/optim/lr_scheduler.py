"""Schedules under the names, arguments and semantics of torch.optim.lr_scheduler.

    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100)      # scheduler.step() after each epoch

Those that are a factor of the initial rate multiply with each other and keep what a loop has set by hand, as in torch
(schedule.py says how). LambdaLR, OneCycleLR, CyclicLR and CosineAnnealingWarmRestarts set their rate at each step,
whatever was there, as in torch too. A class of one's own subclasses LRScheduler and defines get_lr().

Unlike in torch, `load_state_dict` also sets the rates of the optimiser, and refuses the state of another schedule.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minires.core.settings import integer, number
from minires.errors import WeightsError
from minires.optim.cyclic import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from minires.optim.optimizer import Optimizer
from minires.optim.schedule import Schedule, check_optimizer
from minires.optim.schedule_sequences import ChainedScheduler, SequentialLR
from minires.optim.schedules import MultiStep, ReduceOnPlateau, Step, cosine, linear

LRScheduler = _LRScheduler = Schedule
StepLR = Step
MultiStepLR = MultiStep

Lambda = Callable[[int], float]


class ConstantLR(Schedule):
    """The factor is `factor` for total_iters steps, then 1. Raises ValueError for a factor that is not in [0, 1]."""

    changes_on_resume = True

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        self.start_factor = number("ConstantLR", "factor", factor, 0, 1)
        self.total_iters = integer("ConstantLR", "total_iters", total_iters, 0)
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        return self.start_factor if t < self.total_iters else 1.0


class LinearLR(Schedule):
    """The factor goes along a line from start_factor to end_factor in total_iters steps, and stays there.

    Raises ValueError for a start_factor that is not above 0 and at most 1, or an end_factor that is not in [0, 1].
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.start_factor = number("LinearLR", "start_factor", start_factor, 0, 1)
        if not self.start_factor:
            raise ValueError("LinearLR: start_factor = 0 must be above 0, as in torch; optim.WarmUp starts at 0")
        self.end_factor = number("LinearLR", "end_factor", end_factor, 0, 1)
        self.total_iters = integer("LinearLR", "total_iters", total_iters, 1)
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        return linear(self.start_factor, self.end_factor, min(t / self.total_iters, 1.0))


class ExponentialLR(Schedule):
    """The factor is gammaᵗ."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = number("ExponentialLR", "gamma", gamma, 0)
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        return self.gamma**t


class PolynomialLR(Schedule):
    """The factor is (1 − t/T)^power until T = total_iters, then 0."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters = integer("PolynomialLR", "total_iters", total_iters, 1)
        self.power = number("PolynomialLR", "power", power, 0)
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        return (1.0 - min(t, self.total_iters) / self.total_iters) ** self.power


class CosineAnnealingLR(Schedule):
    """lr = eta_min + (initial lr − eta_min)·(1 + cos(πt/T_max))/2, which rises again after T_max steps.

    Loshchilov & Hutter 2017. `optim.Cosine` stays low, and its floor is a fraction of the initial rate.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = number("CosineAnnealingLR", "T_max", T_max, 1)
        self.eta_min = number("CosineAnnealingLR", "eta_min", eta_min, 0)
        super().__init__(optimizer, last_epoch)

    def factor(self, t: int) -> float:
        return cosine(1.0, 0.0, t / self.T_max)

    def _initial_rates(self, factor: float) -> list[float]:
        """At the lowest rate: those for which the rates rise from the present ones as they first fell, as in torch."""
        if factor:
            return super()._initial_rates(factor)
        rising = self.factor(self.t) or self.factor(self.t + 1)
        return [base + (now - self.eta_min) / rising for base, now in zip(self.base_lrs, self._rates(), strict=True)]


class _LambdaSchedule(Schedule):
    """A schedule of functions of the step, one for all groups or one for each."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Lambda | Sequence[Lambda], last_epoch: int = -1) -> None:
        name = type(self).__name__
        check_optimizer(name, optimizer)
        groups = len(optimizer.param_groups)
        self.lr_lambdas: list[Any] = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * groups
        if len(self.lr_lambdas) != groups:
            raise ValueError(
                f"{name}: lr_lambda has {len(self.lr_lambdas)} functions, and the optimiser {groups} groups"
            )
        for each in self.lr_lambdas:
            if not callable(each):
                raise TypeError(f"{name}: lr_lambda has a {type(each).__name__}, not a function of the step")
        super().__init__(optimizer, last_epoch)

    def _factors(self) -> list[float]:
        return [number(type(self).__name__, "lr_lambda(t)", each(self.t)) for each in self.lr_lambdas]

    def state_dict(self) -> dict[str, Any]:
        """As of other schedules. As in torch, functions are left out, and of callable objects the attributes kept."""
        objects = [
            None if isinstance(f, types.FunctionType) else dict(getattr(f, "__dict__", {})) for f in self.lr_lambdas
        ]
        return {**super().state_dict(), "lr_lambdas": objects}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As of other schedules; the functions stay, and callable objects get the attributes that were saved."""
        functions, saved = self.lr_lambdas, state.get("lr_lambdas", [])
        if len(saved) != len(functions):
            raise WeightsError(
                f"{type(self).__name__}: the saved state has {len(saved)} functions, not {len(functions)}"
            )
        super().load_state_dict(state)
        self.lr_lambdas = functions
        for function, attributes in zip(functions, saved, strict=True):
            if attributes:
                vars(function).update(attributes)


class LambdaLR(_LambdaSchedule):
    """lr = initial lr · lr_lambda(t), set at each step whatever was there, as in torch."""

    def get_lr(self) -> list[float]:
        """The initial rates times the functions' values."""
        return [base * factor for base, factor in zip(self.base_lrs, self._factors(), strict=True)]


class MultiplicativeLR(_LambdaSchedule):
    """lr ← lr · lr_lambda(t) at each step from t = 1 on."""

    def get_lr(self) -> list[float]:
        """The present rates times the functions' values."""
        if self.t == 0:
            return self._rates()
        return [rate * factor for rate, factor in zip(self._rates(), self._factors(), strict=True)]


class ReduceLROnPlateau(ReduceOnPlateau):
    """ReduceOnPlateau under torch's name and with torch's arguments: `factor` is its gamma."""

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(optimizer, mode, factor, patience, threshold, threshold_mode, cooldown, min_lr, eps)


__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
