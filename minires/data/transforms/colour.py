"""Transforms that change colours, so that a network does not learn the camera or the time of day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minires.data.transforms.base import Pixels, Transform, from_pil, generator, to_pil
from minires.data.transforms.normalize import as_float
from minires.errors import DataError, ShapeError

if TYPE_CHECKING:
    from PIL.Image import Image

# Principal components of the RGB values (0..1) of ImageNet's training images: eigenvalues, and eigenvectors as columns.
# The numbers are from Facebook's ResNet training code (2016); Krizhevsky et al. 2012, section 4.1, gives none.
PCA_EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
PCA_EIGENVECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


Strength = float | tuple[float, float]
JITTERED = ("brightness", "contrast", "saturation", "hue")


@dataclass(frozen=True)
class ColorJitter(Transform):
    """Changes brightness, contrast, saturation and hue at random, in random order. As torchvision's ColorJitter.

    It takes one uint8 image (H, W, C). Each of the first three is multiplied by a factor uniform in
    [max(0, 1 - v), 1 + v] for a strength v. The hue turns by a fraction of the colour circle uniform in [-hue, hue]; a
    grey image has none. Instead of a strength, each argument may be the range itself, (lowest, highest).

    Raises DataError for strengths below 0 and for a hue beyond 0.5.
    """

    brightness: Strength = 0.0
    contrast: Strength = 0.0
    saturation: Strength = 0.0
    hue: Strength = 0.0
    random = True

    def __post_init__(self) -> None:
        for name in JITTERED:
            low, high = self._range(name)
            lowest, highest = (-0.5, 0.5) if name == "hue" else (0.0, math.inf)
            if not lowest <= low <= high <= highest:
                raise DataError(
                    f"{self}: strengths must be 0 or more, and hue at most 0.5 (half the colour circle); a range is "
                    f"(lowest, highest) within {lowest} and {highest}"
                )

    def _range(self, name: str) -> tuple[float, float]:
        """(lowest, highest) factor of `name`, or turn of the hue."""
        strength: Strength = getattr(self, name)
        if isinstance(strength, (tuple, list)):
            low, high = strength
            return low, high
        return (-strength, strength) if name == "hue" else (max(0.0, 1 - strength), 1 + strength)

    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels:
        rng = generator(self, rng)
        picture = to_pil(image)
        for index in rng.permutation(len(JITTERED)):
            name = JITTERED[index]
            low, high = self._range(name)
            if low == high == (0 if name == "hue" else 1):  # no change
                continue
            if name == "hue":
                picture = turn_hue(picture, rng.uniform(low, high))
            else:
                picture = blend(picture, name, rng.uniform(low, high))
        return from_pil(picture)


def blend(picture: Image, name: str, factor: float) -> Image:
    """factor * picture + (1 - factor) * reference, clipped to 0..255.

    The reference is black for "brightness", the mean grey for "contrast", the grey picture for "saturation".
    """
    from PIL import ImageEnhance

    enhancers = {
        "brightness": ImageEnhance.Brightness,
        "contrast": ImageEnhance.Contrast,
        "saturation": ImageEnhance.Color,
    }
    return enhancers[name](picture).enhance(factor)


def turn_hue(picture: Image, turn: float) -> Image:
    """The picture with every hue moved by the fraction `turn` of the colour circle, which in Pillow has 256 steps."""
    import PIL.Image

    if picture.mode == "L":
        return picture
    hue, saturation, value = picture.convert("HSV").split()
    steps = np.uint8(int(turn * 255) % 256)  # 255, not 256: torchvision's factor
    turned = PIL.Image.fromarray(np.asarray(hue) + steps)  # bytes wrap around, as the circle does
    return PIL.Image.merge("HSV", (turned, saturation, value)).convert("RGB")


@dataclass(frozen=True)
class Lighting(Transform):
    """Adds a random amount of each principal component of ImageNet's colours to every pixel.

        rgb' = rgb + P (a · λ),    a ~ N(0, strength²), three draws per image

    P has the eigenvectors as columns, and λ are the eigenvalues, of RGB values in 0..1. The method is that of
    Krizhevsky et al. 2012, section 4.1, with strength 0.1. uint8 (..., H, W, 3) -> float32 (..., 3, H, W), not clipped;
    it belongs before `Normalize`. Raises DataError for a strength below 0, ShapeError for a grey image.
    """

    strength: float = 0.1
    random = True

    def __post_init__(self) -> None:
        if self.strength < 0:
            raise DataError(f"Lighting: the strength is a standard deviation, not {self.strength}")

    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels:
        numbers = as_float(image)
        if numbers.shape[-3] != 3:
            raise ShapeError(f"{self} works on RGB, the image has {numbers.shape[-3]} channel")
        amounts = generator(self, rng).normal(0.0, self.strength, size=3)
        shift = PCA_EIGENVECTORS @ (amounts * PCA_EIGENVALUES)
        numbers += shift.astype(np.float32).reshape(3, 1, 1)
        return numbers
