"""Trained weights by name: those that MiniRes brings along, and torchvision's for ImageNet, which are downloaded.

    models.resnet20(weights="cifar10")      minires/models/weights/resnet20-cifar10.safetensors
    models.resnet18(weights="imagenet")     resnet18-f37072fd.pth of download.pytorch.org, kept in the user's cache

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
from minires.files import cache_folder

FOLDER = Path(__file__).with_name("weights")
ADDRESS = "https://download.pytorch.org/models/"
# torchvision's files of its first weights (IMAGENET1K_V1); eight digits of the SHA-256 are part of the name.
IMAGENET_FILES = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet34": "resnet34-b627a593.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "resnet152": "resnet152-394f9c45.pth",
    "resnext50_32x4d": "resnext50_32x4d-7cdf4587.pth",
    "resnext101_32x8d": "resnext101_32x8d-8ba56ff5.pth",
    "wide_resnet50_2": "wide_resnet50_2-95faca4d.pth",
    "wide_resnet101_2": "wide_resnet101_2-32ee1156.pth",
}


@cache
def shipped() -> dict[tuple[str, str], Path]:
    """{(model, name of its weights): file} of the weights that MiniRes brings along."""
    files = sorted(FOLDER.glob("*-*.safetensors"))
    return {(file.stem.split("-", 1)[0], file.stem.split("-", 1)[1]): file for file in files}


def names() -> tuple[str, ...]:
    """The names of weights: "imagenet", "cifar10", and the data sets of others that MiniRes brings along."""
    return tuple(sorted({"imagenet", "cifar10"} | {name for _, name in shipped()}))


def is_name(value: str | os.PathLike[str]) -> bool:
    """Whether `value` names weights, and no file: a file of such a name is given as ./cifar10."""
    return os.fspath(value) in names()


def locate(model: str | None, name: str, download: bool = True) -> tuple[str, Path]:
    """(model, file) of the weights called `name`, which are downloaded if need be.

    Without a model it is the one that has such weights; if several have, the deepest.

    Raises WeightsError, saying what there is, for a name or a model without weights; and if a download is not allowed
    or fails.
    """
    if name == "imagenet":
        if model is None:
            raise WeightsError(f"imagenet: name the network whose weights are meant: {', '.join(IMAGENET_FILES)}")
        return model, _imagenet(model, download)
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
    """The arrays called `name` of the network `model`, as they are stored. Raises WeightsError as `locate` does."""
    return weights.load(locate(model, name)[1])


def _depth(model: str) -> int:
    return int("".join(filter(str.isdigit, model)) or 0)


def _what_there_is() -> str:
    found = ", ".join(f"{name} for {model}" for model, name in shipped())
    return f"there are {found}, and imagenet for {', '.join(IMAGENET_FILES)}"


def _imagenet(model: str, download: bool) -> Path:
    """torchvision's file, in the cache. Raises WeightsError."""
    if model not in IMAGENET_FILES:
        raise WeightsError(f"{model} has no weights 'imagenet' here: {_what_there_is()}. A file of your own: its path")
    file = cache_folder() / IMAGENET_FILES[model]
    if file.is_file():
        return file
    url = ADDRESS + file.name
    if not download:
        raise WeightsError(f"{_missing(model, file)} and downloading is switched off: fetch {url} and put it there")
    from minires import transfer  # here: Python's libraries for the network are many

    digits = file.stem.rsplit("-", 1)[1]
    try:
        transfer.fetch(url, digits, file, "sha256")
    except (OSError, transfer.HTTPException) as error:
        detail = getattr(error, "reason", None) or str(error) or repr(error)
        raise WeightsError(
            f"{_missing(model, file)} and downloading {url} failed ({detail}). Run it again to resume, or fetch that "
            "file elsewhere and put it there"
        ) from error
    return file


def _missing(model: str, file: Path) -> str:
    return f"the ImageNet weights of {model} are not at {file},"
