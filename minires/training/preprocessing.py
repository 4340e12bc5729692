"""How the images of each data set are prepared for the network, in training and in evaluation.

The preprocessing is stored in the checkpoint, so whoever uses the weights prepares images as they were in training.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from minires.data import Dataset, ImageFolder
from minires.data import transforms as T
from minires.data.transforms import PRESETS
from minires.data.transforms.geometry import INTERPOLATIONS
from minires.errors import DataError
from minires.weights.messages import brief
from minires.weights.published import of_file

MAX_IMAGE_SIZE = 2048  # pixels, height and width; a file that claims more could exhaust the memory


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the network's input.

    Attributes:
        size: height and width of the input in pixels.
        mean, std: of each channel, in units of 255: the input is (x/255 − mean)/std.
        resize: the length in pixels to which the short side is scaled before cropping; None for no scaling.
        padding: in training, crop from the image padded by this many pixels of the mean colour (He et al. 2015, §4.2).
        flip: in training, mirror half of the images.
        interpolation: the filter of the scaling, "bilinear" or "bicubic".
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | None = None
    padding: int = 0
    flip: bool = False
    interpolation: str = "bilinear"

    def training(self) -> T.Transform:
        """The transform with random crops and flips.

        Images that are scaled are cropped at a random size and aspect ratio (Szegedy et al. 2014); others are padded.
        """
        normalize = T.Normalize(self.mean, self.std)
        flip = [T.RandomHorizontalFlip()] if self.flip else []
        if self.resize is not None:
            return T.Compose([T.RandomResizedCrop(self.size, interpolation=self.interpolation), *flip, normalize])
        crop = [T.RandomCrop(self.size, self.padding)] if self.padding else []
        return T.Compose([normalize, *crop, *flip])  # after normalisation the padding's zeros are the mean colour

    def evaluation(self) -> T.Transform:
        """The transform without randomness: resize, centre crop, normalise."""
        fit = [] if self.resize is None else [T.Resize(self.resize, self.interpolation), T.CenterCrop(self.size)]
        return T.Compose([*fit, T.Normalize(self.mean, self.std)])

    def normalized_as(self, preset: str) -> Preprocessing:
        """The same with the mean and standard deviation of another data set, named as in `Normalize.preset`.

        Raises DataError for an unknown name.
        """
        if preset not in PRESETS:
            raise DataError(f"no normalisation is called {preset!r}; known are {', '.join(PRESETS)}")
        mean, std = PRESETS[preset]
        return replace(self, mean=mean, std=std)

    def to_dict(self) -> dict[str, Any]:
        """The attributes as a dict that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Preprocessing:
        """The inverse of `to_dict`, also after JSON has made lists of the tuples.

        Raises KeyError, TypeError, ValueError or OverflowError for anything else, and for sizes beyond MAX_IMAGE_SIZE.
        """
        mean, std = (tuple(map(float, stored[key])) for key in ("mean", "std"))
        found = cls(**{**stored, "mean": mean, "std": std})
        resize = found.size if found.resize is None else found.resize
        for name, value, least in (("size", found.size, 1), ("resize", resize, 1), ("padding", found.padding, 0)):
            most = MAX_IMAGE_SIZE if name == "size" else 2 * MAX_IMAGE_SIZE
            if not isinstance(value, int) or not least <= value <= most:
                raise ValueError(f"{name} of the images is {brief(value)}")
        if found.interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation of the images is {brief(found.interpolation)}")
        return found


def stored_preprocessing(metadata: Mapping[str, Any]) -> Preprocessing | None:
    """The Preprocessing in a checkpoint's metadata, whose entry is called "recipe"; None if there is none.

    Raises as `Preprocessing.from_dict` does.
    """
    return Preprocessing.from_dict(metadata["recipe"]) if "recipe" in metadata else None


def published_preprocessing(path: str | os.PathLike[str]) -> Preprocessing | None:
    """How the publisher of weights prepares images; None unless `weights.fetch` has fetched the file by its name."""
    row = of_file(Path(path))
    if row is None:
        return None
    return Preprocessing(row.size, row.mean, row.std, resize=row.resize, flip=True, interpolation=row.interpolation)


# Digits are not mirrored, clothes and objects are. The 8×8 digits are not shifted either: they fill their square, a
# pixel is an eighth of it, and a shift costs ResNet-8 half a percent of accuracy.
PREPROCESSINGS = {
    "digits": Preprocessing(8, *PRESETS["digits"]),
    "mnist": Preprocessing(28, *PRESETS["mnist"], padding=2),
    "fashion-mnist": Preprocessing(28, *PRESETS["fashion-mnist"], padding=2, flip=True),
    "cifar10": Preprocessing(32, *PRESETS["cifar10"], padding=4, flip=True),
}
IMAGENET_PREPROCESSING = Preprocessing(224, *PRESETS["imagenet"], resize=256, flip=True)  # torchvision's


def preprocessing_for(dataset: Dataset, image_size: int | None = None) -> Preprocessing:
    """The usual preprocessing of a data set: the papers' for published ones, ImageNet's for a folder of photographs.

    `image_size` is the input size for a folder, 224 by default; its images are first resized to 8/7 of it. Raises
    DataError if it is given for a data set whose images already have one size.
    """
    if not isinstance(dataset, ImageFolder):
        if image_size is not None:
            raise DataError(f"{dataset.name}: its images have one size already; an image size is for folders of images")
        return PREPROCESSINGS[dataset.name]
    if image_size is None:
        return IMAGENET_PREPROCESSING
    return replace(IMAGENET_PREPROCESSING, size=image_size, resize=round(image_size * 8 / 7))
