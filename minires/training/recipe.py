"""What is done to the images of each data set, in training and in use.

The recipe travels in the checkpoint, so that whoever uses the weights prepares images as they were in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from minires.data import Dataset, ImageFolder
from minires.data.transforms import (
    PRESETS,
    CenterCrop,
    Compose,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    Resize,
    Transform,
)
from minires.errors import DataError
from minires.weights.messages import brief

LARGEST_IMAGE = 2048  # pixels, height and width; a file that asks for more asks for all of the memory


@dataclass(frozen=True)
class Recipe:
    """How an image becomes the network's input.

    Attributes:
        size: height and width of the input in pixels.
        mean, std: of each channel, in units of 255; (x/255 − mean)/std.
        resize: scale the short side to this before cropping; None where the images have the right size already.
        padding: in training, crop from the image padded by so many pixels of the mean colour (He et al. 2015, §4.2).
        flip: in training, mirror half of the images.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | None = None
    padding: int = 0
    flip: bool = False

    def training(self) -> Transform:
        """With random crops and flips: padding for images of the right size, Inception's crops for others."""
        normalize = Normalize(self.mean, self.std)
        flip = [RandomHorizontalFlip()] if self.flip else []
        if self.resize is not None:
            return Compose([RandomResizedCrop(self.size), *flip, normalize])
        crop = [RandomCrop(self.size, self.padding)] if self.padding else []
        return Compose([normalize, *crop, *flip])  # the zeros of the padding are then the mean colour

    def evaluation(self) -> Transform:
        """The same image always: resized, the middle cut out, normalised."""
        fit = [] if self.resize is None else [Resize(self.resize), CenterCrop(self.size)]
        return Compose([*fit, Normalize(self.mean, self.std)])

    def normalized_as(self, preset: str) -> Recipe:
        """With the mean and deviation of another data set: those that the weights were trained with."""
        if preset not in PRESETS:
            raise DataError(f"no normalisation is called {preset!r}; known are {', '.join(PRESETS)}")
        mean, std = PRESETS[preset]
        return replace(self, mean=mean, std=std)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Recipe:
        """What `to_dict` gave, also after its way through a file.

        Raises KeyError, TypeError, ValueError or OverflowError for anything else, and for images beyond all measure.
        """
        mean, std = (tuple(map(float, stored[key])) for key in ("mean", "std"))
        recipe = cls(**{**stored, "mean": mean, "std": std})
        resize = recipe.size if recipe.resize is None else recipe.resize
        for name, value, least in (("size", recipe.size, 1), ("resize", resize, 1), ("padding", recipe.padding, 0)):
            most = LARGEST_IMAGE if name == "size" else 2 * LARGEST_IMAGE
            if not isinstance(value, int) or not least <= value <= most:
                raise ValueError(f"{name} of the images is {brief(value)}")
        return recipe


# Handwriting is not mirrored, clothes and things are. The 8×8 digits are not shifted either: they fill their square, a
# pixel is an eighth of it, and a shift costs ResNet-8 half a percent of accuracy.
RECIPES = {
    "digits": Recipe(8, *PRESETS["digits"]),
    "mnist": Recipe(28, *PRESETS["mnist"], padding=2),
    "fashion-mnist": Recipe(28, *PRESETS["fashion-mnist"], padding=2, flip=True),
    "cifar10": Recipe(32, *PRESETS["cifar10"], padding=4, flip=True),
}
PHOTOGRAPHS = Recipe(224, *PRESETS["imagenet"], resize=256, flip=True)  # as torchvision trains and tests ImageNet's


def recipe_for(dataset: Dataset, image_size: int | None = None) -> Recipe:
    """The usual recipe of a data set: the papers' for the published ones, ImageNet's for a folder of photographs.

    `image_size` is for folders, whose images are brought to one size: 224 unless given, cut out of 8/7 of that. Raises
    DataError where it is given for a data set whose images have a size of their own.
    """
    if not isinstance(dataset, ImageFolder):
        if image_size is not None:
            raise DataError(f"{dataset.name}: its images have one size already; an image size is for folders of images")
        return RECIPES[dataset.name]
    if image_size is None:
        return PHOTOGRAPHS
    return replace(PHOTOGRAPHS, size=image_size, resize=round(image_size * 8 / 7))
