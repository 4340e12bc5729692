"""Reads a folder of images by class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minires.data.base import Image, Labels
from minires.data.images import open_image
from minires.errors import DataError

EXTENSIONS = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
KINDS = " ".join(sorted(EXTENSIONS))


class ImageFolder:
    """A folder of images by class: each sub folder is a class, and every image in it, at any depth, is a sample.

        flowers/daisy/01.jpg        classes == ("daisy", "tulip"), in alphabetical order
        flowers/daisy/more/02.png   dataset[i] == (uint8 (H, W, 3), label), decoded by `open_image` at each access
        flowers/tulip/03.jpg

    The layout and the order are those of torchvision's ImageFolder; hidden files are skipped.

    Args:
        path: the folder.
        classes: the class names that labels index; by default the names of the sub folders. The sub folders may be a
            part of them, for example in a validation folder that lacks a class, and some may be empty.

    Raises DataError if the folder is missing, has no sub folders or no images, or if a sub folder is not in `classes`,
    or, without `classes`, has no images.
    """

    def __init__(self, path: str | os.PathLike[str], classes: Sequence[str] | None = None) -> None:
        root = Path(path).expanduser()
        found = _class_folders(root)
        known = tuple(classes) if classes is not None else tuple(folder.name for folder in found)
        if len(set(known)) < len(known):
            raise DataError(f"{root}: a class is named twice among {', '.join(known[:12])}")
        unknown = [folder.name for folder in found if folder.name not in known]
        if unknown:
            raise DataError(f"{root}: the sub folders {', '.join(unknown)} are none of the {len(known)} known classes")
        paths: list[Path] = []
        labels: list[int] = []
        for folder in found:
            images = _image_files(folder)
            if not images and classes is None:
                raise DataError(
                    f"{folder} holds no images (of the kinds {KINDS}); remove it, or name the classes that may be "
                    "empty: ImageFolder(path, classes=[…])"
                )
            paths += images
            labels += [known.index(folder.name)] * len(images)
        if not paths:
            raise DataError(f"{root} holds no images in its sub folders (of the kinds {KINDS})")
        self.paths = tuple(paths)
        self.labels: Labels = np.array(labels, dtype=np.int64)
        self.classes = known
        self.name = root.name or str(root)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Image, int]:
        return open_image(self.paths[index]), int(self.labels[index])

    def subset(self, indices: npt.ArrayLike) -> ImageFolder:
        """A data set of the samples at `indices` (M,), in that order, or in a mask (N,), with the same classes."""
        chosen = np.asarray(indices)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise DataError(f"{self.name}: a mask {chosen.shape} is not one of {len(self)} images")
            chosen = np.flatnonzero(chosen)
        part = copy(self)
        part.paths = tuple(self.paths[index] for index in chosen)
        part.labels = self.labels[chosen]
        return part

    def __repr__(self) -> str:
        return f"ImageFolder({self.name!r}: {len(self)} images, {len(self.classes)} classes)"


def _class_folders(root: Path) -> list[Path]:
    layout = f"expected {root}/CLASS/IMAGE.jpg, one sub folder for each class"
    try:
        entries = sorted(root.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{root} cannot be read as a folder of images ({error.strerror}); {layout}") from error
    folders = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    if not folders:
        raise DataError(f"{root} has no sub folders; {layout}")
    return folders


def _image_files(folder: Path) -> list[Path]:
    folders = sorted(os.walk(folder, followlinks=True))
    images = (Path(parent, name) for parent, _, names in folders for name in sorted(names) if _is_image(name))
    return [path for path in images if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS
