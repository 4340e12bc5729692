"""Data sets by name: one call for whatever `--data` says on the command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from minires.data.base import ArrayDataset, split
from minires.data.cifar import cifar10
from minires.data.download import data_root
from minires.data.folder import ImageFolder
from minires.data.idx import fashion_mnist, mnist
from minires.data.optdigits import digits
from minires.errors import DataError

# Each reads one part (to train on, or to test) below a root folder, and may download what is missing there.
PUBLISHED: dict[str, Callable[[Path, bool, bool], ArrayDataset]] = {
    "digits": lambda root, train, download: digits(train),
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
}
VALIDATION_FOLDERS = ("val", "valid", "validation", "test")


def load(
    name: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    train: bool = True,
    download: bool = True,
) -> ArrayDataset | ImageFolder:
    """The data set called `name`: the part to train on, or with `train=False` the part to test on.

    "digits" comes with MiniRes. "mnist", "fashion-mnist" and "cifar10" are looked for below `root` as their publishers
    lay them out (ROOT/MNIST/*.gz, ROOT/FashionMNIST/*.gz, also unpacked or in torchvision's `raw` sub folders;
    ROOT/cifar-10-batches-bin/*.bin, or the archive cifar-10-binary.tar.gz), and downloaded there when they are missing
    and `download` allows it. `root` defaults to $MINIRES_DATA, else to ~/.cache/minires.

    Any other name is the path of a folder of images by class (`ImageFolder`). Where it holds `train` and one of `val`,
    `valid`, `validation`, `test`, those are the two parts, labelled alike; otherwise it is one whole and comes back
    whole whatever `train` says (`load_for_training` divides it).

    Raises DataError: unknown name; files missing, and downloading not allowed or impossible; damaged files.
    """
    if name in PUBLISHED:
        return PUBLISHED[str(name)](data_root(root), train, download)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise DataError(f"no data set or folder called {os.fspath(name)!r}; known data sets are {', '.join(PUBLISHED)}")
    validation = _validation_folder(folder)
    if validation is None:
        return ImageFolder(folder)
    trained_on = ImageFolder(folder / "train")
    return trained_on if train else ImageFolder(validation, classes=trained_on.classes)


def load_for_training(
    name: str | os.PathLike[str], root: str | os.PathLike[str] | None = None, download: bool = True
) -> tuple[ArrayDataset | ImageFolder, ArrayDataset | ImageFolder]:
    """`(train, validation)` parts of the data set called `name`, never overlapping.

    They are the two parts of `load`; a folder of images that is not divided into two has a fifth of each class held
    out, always the same one.
    """
    train = load(name, root, True, download)
    if isinstance(train, ImageFolder) and _validation_folder(Path(name).expanduser()) is None:
        return split(train, fraction=0.2)
    return train, load(name, root, False, download)


def _validation_folder(folder: Path) -> Path | None:
    """The folder of the second part, where `folder` is divided into two."""
    if not (folder / "train").is_dir():
        return None
    return next((folder / name for name in VALIDATION_FOLDERS if (folder / name).is_dir()), None)
