"""Transforms from stored bytes to the input of a network: float32 (..., C, H, W), centred and scaled."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from minires.data.base import Dataset
from minires.data.transforms.base import Pixels, Transform, is_stored
from minires.errors import DataError, ShapeError

# Mean and standard deviation of each channel over the training images, in units of 255.
PRESETS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # for torchvision's published networks
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "mnist": ((0.1307,), (0.3081,)),
    "fashion-mnist": ((0.2860,), (0.3530,)),
    "digits": ((0.3059,), (0.3762,)),
    "none": ((0.0,), (1.0,)),
}

_FAR = 10.0  # no image between 0 and 1, however its colours were shifted, has such a number


def as_float(image: Pixels) -> npt.NDArray[np.float32]:
    """A new float32 array (..., C, H, W): uint8 divided by 255, float32 copied."""
    if not is_stored(image):
        return np.array(image, dtype=np.float32, order="C")
    axes = (*range(image.ndim - 3), image.ndim - 1, image.ndim - 3, image.ndim - 2)
    numbers = image.transpose(axes).astype(np.float32, order="C")
    numbers /= np.float32(255)
    return numbers


class ToFloat(Transform):
    """uint8 (..., H, W, C) of 0..255 -> float32 (..., C, H, W) of 0..1, as torchvision's ToTensor."""

    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels:
        return as_float(image)

    def __repr__(self) -> str:
        return "ToFloat()"


class Normalize(Transform):
    """(x / 255 - mean) / std for each channel: uint8 (..., H, W, C) -> float32 (..., C, H, W).

    `mean` and `std` have one number per channel, or one for all. A float32 image (after `ToFloat` or `Lighting`) is not
    divided by 255. The result equals torchvision's ToTensor and Normalize in float32, bit for bit.

    Raises DataError for other numbers of channels than 1 and 3, a std that is not positive, and numbers that are not
    finite; when called, if mean and std are in units of 0…255 and the image is not, or the other way round.
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean, self.std = _numbers(mean), _numbers(std)
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3) or not all(s > 0 for s in self.std):
            raise DataError(f"{self}: mean and std take 1 or 3 numbers each, and std must be above 0")
        if not all(map(math.isfinite, self.mean + self.std)):
            raise DataError(f"{self}: mean and std must be finite")
        self.centres = any(self.mean)
        self._of_255 = max(self.mean + self.std) > 1 or min(self.mean) < 0  # not of images between 0 and 1
        self._mean = np.array(self.mean, dtype=np.float32).reshape(-1, 1, 1)
        self._std = np.array(self.std, dtype=np.float32).reshape(-1, 1, 1)

    @classmethod
    def preset(cls, name: str) -> Normalize:
        """A Normalize with the published mean and deviation of a data set.

        name: "imagenet", "cifar10", "mnist", "fashion-mnist", "digits", or "none".

        Raises DataError for another name.
        """
        if name not in PRESETS:
            raise DataError(f"no normalisation is called {name!r}; known are {', '.join(PRESETS)}")
        return cls(*PRESETS[name])

    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels:
        stored = is_stored(image)
        if stored and self._of_255:
            raise DataError(
                f"{self}: a uint8 image is divided by 255 first, so mean and std must lie in 0…1: divide them"
            )
        numbers = as_float(image)
        if not stored and not self._of_255 and self.centres and numbers.max(initial=0) > _FAR:
            raise DataError(
                f"{self}: a float32 image is taken as it is, and this one has {numbers.max():g} where 0…1 is expected: "
                "divide it by 255, or keep it uint8"
            )
        if len(self.mean) not in (1, numbers.shape[-3]):
            raise ShapeError(f"{self} is for {len(self.mean)} channels, the image has {numbers.shape[-3]}")
        numbers -= self._mean
        numbers /= self._std
        return numbers

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


def _numbers(value: float | Sequence[float]) -> tuple[float, ...]:
    return tuple(value) if isinstance(value, (Sequence, np.ndarray)) else (value,)


class PerPixelMean(Transform):
    """x / 255 - mean, with a separate mean for every pixel: the preprocessing of the papers for CIFAR and ImageNet.

    `mean` is (C, H, W) in units of 255 (He et al. 2015, section 4.2; Krizhevsky et al. 2012, section 2). Images must
    have its size, so the transform belongs before a random crop. Raises ShapeError for a mean of another shape.
    """

    centres = True

    def __init__(self, mean: npt.ArrayLike) -> None:
        self.mean = np.array(mean, dtype=np.float32)
        if self.mean.ndim != 3 or self.mean.shape[0] not in (1, 3):
            raise ShapeError(f"a per-pixel mean has shape (C, H, W) with 1 or 3 channels, not {self.mean.shape}")

    @classmethod
    def of(cls, dataset: Dataset) -> PerPixelMean:
        """The transform with the mean image of `dataset`, which must be the training images, never the test images.

        Raises DataError if the images differ in size, or if there are none.
        """
        if len(dataset) == 0:
            raise DataError(f"{dataset.name} is empty: it has no mean image")
        first, _ = dataset[0]
        total = np.zeros(first.shape)
        for index in range(len(dataset)):
            image, _ = dataset[index]
            if image.shape != first.shape:
                raise DataError(
                    f"{dataset.name}: a per-pixel mean needs images of one size, but image 0 is {first.shape} and "
                    f"image {index} is {image.shape}"
                )
            total += image
        return cls(total.transpose(2, 0, 1) / (255 * len(dataset)))

    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels:
        numbers = as_float(image)
        if numbers.shape[-3:] != self.mean.shape:
            raise ShapeError(f"{self} does not fit an image {numbers.shape[-3:]} (C, H, W): put it before any crop")
        numbers -= self.mean
        return numbers

    def __repr__(self) -> str:
        return "PerPixelMean({}x{}x{})".format(*self.mean.shape)
