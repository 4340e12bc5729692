"""What a Trainer refuses at once: settings of the wrong kind, and parts that do not belong together."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any

from minires.errors import DeviceError
from minires.nn import Module
from minires.optim import MultiStep, Optimizer, ReduceOnPlateau, Schedule, Step, WarmUp


def check_settings(
    epochs: Any,
    schedule: Any,
    schedule_per: Any,
    clip_norm: Any,
    patience: Any,
    checkpoint_seconds: Any,
    checkpoint_steps: Any,
) -> None:
    """Raise ValueError for a setting that has no meaning. Counts are integers from 1 on, limits are 0 or more."""
    if schedule_per not in ("step", "epoch"):
        raise ValueError(f"Trainer: schedule_per {schedule_per!r} must be 'step' or 'epoch'")
    if isinstance(schedule, ReduceOnPlateau) and schedule_per != "epoch":
        raise ValueError("Trainer: ReduceOnPlateau watches the results of whole epochs: schedule_per='epoch'")
    counts = {"epochs": epochs, "patience": patience, "checkpoint_steps": checkpoint_steps}
    for name, value in counts.items():
        if value is not None and not (_is(Integral, value) and value >= 1):
            raise ValueError(f"Trainer: {name} must be 1 or more, not {value!r}")
    for name, value in {"clip_norm": clip_norm, "checkpoint_seconds": checkpoint_seconds}.items():
        if value is not None and not (_is(Real, value) and value >= 0):
            raise ValueError(f"Trainer: {name} must be a number, 0 or more, or None, not {value!r}")
    if clip_norm == 0:
        raise ValueError("Trainer: clip_norm 0 would make every gradient 0: give a number above 0, or None")


def check_combination(
    schedule: Any, graph: Any, loss: Any, metrics: Any, patience: Any, validation_loader: Any, ema: Any
) -> None:
    """Raise ValueError, or DeviceError of a CUDA graph, for settings that contradict each other."""
    if isinstance(schedule, ReduceOnPlateau) and schedule.mode == "max" and loss is not None:
        raise ValueError("Trainer: ReduceOnPlateau(mode='max') watches the accuracy, which loss= lacks: mode='min'")
    if graph and (loss is not None or metrics):
        raise DeviceError("Trainer: graph=True captures the usual loss alone: leave out loss= and metrics=, or graph")
    if ema is not None and not (_is(Real, ema) and 0 <= ema < 1):
        raise ValueError(f"Trainer: ema must be a number, at least 0 and below 1, or None, not {ema!r}")
    if graph and ema is not None:
        raise DeviceError(
            "Trainer: graph=True captures the step without an average of the weights: leave out one of both"
        )
    if patience is not None and validation_loader is None:
        raise ValueError("Trainer: early stopping (patience) watches the validation accuracy: give a validation_loader")


def _is(kind: type, value: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def check_parts(model: Any, optimizer: Any, schedule: Any, *loaders: Any) -> None:
    """Raise TypeError for parts of the wrong kind, ValueError for an optimiser or a schedule that would change nothing.

    The optimiser must hold a parameter of the model, and the schedule must be that of the optimiser.
    """
    for name, value, kind in (("model", model, Module), ("optimizer", optimizer, Optimizer)):
        if not isinstance(value, kind):
            raise TypeError(
                f"Trainer: {name} must be a {kind.__module__}.{kind.__name__}, not a {type(value).__name__}"
            )
    for loader in loaders:
        check_loader("Trainer", loader)
    if schedule is not None and not isinstance(schedule, Schedule):
        raise TypeError(f"Trainer: schedule must be one of minires.optim's, not a {type(schedule).__name__}")
    if schedule is not None and getattr(schedule, "optimizer", optimizer) is not optimizer:
        raise ValueError("Trainer: the schedule is that of another optimiser, and would not change this one's rates")
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if held.isdisjoint(map(id, model.parameters())):
        raise ValueError(
            "Trainer: the optimiser holds no parameter of this model, so nothing would be learned: make the optimiser "
            "of model.parameters(), after the model"
        )


def check_loader(where: str, loader: Any) -> None:
    """Raise TypeError unless `loader` has epochs, as `data.Loader` has; None is allowed."""
    if loader is not None and not hasattr(loader, "epoch"):
        raise TypeError(f"{where}: needs a data.Loader of the data set, not a {type(loader).__name__}")


def warn_of_epochs_as_steps(schedule: Schedule | None, epochs: int, steps: int) -> None:
    """Warn if a schedule that counts steps has its milestones within the first epoch: they are probably epochs."""
    warm = schedule.steps if isinstance(schedule, WarmUp) else 0
    inner = schedule.after if isinstance(schedule, WarmUp) else schedule
    if isinstance(inner, MultiStep) and inner.milestones:
        what, last = f"MultiStep's milestones {list(inner.milestones)}", max(inner.milestones)
    elif isinstance(inner, Step) and inner.step_size < epochs:
        what, last = f"Step's step_size {inner.step_size}", inner.step_size
    else:
        return
    if epochs > 1 and warm + last < steps:
        warnings.warn(
            f"Trainer: {what} are steps here, and all of them lie in the first of {epochs} epochs, which has {steps} "
            'steps. If epochs are meant: schedule_per="epoch"',
            stacklevel=3,
        )
