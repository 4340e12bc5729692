"""Schedules made of schedules: one after another, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from minires.core.settings import integer
from minires.errors import WeightsError
from minires.optim.optimizer import Optimizer, set_rate
from minires.optim.schedule import Schedule
from minires.optim.schedules import ReduceOnPlateau


class _Composed(Schedule):
    """What consists of other schedules of the same optimiser; its state is theirs."""

    def __init__(self, optimizer: Optimizer | None, schedulers: Sequence[Schedule]) -> None:
        name = type(self).__name__
        if len(schedulers) < 1:
            raise ValueError(f"{name}: needs at least one schedule")
        for place, schedule in enumerate(schedulers):
            if not isinstance(schedule, Schedule):
                raise TypeError(f"{name}: number {place} is a {type(schedule).__name__}, not a schedule")
            if isinstance(schedule, ReduceOnPlateau):
                raise ValueError(f"{name}: number {place} is a {type(schedule).__name__}, whose step needs a metric")
            if schedule.optimizer is not (optimizer or schedulers[0].optimizer):
                raise ValueError(f"{name}: number {place} ({type(schedule).__name__}) is that of another optimiser")
        self.optimizer, self.schedulers = optimizer or schedulers[0].optimizer, list(schedulers)
        self.t, self.last = 0, self._rates()

    @property
    def follows_formula(self) -> bool:
        """False: the schedules in it have the formulas."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """The step, the rates, and the state of each schedule in it."""
        state = {key: value for key, value in super().state_dict().items() if key != "schedulers"}
        return {**state, "schedulers": [schedule.state_dict() for schedule in self.schedulers]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._check_state(state)
        parts = state["schedulers"]
        if len(parts) != len(self.schedulers):
            raise WeightsError(
                f"{type(self).__name__}: the saved state has {len(parts)} schedules, not {len(self.schedulers)}"
            )
        for schedule, part in zip(self.schedulers, parts, strict=True):
            schedule._check_state({**schedule.later_state, **part})
        for schedule, part in zip(self.schedulers, parts, strict=True):
            schedule.load_state_dict(part)
        super().load_state_dict({**state, "schedulers": self.schedulers})


class SequentialLR(_Composed):
    """The first schedule until step milestones[0], then the second, from its step 0 and the initial rate, and so on.

    Follows torch's SequentialLR: the groups start from "initial_lr", whatever rate they have. Raises ValueError unless
    there is one milestone less than schedules, and as torch does for schedules of another optimiser or with a metric.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[Schedule], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedules need one milestone less, got {len(milestones)}"
            )
        self.milestones = [integer("SequentialLR", "milestones", each, 0) for each in milestones]
        self._start()
        self.t = integer("SequentialLR", "last_epoch", last_epoch, -1) + 1

    def _start(self) -> None:
        self.t = 0
        for group in self.optimizer.param_groups:
            set_rate(group, group["initial_lr"])
        self.schedulers[bisect_right(self.milestones, 0)]._start()
        self.last = self._rates()

    def _advance(self) -> None:
        self.t += 1
        place = bisect_right(self.milestones, self.t)
        schedule = self.schedulers[place]
        if place and self.milestones[place - 1] == self.t:
            schedule._jump(0)
        else:
            schedule._advance()
        self.last = self._rates()

    def _jump(self, epoch: float) -> None:
        """From the start up to step `epoch`."""
        self._start()
        for _ in range(integer("SequentialLR", "epoch", epoch, 0)):
            self._advance()


class ChainedScheduler(_Composed):
    """All schedules at each step, one after another: their factors multiply. Follows torch's ChainedScheduler."""

    def __init__(self, schedulers: Sequence[Schedule], optimizer: Optimizer | None = None) -> None:
        super().__init__(optimizer, schedulers)

    def _start(self) -> None:
        self.t = 0
        for schedule in self.schedulers:
            schedule._start()
        self.last = self._rates()

    def _advance(self) -> None:
        self.t += 1
        for schedule in self.schedulers:
            schedule._advance()
        self.last = self._rates()

    def _jump(self, epoch: float) -> None:
        """From the initial rates on up to step `epoch`."""
        for group in self.optimizer.param_groups:
            set_rate(group, group["initial_lr"])
        self._start()
        for _ in range(integer("ChainedScheduler", "epoch", epoch, 0)):
            self._advance()
