"""The one mechanism of learning-rate schedules, under MiniRes's own names and under those of torch.

Most schedules are a formula `factor(t)` of the step t. `step()` moves to t + 1 and sets in every group of the optimiser

    lr(t) = eta_min + (initial lr − eta_min)·factor(t),     eta_min = 0 unless the schedule has one.

A rate that something else has set since, the user's loop or another schedule, changes the initial rate to that for
which the formula gives it: what was set by hand holds, and two schedules multiply, as in torch. Where factor(t) stays
the same, so does the rate. A schedule of another kind defines `get_lr()` instead, as torch's do: the rates of all
groups at step t.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from minires.core.settings import integer, number
from minires.errors import WeightsError
from minires.optim.optimizer import Optimizer, rate_of, set_rate


class Schedule:
    """The base class of all schedules; torch.optim.lr_scheduler.LRScheduler is another name of it.

    Args:
        optimizer: whose rates are set, first by the constructor.
        last_epoch: -1, or the step after which to go on, if the groups have "initial_lr", as the first schedule of an
            optimiser sets it. As in torch, the groups' rates count as those of the step after it, but a schedule by
            milestones multiplies them if that step is one.

    Attributes:
        t: the step, under torch's name last_epoch.
        base_lrs: "initial_lr" of each group when the schedule was made.
    """

    eta_min: float = 0.0
    changes_on_resume: ClassVar[bool] = False  # whether a schedule that resumes by last_epoch first moves by one step
    unsaved: ClassVar[frozenset[str]] = frozenset({"optimizer"})  # attributes that are not in the state
    later_state: ClassVar[Mapping[str, Any]] = {}  # what states of earlier versions lack, with the value that it had

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        name = type(self).__name__
        check_optimizer(name, optimizer)
        self.optimizer, self.t = optimizer, integer(name, "last_epoch", last_epoch, -1)
        for i, group in enumerate(optimizer.param_groups):
            if self.t == -1:
                group.setdefault("initial_lr", float(rate_of(group)))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{name}: group {i} has no 'initial_lr', which last_epoch = {last_epoch} needs: load "
                    "the state of an optimiser that had a schedule, or set it to the rate of step 0"
                )
        self.base_lrs = [float(group["initial_lr"]) for group in optimizer.param_groups]
        self.starting = self._rates()
        self.last = list(self.starting) if self.t == -1 else []  # what this schedule has set
        if self.t == -1 or not self.follows_formula or self.changes_on_resume:
            self._advance()
        else:
            self.t += 1
            self.starting, self.last = self._initial_rates(self.factor(self.t)), self._rates()

    def _start(self) -> None:
        """Begin again at step 0, from the rates that the groups have."""
        self.starting = self._rates()
        self.t, self.last = -1, list(self.starting)
        self._advance()

    # -- torch's names ------------------------------------------------------------------------------------------------

    @property
    def last_epoch(self) -> int:
        """The step t."""
        return self.t

    @last_epoch.setter
    def last_epoch(self, value: int) -> None:
        self.t = value

    _get_lr_called_within_step = True  # what schedules that were written for torch ask in get_lr, before they warn

    def get_last_lr(self) -> list[float]:
        """The rates that this schedule has set last, one for each group."""
        return list(self.last)

    # -- the rates ----------------------------------------------------------------------------------------------------

    def factor(self, t: int) -> float:
        """The factor by which the initial rate is multiplied at step t."""
        raise NotImplementedError(f"{type(self).__name__}: a schedule defines factor(t), or get_lr()")

    def get_lr(self) -> list[float]:
        """The rates at step t, from those at step t − 1, which the groups have."""
        factor = self.factor(self.t)
        if self.t:
            before = self.factor(self.t - 1)
            self.starting = self._initial_rates(before)
            for group in self.optimizer.param_groups[len(self.base_lrs) :]:  # added since
                self.base_lrs.append(float(group.setdefault("initial_lr", float(rate_of(group)))))
            if before == factor:
                return self._rates()
        return self._formula(factor)

    @property
    def follows_formula(self) -> bool:
        """Whether the rates are those of `factor(t)`, and not of a get_lr of the schedule's own."""
        return type(self).get_lr is Schedule.get_lr

    def step(self, epoch: float | None = None) -> None:
        """Move to the next step and set the learning rates; with `epoch`, to that one, counted from `base_lrs`."""
        if epoch is None:
            self._advance()
        else:
            self._jump(epoch)

    def _advance(self) -> None:
        self.t += 1
        self._set(self.get_lr())

    def _jump(self, epoch: float) -> None:
        """Move to step `epoch`, as if no rate had been set by anything else."""
        self.t = integer(type(self).__name__, "epoch", epoch, 0)
        self.starting = list(self.base_lrs)
        self._set(self._formula(self.factor(self.t)) if self.follows_formula else self.get_lr())

    def _rates(self) -> list[float]:
        return [float(rate_of(group)) for group in self.optimizer.param_groups]

    def _formula(self, factor: float) -> list[float]:
        pairs = [(self._floor(i), start) for i, start in enumerate(self.starting)]
        return [float(floor + (start - floor) * factor) for floor, start in pairs]

    def _floor(self, group: int) -> float:
        """eta_min of the group of that number."""
        return self.eta_min

    def _initial_rates(self, factor: float) -> list[float]:
        """The initial rates; where a rate was changed, that for which `factor` gives it (itself, if factor is 0)."""
        starting = []
        for i, now in enumerate(self._rates()):
            floor, unchanged = self._floor(i), i < len(self.last) and now == self.last[i]
            changed = floor + (now - floor) / factor if factor else now
            starting.append(self.starting[i] if unchanged else changed)
        return starting

    def _set(self, rates: list[float]) -> None:
        groups = self.optimizer.param_groups
        if len(rates) != len(groups):
            raise ValueError(
                f"{type(self).__name__}: gives {len(rates)} rates, and the optimiser has {len(groups)} groups: "
                "make the schedule after add_param_group"
            )
        for group, lr in zip(groups, rates, strict=True):
            set_rate(group, lr)
        self.last = self._rates()

    # -- its state ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The state that `load_state_dict` needs to continue; "last" are the rates that the groups have now."""
        state = {key: value for key, value in vars(self).items() if key not in self.unsaved}
        state = {key: list(value) if isinstance(value, list) else value for key, value in state.items()}
        if self.follows_formula:
            state["starting"] = self._initial_rates(self.factor(self.t))
        state["last"] = self._rates()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict()` was taken, with its settings and its rates.

        Raises WeightsError, and changes nothing, for a state of another kind of schedule or of other parameter groups.
        """
        state = {**self.later_state, **state}
        self._check_state(state)
        vars(self).update({key: list(value) if isinstance(value, list) else value for key, value in state.items()})
        self._set(self.last if "last" in state else self._formula(self.factor(self.t)))

    def _check_state(self, state: Mapping[str, Any]) -> None:
        name, own = type(self).__name__, self.state_dict()
        missing = own.keys() - state.keys() - {"last", "base_lrs"}  # which states of earlier versions lack
        if missing or state.keys() - own.keys():
            raise WeightsError(
                f"{name}: the saved state has {', '.join(sorted(state)) or 'no keys'}; this schedule has "
                f"{', '.join(sorted(own))}: it is the state of another one"
            )
        groups = len(self.optimizer.param_groups)
        try:
            integer(name, "t", state["t"], 0)
            for key, least in (("starting", -math.inf), ("last", 0)):  # from a rate below eta_min it starts below 0
                rates = [number(name, key, rate, least) for rate in state.get(key, own["last"])]
                if len(rates) != groups:
                    raise ValueError(f"{name}: {key} has {len(rates)} rates, and the optimiser {groups} groups")
        except (TypeError, ValueError) as error:
            raise WeightsError(f"the saved state does not fit, and nothing was loaded: {error}") from None


def check_optimizer(name: str, optimizer: Any) -> None:
    """Raise TypeError unless `optimizer` has groups."""
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(f"{name}: needs an optimiser, got a {type(optimizer).__name__}")


def for_each_group(what: str, name: str, value: Any, optimizer: Optimizer) -> list[float]:
    """`value`, or the values in it, as one number for each group. Raises ValueError for another number of them."""
    count = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [number(what, name, value)] * count
    if len(value) != count:
        raise ValueError(f"{what}: {name} has {len(value)} values, and the optimiser {count} groups")
    return [number(what, name, each) for each in value]
