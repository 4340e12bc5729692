"""Recipes: settings of `minires train` that belong together, under a name.

    minires train --recipe resnet20-fast --out runs/resnet20
    minires train --recipe resnet20-fast --lr 0.1 --hold-out 5000 --out runs/try          # options override it

Each recipe is a file of this folder: what it is for, and where its settings come from, stands above them. What is tuned
is tuned on 5,000 training images that are held out (--hold-out 5000), never on the test images. `docs/results.md` says
what each one reaches.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from minires.errors import MiniResError

NAMES = ("resnet20-fast", "resnet32-fast", "resnet56-fast", "cifar94", "paper", "digits")


@dataclass(frozen=True)
class Recipe:
    """A recipe.

    Attributes:
        name: as `--recipe` takes it.
        summary: what it is for, in one sentence.
        settings: {attribute of TrainSettings: value}, the model and the data among them.
    """

    name: str
    summary: str
    settings: dict[str, Any]


def load(name: str) -> Recipe:
    """The recipe called `name`. Raises MiniResError, listing them, if there is none."""
    if name not in NAMES:
        raise MiniResError(f"no recipe {name!r}: known are {', '.join(NAMES)}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    summary = (module.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    return Recipe(name, summary, {**module.SETTINGS, "recipe": name})
