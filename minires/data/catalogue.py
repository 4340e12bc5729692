"""Finds data sets by name, as `--data` on the command line gives it."""

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

# {name: function (root, train, download)}: reads the training or the test part, and may download missing files.
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
    """The data set called `name`: its training part, or with `train=False` its test part.

    "digits" is part of MiniRes. "mnist", "fashion-mnist" and "cifar10" are read from the files of their publishers
    below `root`: ROOT/MNIST/*.gz and ROOT/FashionMNIST/*.gz (also unpacked, or in torchvision's `raw` sub folders),
    ROOT/cifar-10-batches-bin/*.bin (or the archive ROOT/cifar-10-binary.tar.gz).

    Any other name is the path of a folder of images by class (`ImageFolder`). If it contains `train` and one of `val`,
    `valid`, `validation`, `test`, these are the two parts, with the same classes. Otherwise the folder is undivided and
    returned whole, for either value of `train`; `load_for_training` splits it.

    `root` is by default $MINIRES_DATA, else ~/.cache/minires. Missing files are downloaded there if `download` is True.

    Raises DataError if the name is unknown, if files are damaged, or if they are missing and cannot be downloaded.
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
    """The disjoint `(train, validation)` parts of the data set called `name`.

    They are the two parts of `load`. From an undivided folder of images, a fixed fifth of each class is held out. The
    arguments and errors are those of `load`.
    """
    train = load(name, root, True, download)
    if isinstance(train, ImageFolder) and _validation_folder(Path(name).expanduser()) is None:
        return split(train, fraction=0.2)
    return train, load(name, root, False, download)


def _validation_folder(folder: Path) -> Path | None:
    """The folder of the test part; None if `folder` is undivided."""
    if not (folder / "train").is_dir():
        return None
    return next((folder / name for name in VALIDATION_FOLDERS if (folder / name).is_dir()), None)
