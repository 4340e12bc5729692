"""Trained weights by name: those that MiniRes brings along, and those of other publishers, which are downloaded.

    models.resnet20(weights="cifar10")                 minires/models/weights/resnet20-cifar10.safetensors
    models.resnet18(weights="imagenet")                torchvision's resnet18-f37072fd.pth, kept in the user's cache
    models.resnet18(weights="timm/resnet18.a1_in1k")   timm's, of the Hugging Face hub (table in `weights.published`)

A file in the folder `weights` is all that makes its weights known. It has the metadata of a checkpoint (classes and
preprocessing of the images, settings and results of the training). `docs/results.md` says how each was made.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from minires import weights
from minires.errors import WeightsError
from minires.weights import fetching, published
from minires.weights.foreign_names import as_torchvision

FOLDER = Path(__file__).with_name("weights")
IMAGENET = ("imagenet", "imagenet-v2")  # torchvision's first and second weights, of the network that is named beside


@cache
def shipped() -> dict[tuple[str, str], Path]:
    """{(model, name of its weights): file} of the weights that MiniRes brings along."""
    files = sorted(FOLDER.glob("*-*.safetensors"))
    return {(file.stem.split("-", 1)[0], file.stem.split("-", 1)[1]): file for file in files}


def names() -> tuple[str, ...]:
    """The short names of weights: "imagenet", "imagenet-v2", "cifar10", and the data sets that MiniRes brings along."""
    return tuple(sorted({*IMAGENET, "cifar10"} | {name for _, name in shipped()}))


def is_name(value: str | os.PathLike[str]) -> bool:
    """Whether `value` names weights, and no file: a file of such a name is given as ./cifar10.

    Raises WeightsError for timm's name of a network that MiniRes does not have.
    """
    return os.fspath(value) in names() or fetching.find(value) is not None


def find(model: str | None, source: str | os.PathLike[str], download: bool = True) -> tuple[str | None, Path]:
    """(model, file) of weights that are given by a name, an address with a checksum, or a path.

    `model` is the one that was asked for. None stays None for a path or an address: the file may say it.

    Raises WeightsError, saying what there is, for a name or a model without weights; and if a download is not allowed
    or fails, or there is no such file.
    """
    if is_name(source):
        return locate(model, os.fspath(source), download)
    if not fetching.is_address(source) and not _exists(source):
        raise WeightsError(fetching.unknown(os.fspath(source), names()))
    return model, weights.fetch(source, download=download)


def locate(model: str | None, name: str, download: bool = True) -> tuple[str, Path]:
    """(model, file) of the weights called `name`, which are downloaded if need be.

    Without a model it is the one that has such weights; if several have, the deepest. Raises WeightsError as `find`
    does.
    """
    row = fetching.find(name)
    if row is None and name in IMAGENET:
        if model is None:
            raise WeightsError(f"{name}: name the network whose weights are meant: {', '.join(_with(name))}")
        row = published.table().get(f"{model}-{name}")
    if row is not None:
        if model not in (None, row.model):
            raise WeightsError(f"the weights {name} are of {row.model}, not of {model}")
        return row.model, weights.fetch(row.name, download=download)
    if model is None:
        models = sorted((each for each, data in shipped() if data == name), key=_depth)
        if not models:
            raise WeightsError(
                f"there are no weights {name!r} here yet: {_what_there_is()}. A file of your own: its path"
            )
        model = models[-1]
    if (model, name) not in shipped():
        raise WeightsError(f"{model} has no weights {name!r} here: {_what_there_is()}. A file of your own: its path")
    return model, shipped()[model, name]


def load(model: str, name: str) -> dict[str, Any]:
    """The arrays called `name` of the network `model`, under torchvision's names. Raises WeightsError as `locate`."""
    return as_torchvision(weights.load(locate(model, name)[1]))


def _exists(source: str | os.PathLike[str]) -> bool:
    return "\0" in os.fspath(source) or Path(source).exists()  # that no file can have a NUL in its name is said later


def _depth(model: str) -> int:
    return int("".join(filter(str.isdigit, model)) or 0)


def _with(name: str) -> list[str]:
    """The networks with torchvision's weights of that name."""
    return [row.model for row in published.table().values() if row.name == f"{row.model}-{name}"]


def _what_there_is() -> str:
    found = ", ".join(f"{name} for {model}" for model, name in shipped())
    return (
        f"there are {found}, imagenet for {', '.join(_with('imagenet'))}, and timm's and others' by their full names, "
        "such as timm/resnet18.a1_in1k (docs/interop.md)"
    )
