"""A run small enough to be repeated many times, in which everything that a checkpoint has to carry matters.

Batch norm's statistics, dropout's random numbers, the optimiser's momentum, a schedule that changes at every step,
augmentation, and a last batch that is smaller than the others.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from minires import Function, Tensor, data, manual_seed, nn, optim, training
from minires import functional as F
from minires.data.transforms import Compose, Normalize, RandomCrop

EPOCHS = 3


class TinyNet(nn.Module):
    def __init__(self) -> None:
        self.conv = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.block = nn.Conv2d(4, 4, 3, padding=1)
        self.pool = nn.AvgPool2d(4)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x), relu=True)
        x = F.relu(self.block(x) + x)
        return self.fc(self.dropout(F.flatten(self.pool(x), 1)))


def loaders(
    images: int = 200, batch_size: int = 32, seed: int = 5, workers: int = 0
) -> tuple[data.Loader, data.Loader]:
    digits, normalize = data.digits(), Normalize.preset("digits")
    augment = Compose([normalize, RandomCrop(8, padding=1)])
    chosen = digits.subset(range(images))
    train = data.Loader(chosen, batch_size, transform=augment, shuffle=True, seed=seed, workers=workers)
    return train, data.Loader(digits.subset(range(1000, 1100)), 64, transform=normalize, workers=0)


def make(out: str | os.PathLike[str] | None = None, seed: int = 0, **options: Any) -> training.Trainer:
    """A trainer of the run; `options` override."""
    manual_seed(seed)
    model = options.pop("model", None) or TinyNet()
    train, validation = options.pop("loaders", None) or loaders()
    optimizer = options.pop("optimizer", None) or optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-4)
    if "schedule" not in options:
        options["schedule"] = optim.OneCycle(optimizer, EPOCHS * len(train))
    options = {"epochs": EPOCHS, "progress": False, "metadata": {"model": "tiny"}, **options}
    return training.Trainer(model, optimizer, train, validation, out=out, **options)


def fitted(out: str | os.PathLike[str] | None = None, resume: bool = False) -> training.Trainer:
    """The run, at its end."""
    trainer = make(out)
    trainer.fit(resume)
    return trainer


def bits(model: nn.Module) -> dict[str, bytes]:
    """Every array of the model, byte by byte."""
    return {name: np.asarray(tensor).tobytes() for name, tensor in model.state_dict().items()}


def graph_nodes() -> int:
    """How many are alive in the process. (isinstance would ask every object for its class, and PyTorch's complain.)"""
    gc.collect()
    return sum(issubclass(type(thing), Function) for thing in gc.get_objects())


def main(out: Path) -> None:
    """The run that test_kill.py kills: taken up where there is a checkpoint, saved after every step."""
    train, validation = loaders(images=1000, batch_size=50, workers=2)
    trainer = make(out, loaders=(train, validation), checkpoint_steps=1)

    def report(*_: Any) -> None:
        if trainer.model.training:
            print(trainer.epoch * len(train) + trainer.step, flush=True)

    trainer.model.register_forward_hook(report)
    trainer.fit(resume=(out / "last.safetensors").exists())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
