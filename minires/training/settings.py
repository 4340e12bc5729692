"""The settings that determine a run's results: the options of `minires train`, as the checkpoint stores them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from minires.errors import MiniResError, WeightsError
from minires.training.preprocessing import MAX_IMAGE_SIZE

OPTIMIZERS = ("sgd", "adam", "adamw")
SCHEDULES = ("constant", "multistep", "cosine", "onecycle", "plateau")


@dataclass(frozen=True)
class TrainSettings:
    """The settings of a run. Batch size, learning rate, momentum and decay default to He et al. 2015, §4.2.

    Raises MiniResError if a setting is invalid.

    Attributes:
        model: the network's name, for the function that builds it.
        data: a data set's name, or the path of a folder of images.
        epochs: 1 or more.
        batch_size: images per step.
        optimizer: "sgd" (with `momentum`), "adam" or "adamw".
        lr: the learning rate at the start of the schedule; with "onecycle" the peak.
        momentum: the momentum of SGD.
        weight_decay: the weight decay of all parameters.
        schedule: "constant"; "multistep": divided by 10 at each of `milestones`; "cosine": down to 0 at the end;
            "onecycle": up and down; "plateau": divided by 10 after 10 epochs without a lower validation loss.
        milestones: epochs; () means half and three quarters of all epochs, as in the paper.
        warmup_epochs: the duration of a linear rise to `lr` before the schedule; may be a fraction of an epoch.
        label_smoothing: the label smoothing of the training loss.
        clip_norm: the largest common norm of all gradients; None for no limit.
        patience: stop after this many epochs without a better validation accuracy; None for never.
        augment: use random crops and flips in training, as is usual for the data set.
        image_size: height and width in pixels of the images of a folder; None means 224.
        normalize: the data set whose mean and deviation normalise the images; None: this one's, or that of `weights`.
        seed: the seed of the initial weights, the order of the images and their augmentation.
        weights: a weight file to fine-tune from; a classifier of other classes is replaced by a new one.
        freeze: train the classifier alone.
        batch_norm: in a run of several processes, "sync": the statistics of the whole batch; "local": of each process's
            share, averaged before they are used for validation or saved.
        compression: "float16" or "bfloat16": gradients travel between processes in half the bytes; None: as they are.
    """

    model: str
    data: str
    epochs: int = 10
    batch_size: int = 128
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    schedule: str = "cosine"
    milestones: tuple[int, ...] = ()
    warmup_epochs: float = 0.0
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    patience: int | None = None
    augment: bool = True
    image_size: int | None = None
    normalize: str | None = None
    seed: int = 0
    weights: str | None = None
    freeze: bool = False
    batch_norm: str = "sync"
    compression: str | None = None

    def __post_init__(self) -> None:
        rules = {
            "epochs": ("1 or more", self.epochs >= 1),
            "batch_size": ("1 or more", self.batch_size >= 1),
            "optimizer": (f"one of {', '.join(OPTIMIZERS)}", self.optimizer in OPTIMIZERS),
            "lr": ("above 0 and finite", 0 < self.lr < math.inf),
            "momentum": ("at least 0 and below 1", 0 <= self.momentum < 1),
            "weight_decay": ("0 or more and finite", 0 <= self.weight_decay < math.inf),
            "schedule": (f"one of {', '.join(SCHEDULES)}", self.schedule in SCHEDULES),
            "milestones": (
                "left out unless schedule is multistep",
                self.schedule == "multistep" or not self.milestones,
            ),
            # With too few epochs, the rule for `epochs` alone is reported.
            "warmup_epochs": ("at least 0 and below epochs", 0 <= self.warmup_epochs < max(self.epochs, 1)),
            "label_smoothing": ("at least 0 and below 1", 0 <= self.label_smoothing < 1),
            "clip_norm": ("above 0", self.clip_norm is None or self.clip_norm > 0),
            "patience": ("1 or more", self.patience is None or self.patience >= 1),
            "image_size": (
                f"1 or more and at most {MAX_IMAGE_SIZE}",
                self.image_size is None or 1 <= self.image_size <= MAX_IMAGE_SIZE,
            ),
            "seed": ("0 or more", self.seed >= 0),
            "batch_norm": ("sync or local", self.batch_norm in ("sync", "local")),
            "compression": ("float16 or bfloat16", self.compression in (None, "float16", "bfloat16")),
            "freeze": (
                "left out where there are no weights to start from",
                self.weights is not None or not self.freeze,
            ),
        }
        broken = [
            f"{name} must be {rule}, not {getattr(self, name)}" for name, (rule, holds) in rules.items() if not holds
        ]
        if self.schedule == "plateau" and self.warmup_epochs:
            broken.append("the plateau schedule depends on the results of whole epochs, so it takes no warmup_epochs")
        if broken:
            raise MiniResError("; ".join(broken))

    def to_dict(self) -> dict[str, Any]:
        """The attributes as a dict that JSON can hold."""
        stored = {**asdict(self), "milestones": list(self.milestones)}
        # Checkpoints of runs in one process, and of earlier versions, do not have these.
        later = {"batch_norm": "sync", "compression": None}
        return {name: value for name, value in stored.items() if name not in later or value != later[name]}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> TrainSettings:
        """The inverse of `to_dict`. Raises WeightsError for unknown settings and for values of the wrong type."""
        unknown = set(stored) - {field.name for field in fields(cls)}
        if unknown:
            raise WeightsError(f"the checkpoint holds settings that this MiniRes does not know: {', '.join(unknown)}")
        try:
            return cls(**{**stored, "milestones": tuple(stored["milestones"])})
        except (KeyError, TypeError) as error:
            raise WeightsError(f"the checkpoint's settings are damaged ({error!r})") from error
