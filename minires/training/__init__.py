"""Training and measuring networks, whichever they are.

    history = training.Trainer(model, optimizer, train_loader, validation_loader, epochs=10, out="run").fit()
    training.evaluate(model, loader).top1
    training.load_checkpoint("run/best.safetensors").model

`trainer` holds the loop. `checkpoint` and `run_compatibility` make it resumable. `run` does everything that the command
`minires train` does, and `preprocessing` prepares the images of each data set. Each is imported when it is first used:
a classifier needs the preprocessing and not the loop.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minires.training.checkpoint import Checkpoint, checkpoint_metadata, load_checkpoint
    from minires.training.evaluation import Evaluation, Measurement, evaluate
    from minires.training.interrupt import TrainingInterrupted
    from minires.training.metrics import EpochRecord
    from minires.training.preprocessing import Preprocessing
    from minires.training.settings import TrainSettings
    from minires.training.trainer import Trainer

_MODULE_OF = {
    "Checkpoint": "checkpoint",
    "EpochRecord": "metrics",
    "Evaluation": "evaluation",
    "Measurement": "evaluation",
    "Preprocessing": "preprocessing",
    "TrainSettings": "settings",
    "Trainer": "trainer",
    "TrainingInterrupted": "interrupt",
    "checkpoint_metadata": "checkpoint",
    "evaluate": "evaluation",
    "load_checkpoint": "checkpoint",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "Checkpoint",
    "EpochRecord",
    "Evaluation",
    "Measurement",
    "Preprocessing",
    "TrainSettings",
    "Trainer",
    "TrainingInterrupted",
    "checkpoint_metadata",
    "evaluate",
    "load_checkpoint",
]
