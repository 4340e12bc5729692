"""The data that studies learn from, and how they learn: a frozen recipe that a study's settings contain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minires import data, optim
from minires.data import transforms as T
from minires.errors import MiniResError
from minires.nn import Module

SIZES = {"digits": 8, "mnist": 28, "fashion-mnist": 28, "cifar10": 32}
CHANNELS = {"digits": 1, "mnist": 1, "fashion-mnist": 1, "cifar10": 3}


@dataclass(frozen=True)
class Images:
    """A part of a data set, and how its images are normalised."""

    dataset: Any
    transform: T.Transform

    def loader(self, batch_size: int) -> data.Loader:
        """All images in order."""
        return data.Loader(self.dataset, batch_size, transform=self.transform)

    def batch(self, count: int, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """`count` images (count, C, H, W) drawn with `seed`, normalised, and their labels (count,)."""
        loader = data.Loader(self.dataset, count, transform=self.transform, shuffle=True, seed=seed, workers=0)
        return next(loader.epoch(0))


@dataclass(frozen=True)
class Recipe:
    """How a network of a study is trained: SGD with Nesterov momentum.

    Attributes:
        data: "digits" (8×8, part of MiniRes), "mnist", "fashion-mnist" or "cifar10".
        train_images: Train on the first so many images; None for all.
        epochs, batch_size: How long, and how many images a step.
        lr: The learning rate; of the one-cycle and cosine schedules the largest.
        schedule: "onecycle" (a short rise, then down to nearly 0), "cosine", "step" (÷10 at half and at three
            quarters) or "constant".
        momentum, weight_decay, label_smoothing: As in `optim.SGD` and `F.cross_entropy`.
        augment: Random crops from the image padded by an eighth of its side; of photographs also random flips.
        checkpoint_seconds: How often a training in progress is saved, besides after each epoch.
    """

    data: str = "digits"
    train_images: int | None = None
    epochs: int = 10
    batch_size: int = 64
    lr: float = 0.05
    schedule: Literal["onecycle", "cosine", "step", "constant"] = "onecycle"
    momentum: float = 0.9
    weight_decay: float = 1e-3
    label_smoothing: float = 0.0
    augment: bool = False
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        """Raise MiniResError for values that cannot be used."""
        if self.data not in SIZES or self.epochs < 1:
            raise MiniResError(f"a study learns from one of {', '.join(SIZES)} for at least one epoch, not {self}")

    @property
    def size(self) -> int:
        """Height and width of an image in pixels."""
        return SIZES[self.data]

    @property
    def channels(self) -> int:
        """Channels of an image."""
        return CHANNELS[self.data]

    @property
    def evaluation_batch(self) -> int:
        """Images a batch where nothing is learnt."""
        return 256

    @property
    def workers(self) -> int:
        """Threads that prepare images; without augmentation none is worth its while on small images."""
        return 1 if self.augment else 0

    def cost(self, layers: float) -> float:
        """The work of a training in arbitrary units: images × layers × pixels, with an overhead of small images."""
        count = self.train_images or {"digits": 1438, "cifar10": 50_000}.get(self.data, 60_000)
        return self.epochs * count * layers * (self.size**2 + 64) / 1e6

    def images(self, train: bool, root: Path | None = None) -> Images:
        """The training images, or the test images. Raises DataError if they are missing and cannot be downloaded."""
        dataset = _load(self.data, root, train)
        if train and self.train_images is not None and self.train_images < len(dataset):
            dataset = data.Subset(dataset, range(self.train_images))
        return Images(dataset, T.Normalize.preset(self.data))

    def augmented(self) -> T.Transform:
        """The transform of training images. After normalisation the padding's zeros are the mean colour."""
        crop = T.RandomCrop(self.size, padding=max(self.size // 8, 1))
        flip = [T.RandomHorizontalFlip()] if self.data == "cifar10" else []
        return T.Compose([T.Normalize.preset(self.data), crop, *flip])

    def make_optimizer(self, model: Module) -> optim.SGD:
        """SGD of all parameters."""
        return optim.SGD(
            model.parameters(),
            self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.momentum > 0,
        )

    def make_schedule(self, optimizer: optim.SGD, steps_per_epoch: int) -> Any:
        """The schedule, which advances with every step."""
        steps = self.epochs * steps_per_epoch
        make: dict[str, Callable[[], Any]] = {
            "onecycle": lambda: optim.OneCycle(optimizer, steps),
            "cosine": lambda: optim.Cosine(optimizer, steps),
            "step": lambda: optim.MultiStep(optimizer, [steps // 2, steps * 3 // 4]),
            "constant": lambda: optim.Constant(optimizer),
        }
        if self.schedule not in make:
            raise MiniResError(f"a study's schedule is one of {', '.join(make)}, not {self.schedule!r}")
        return make[self.schedule]()


@lru_cache(maxsize=4)
def _load(name: str, root: Path | None, train: bool) -> Any:
    return data.load(name, root, train)
