"""The settings that determine a run's results: the options of `minires train`, as the checkpoint stores them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from minires.data.augment import FLIPS, PADDINGS
from minires.errors import MiniResError, WeightsError
from minires.training.preprocessing import MAX_IMAGE_SIZE

OPTIMIZERS = ("sgd", "adam", "adamw", "muon")
SCHEDULES = ("constant", "multistep", "cosine", "linear", "onecycle", "plateau")


@dataclass(frozen=True)
class TrainSettings:
    """The settings of a run. Batch size, learning rate, momentum and decay default to He et al. 2015, §4.2.

    Raises MiniResError if a setting is invalid.

    Attributes:
        model: the network's name, for the function that builds it.
        data: a data set's name, or the path of a folder of images.
        epochs: 1 or more.
        batch_size: images per step.
        optimizer: "sgd" (with `momentum`), "adam", "adamw", or "muon": Muon for the convolutions and SGD with
            Nesterov's momentum for all else.
        lr: the learning rate at the start of the schedule; with "onecycle" the peak.
        momentum: the momentum of SGD, and of Muon.
        weight_decay: the weight decay of all parameters, or without `decay_norms` of weights alone.
        schedule: "constant"; "multistep": divided by 10 at each of `milestones`; "cosine" and "linear": down to 0 at
            the end; "onecycle": up and down; "plateau": divided by 10 after 10 epochs without a lower validation loss.
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
        recipe: the name of the recipe that these settings come from; other settings may since have been overridden.
        nesterov: Nesterov's momentum in SGD.
        sgd_lr: with "muon", the learning rate of what SGD updates; None means `lr`.
        decay_norms: weight decay of biases and of batch norm's weights too, as in the paper.
        ema: the decay per step of an exponential moving average of the weights, which is then what is validated and
            saved; None for no average.
        flip: "none", "random" or "alternating" (`data.Augmentation`); None means as is usual for the data set.
        translate: random shifts by up to so many pixels; None means as is usual for the data set.
        padding: what shifted images are filled up with, "zero" or "reflect".
        cutout: the side in pixels of a square that is cut out at random; 0 for none.
        whiten: the first convolution is set to whiten the patches of the training images, and stays so.
        hold_out: validate on so many of the training images, the same share of each class, and train on the others.
            The test images are then never read. 0 means validate on the test images.
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
    # Later settings, which are stored only where they differ from these defaults (`to_dict`).
    recipe: str | None = None
    nesterov: bool = False
    sgd_lr: float | None = None
    decay_norms: bool = True
    ema: float | None = None
    flip: str | None = None
    translate: int | None = None
    padding: str = "zero"
    cutout: int = 0
    whiten: bool = False
    hold_out: int = 0
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
        rules |= self._later_rules()
        broken = [
            f"{name} must be {rule}, not {getattr(self, name)}" for name, (rule, holds) in rules.items() if not holds
        ]
        if self.schedule == "plateau" and self.warmup_epochs:
            broken.append("the plateau schedule depends on the results of whole epochs, so it takes no warmup_epochs")
        if broken:
            raise MiniResError("; ".join(broken))

    def _later_rules(self) -> dict[str, tuple[str, bool]]:
        """{setting: (what it must be, whether it is)} of the later settings."""
        chosen = (self.flip, self.translate, self.padding, self.cutout)
        unaugmented = chosen == (None, None, "zero", 0)
        return {
            "nesterov": (
                "left out unless optimizer is sgd with momentum",
                not self.nesterov or (self.optimizer == "sgd" and self.momentum > 0),
            ),
            "sgd_lr": (
                "above 0 and finite, and left out unless optimizer is muon",
                self.sgd_lr is None or (self.optimizer == "muon" and 0 < self.sgd_lr < math.inf),
            ),
            "ema": ("at least 0 and below 1", self.ema is None or 0 <= self.ema < 1),
            "flip": (f"one of {', '.join(FLIPS)}", self.flip is None or self.flip in FLIPS),
            "translate": ("0 or more", self.translate is None or self.translate >= 0),
            "padding": (f"one of {', '.join(PADDINGS)}", self.padding in PADDINGS),
            "cutout": ("0 or more", self.cutout >= 0),
            "augment": ("left on where flip, translate, padding or cutout are given", self.augment or unaugmented),
            "whiten": ("left out where weights are given to start from", self.weights is None or not self.whiten),
            "hold_out": ("0 or more", self.hold_out >= 0),
        }

    def to_dict(self) -> dict[str, Any]:
        """The attributes as a dict that JSON can hold.

        Later settings are left out where they have their default, so that the checkpoints of earlier versions, which
        lack them, can be resumed.
        """
        stored = {**asdict(self), "milestones": list(self.milestones)}
        unchanged = {name for name in LATER_SETTINGS if stored[name] == getattr(type(self), name)}
        return {name: value for name, value in stored.items() if name not in unchanged}

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


LATER_SETTINGS = tuple(field.name for field in fields(TrainSettings))[
    [field.name for field in fields(TrainSettings)].index("recipe") :
]
