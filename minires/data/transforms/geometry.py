"""Transforms that move pixels: resizing, cropping, flipping.

Sizes, rounding and padding are exactly torchvision's for PIL images: published accuracies are measured with them, and a
centre crop that is off by one pixel changes the result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minires.data.transforms.base import Pixels, Transform, check_size, from_pil, generator, is_stored, to_pil
from minires.errors import DataError

MAX_PIXELS = 89_478_485  # of a resized image: Pillow's limit for an image that is read


def height_width(image: Pixels) -> tuple[int, int]:
    """(height, width) of an image in either layout."""
    height, width = image.shape[-3:-1] if is_stored(image) else image.shape[-2:]
    return height, width


def crop(image: Pixels, top: int, left: int, height: int, width: int) -> Pixels:
    """The given rectangle, as a view."""
    rows, columns = slice(top, top + height), slice(left, left + width)
    return image[..., rows, columns, :] if is_stored(image) else image[..., rows, columns]


def flip(image: Pixels) -> Pixels:
    """The image mirrored horizontally, as a view."""
    return image[..., ::-1, :] if is_stored(image) else image[..., ::-1]


def pad(image: Pixels, left: int, top: int, right: int, bottom: int) -> Pixels:
    """The image with zeros added at each edge: black, or after normalisation the mean colour."""
    height, width = height_width(image)
    leading, size = image.shape[:-3], (top + height + bottom, left + width + right)
    shape = (*leading, *size, image.shape[-1]) if is_stored(image) else (*leading, image.shape[-3], *size)
    padded = np.zeros(shape, image.dtype)
    crop(padded, top, left, height, width)[...] = image
    return padded


INTERPOLATIONS = ("bilinear", "bicubic")  # Pillow's filters, which antialias when they reduce the size


def check_interpolation(owner: object, interpolation: str) -> None:
    """Raise DataError for another interpolation than INTERPOLATIONS."""
    if interpolation not in INTERPOLATIONS:
        raise DataError(f"{owner}: interpolation must be one of {', '.join(map(repr, INTERPOLATIONS))}")


def resize(image: Pixels, height: int, width: int, interpolation: str = "bilinear") -> Pixels:
    """One uint8 image resized by one of Pillow's filters, which antialias when they reduce the size.

    Raises DataError for more than MAX_PIXELS: an image of one row, enlarged until its short side fits a network, would
    fill any memory.
    """
    from PIL import Image

    if height * width > MAX_PIXELS:
        raise DataError(
            f"an image of {image.shape[1]}x{image.shape[0]} pixels would be resized to {width}x{height}, more than "
            f"{MAX_PIXELS:,} pixels: crop it first"
        )

    return from_pil(to_pil(image).resize((width, height), Image.Resampling[interpolation.upper()]))


@dataclass(frozen=True)
class Resize(Transform):
    """Scales one uint8 image so that its short side has `size` pixels, and the long side ⌊size · long / short⌋.

    As torchvision's Resize(size, interpolation) on a PIL image: "bilinear" or "bicubic", with antialiasing. Raises
    DataError for another interpolation, and for an image so narrow that the result would have more than MAX_PIXELS
    pixels.
    """

    size: int
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        check_size(self, self.size)
        check_interpolation(self, self.interpolation)

    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels:
        height, width = height_width(image)
        if height <= width:
            return resize(image, self.size, int(self.size * width / height), self.interpolation)
        return resize(image, int(self.size * height / width), self.size, self.interpolation)


@dataclass(frozen=True)
class CenterCrop(Transform):
    """The central `size` x `size` pixels; a smaller image is first padded with zeros. As torchvision's CenterCrop.

    For an odd difference d, round(d / 2) pixels remain at the top or left, where halves round to even as in Python and
    torchvision. Padding puts the odd row or column at the bottom or right.
    """

    size: int

    def __post_init__(self) -> None:
        check_size(self, self.size)

    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels:
        height, width = height_width(image)
        if height < self.size or width < self.size:
            lack_y, lack_x = max(self.size - height, 0), max(self.size - width, 0)
            image = pad(image, lack_x // 2, lack_y // 2, (lack_x + 1) // 2, (lack_y + 1) // 2)
            height, width = height_width(image)
        top, left = round((height - self.size) / 2), round((width - self.size) / 2)
        return crop(image, top, left, self.size, self.size)


@dataclass(frozen=True)
class TenCrop(Transform):
    """The four corners and the centre, then the same five of the mirrored image: (..., H, W, C) -> (10, ..., S, S, C).

    The order is torchvision's: top left, top right, bottom left, bottom right, centre, then the same mirrored. Ten-crop
    testing (Krizhevsky et al. 2012, section 4.1) averages the network's outputs for the ten.
    """

    size: int

    def __post_init__(self) -> None:
        check_size(self, self.size)

    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels:
        return np.stack([*self._five(image), *self._five(flip(image))])

    def _five(self, image: Pixels) -> list[Pixels]:
        height, width = height_width(image)
        _check_fits(self, self.size, height, width)
        bottom, right = height - self.size, width - self.size
        corners = [crop(image, top, left, self.size, self.size) for top in (0, bottom) for left in (0, right)]
        return [*corners, CenterCrop(self.size)(image)]


@dataclass(frozen=True)
class RandomCrop(Transform):
    """A random crop of `size` x `size` pixels, after padding every edge with `padding` zeros.

    With size 32 and padding 4, this is the augmentation of the CIFAR experiments (He et al. 2015, section 4.2). There,
    padding follows the subtraction of the mean, so the transform belongs after `PerPixelMean` or `Normalize`; before
    them, the padding would be black.
    """

    size: int
    padding: int = 0
    random = True

    def __post_init__(self) -> None:
        check_size(self, self.size)
        if self.padding < 0:
            raise DataError(f"RandomCrop: the padding must be 0 or more, not {self.padding}")

    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels:
        if self.padding:
            image = pad(image, self.padding, self.padding, self.padding, self.padding)
        height, width = height_width(image)
        _check_fits(self, self.size, height, width)
        draw = generator(self, rng).integers
        top, left = int(draw(height - self.size + 1)), int(draw(width - self.size + 1))
        return crop(image, top, left, self.size, self.size)


@dataclass(frozen=True)
class RandomResizedCrop(Transform):
    """A rectangle of random area and aspect ratio, resized to `size` x `size`: the usual augmentation for ImageNet.

    It takes one uint8 image. The area is uniform in `scale` times the image's, and width / height is log-uniform in
    `ratio` (Szegedy et al. 2014, section 6). If ten tries give no rectangle inside the image, the largest central
    rectangle with a ratio in range is used. As torchvision's RandomResizedCrop, "bilinear" or "bicubic".
    """

    size: int
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    interpolation: str = "bilinear"
    random = True

    def __post_init__(self) -> None:
        check_size(self, self.size)
        check_interpolation(self, self.interpolation)
        if not (0 < self.scale[0] <= self.scale[1] and 0 < self.ratio[0] <= self.ratio[1]):
            raise DataError(f"{self}: scale and ratio are (smallest, largest), both above 0")

    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels:
        rectangle = self.rectangle(*height_width(image), generator(self, rng))
        return resize(np.ascontiguousarray(crop(image, *rectangle)), self.size, self.size, self.interpolation)

    def rectangle(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """A random (top, left, height, width) for an image of the given height and width."""
        for _ in range(10):
            area = height * width * rng.uniform(*self.scale)
            aspect = math.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
        h, w = height, width
        if width / height < self.ratio[0]:
            h = round(width / self.ratio[0])
        elif width / height > self.ratio[1]:
            w = round(height * self.ratio[1])
        return (height - h) // 2, (width - w) // 2, h, w


@dataclass(frozen=True)
class RandomHorizontalFlip(Transform):
    """Mirrors the image horizontally with probability `p`."""

    p: float = 0.5
    random = True

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise DataError(f"RandomHorizontalFlip: p is a probability, not {self.p}")

    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels:
        return flip(image) if generator(self, rng).random() < self.p else image


def _check_fits(transform: Transform, size: int, height: int, width: int) -> None:
    if height < size or width < size:
        raise DataError(
            f"{transform!r} needs at least {size}x{size} pixels and got {height}x{width} (height x width): resize "
            f"first, or choose a smaller size"
        )
