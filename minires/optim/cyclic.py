"""Schedules in cycles, which set the rate at each step whatever was there; some of them set momentum as well."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from minires.core.settings import flag, integer, number
from minires.optim.optimizer import Optimizer
from minires.optim.schedule import Schedule, check_optimizer, for_each_group
from minires.optim.schedules import cosine, linear

PerGroup = float | Sequence[float]


class _MomentumSchedule(Schedule):
    """A schedule that, with cycle_momentum, also sets each group's momentum, or β₁ where there are betas."""

    cycle_momentum: bool

    def _check_momentum(self, optimizer: Optimizer, cycle_momentum: bool) -> None:
        name = type(self).__name__
        check_optimizer(name, optimizer)
        self.cycle_momentum = flag(name, "cycle_momentum", cycle_momentum)
        if self.cycle_momentum and not optimizer.defaults.keys() & {"momentum", "betas"}:
            raise ValueError(
                f"{name}: {type(optimizer).__name__} has neither momentum nor betas to cycle: cycle_momentum=False"
            )

    def _set_momentum(self, values: Sequence[float]) -> None:
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            if "betas" in group:
                group["betas"] = (value, *group["betas"][1:])
            else:
                group["momentum"] = value


class OneCycleLR(_MomentumSchedule):
    """From the initial rate up to max_lr in the fraction pct_start of the steps, then down to the last rate.

    Smith 2018. The initial rate is max_lr/div_factor, the last 1/final_div_factor of it. Rates go along cosines, or
    lines with anneal_strategy="linear"; with three_phase they fall to the initial rate, as fast as they rose, and then
    to the last one. Momentum, or β₁, falls from max_momentum to base_momentum as the rate rises, and the other way
    round. `optim.OneCycle` takes the optimiser's rate as the highest, leaves momentum alone and may go on. Raises
    ValueError for settings that make no sense, and for a step beyond total_steps, which is epochs·steps_per_epoch if
    not given.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: PerGroup,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: PerGroup = 0.85,
        max_momentum: PerGroup = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        name = "OneCycleLR"
        self._check_momentum(optimizer, cycle_momentum)
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ValueError(f"{name}: needs total_steps, or epochs and steps_per_epoch")
        if total_steps is None:
            total_steps = integer(name, "epochs", epochs, 1) * integer(name, "steps_per_epoch", steps_per_epoch, 1)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"{name}: anneal_strategy {anneal_strategy!r} must be 'cos' or 'linear'")
        self.total_steps, self.anneal_strategy = integer(name, "total_steps", total_steps, 1), anneal_strategy
        peak = number(name, "pct_start", pct_start, 0, 1) * self.total_steps
        self.ends = [peak - 1, self.total_steps - 1]
        if flag(name, "three_phase", three_phase):
            self.ends.insert(1, 2 * peak - 2)
        self.max_lrs = for_each_group(name, "max_lr", max_lr, optimizer)
        self.base_momentums = for_each_group(name, "base_momentum", base_momentum, optimizer)
        self.max_momentums = for_each_group(name, "max_momentum", max_momentum, optimizer)
        self.div_factor, self.final_div_factor = (
            number(name, key, value, 0)
            for key, value in (("div_factor", div_factor), ("final_div_factor", final_div_factor))
        )
        if not self.div_factor or not self.final_div_factor:
            raise ValueError(f"{name}: div_factor and final_div_factor must be above 0")
        if last_epoch == -1:
            for group, highest in zip(optimizer.param_groups, self.max_lrs, strict=True):
                group["initial_lr"] = highest / self.div_factor
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates of step t; sets the momentum as well."""
        if self.t > self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {self.t} of {self.total_steps}: the cycle is over; make total_steps larger"
            )
        three, rates, momentums = len(self.ends) == 3, [], []
        for highest, low, high in zip(self.max_lrs, self.base_momentums, self.max_momentums, strict=True):
            first = highest / self.div_factor
            last = first / self.final_div_factor
            rates.append(self._along([first, highest, first, last] if three else [first, highest, last]))
            momentums.append(self._along([high, low, high, high] if three else [high, low, high]))
        if self.cycle_momentum:
            self._set_momentum(momentums)
        return rates

    def _along(self, values: list[float]) -> float:
        """The value of step t, where values[i + 1] is reached at step ends[i], and values[0] is that of step 0."""
        anneal = cosine if self.anneal_strategy == "cos" else linear
        place = next((i for i, end in enumerate(self.ends) if self.t <= end), len(self.ends) - 1)
        start, end = [0.0, *self.ends][place : place + 2]
        return anneal(values[place], values[place + 1], (self.t - start) / (end - start) if end != start else 1.0)


class CyclicLR(_MomentumSchedule):
    """From base_lr to max_lr in step_size_up steps and back in step_size_down, again and again along lines.

    Smith 2017. The height of the nth cycle is scaled by 1 with mode="triangular", by 1/2ⁿ⁻¹ with "triangular2", and at
    step t by gammaᵗ with "exp_range"; a `scale_fn`, if given, is used in place of these, of n with scale_mode="cycle",
    of t with "iterations". Momentum, or β₁, goes from max_momentum to base_momentum and back. Raises ValueError for
    settings that make no sense.
    """

    unsaved = frozenset({"optimizer", "scale_fn"})

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: PerGroup,
        max_lr: PerGroup,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: PerGroup = 0.8,
        max_momentum: PerGroup = 0.9,
        last_epoch: int = -1,
    ) -> None:
        name = "CyclicLR"
        self._check_momentum(optimizer, cycle_momentum)
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f"{name}: mode {mode!r} must be 'triangular', 'triangular2' or 'exp_range'")
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(f"{name}: scale_mode {scale_mode!r} must be 'cycle' or 'iterations'")
        self.mode, self.scale_mode, self.scale_fn = mode, scale_mode, scale_fn
        self.gamma = number(name, "gamma", gamma, 0)
        self.step_size_up = number(name, "step_size_up", step_size_up, 1)
        self.step_size_down = number(
            name, "step_size_down", step_size_up if step_size_down is None else step_size_down, 1
        )
        self.lowest = for_each_group(name, "base_lr", base_lr, optimizer)
        self.max_lrs = for_each_group(name, "max_lr", max_lr, optimizer)
        self.base_momentums = for_each_group(name, "base_momentum", base_momentum, optimizer)
        self.max_momentums = for_each_group(name, "max_momentum", max_momentum, optimizer)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = list(self.lowest)

    def get_lr(self) -> list[float]:
        """The rates of step t; sets the momentum as well."""
        length = self.step_size_up + self.step_size_down
        cycle, place = divmod(self.t, length)
        up = place <= self.step_size_up
        height = place / self.step_size_up if up else (length - place) / self.step_size_down
        height *= self._scale(int(cycle) + 1)
        if self.cycle_momentum:
            pairs = zip(self.max_momentums, self.base_momentums, strict=True)
            self._set_momentum([linear(high, low, height) for high, low in pairs])
        return [linear(low, high, height) for low, high in zip(self.lowest, self.max_lrs, strict=True)]

    def _scale(self, cycle: int) -> float:
        if self.scale_fn is not None:
            return float(self.scale_fn(cycle if self.scale_mode == "cycle" else self.t))
        if self.mode == "exp_range":
            return self.gamma**self.t
        return 0.5 ** (cycle - 1) if self.mode == "triangular2" else 1.0


class CosineAnnealingWarmRestarts(Schedule):
    """From the initial rate to eta_min along a cosine, in T_0 steps, then again in T_0·T_mult, and so on (SGDR).

    Loshchilov & Hutter 2017. `step(epoch)` takes fractions too, as in torch: step(epoch + i/len(loader)) after batch i.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        name = "CosineAnnealingWarmRestarts"
        self.T_0, self.T_mult = integer(name, "T_0", T_0, 1), integer(name, "T_mult", T_mult, 1)
        self.eta_min = number(name, "eta_min", eta_min, 0)
        self.position: float = integer(name, "last_epoch", last_epoch, -1)  # t with its fraction
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rates at the position in the present cycle."""
        place, length = self.position, self.T_0
        if self.T_mult == 1:
            place %= length
        while place >= length:
            place, length = place - length, length * self.T_mult
        return [cosine(base, self.eta_min, place / length) for base in self.base_lrs]

    def _advance(self) -> None:
        self.position += 1
        super()._advance()

    def _start(self) -> None:
        self.position = -1
        super()._start()

    def _jump(self, epoch: float) -> None:
        self.position = number(type(self).__name__, "epoch", epoch, 0)
        self.t = math.floor(self.position)
        self._set(self.get_lr())


__all__ = ["CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR"]
