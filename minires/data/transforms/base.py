"""The interface of a transform: an object that is called with an image and a random generator.

    image' = transform(image, rng)

An image has one of two layouts, which its dtype shows: uint8 (..., H, W, C), as it is stored, or float32 (..., C, H,
W), as a network reads it. Cropping and flipping accept both. `ToFloat`, `Normalize`, `PerPixelMean` and `Lighting`
convert the first into the second. Leading axes are allowed, so the ten crops of `TenCrop` can pass through further
transforms. No transform writes into its input, but a result may be a view of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from minires.errors import DataError, DtypeError, ShapeError

if TYPE_CHECKING:
    import PIL.Image

Pixels = npt.NDArray[Any]  # uint8 (..., H, W, C) or float32 (..., C, H, W)


class Transform(ABC):
    """Base class of transforms.

    Attributes:
        random: whether it draws from `rng`, which other transforms do not need.
        centres: whether it subtracts a mean, which is done once.
    """

    random: bool = False
    centres: bool = False

    @abstractmethod
    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels: ...


AnyTransform = Callable[[Any, Any], Pixels]  # a Transform, or a user's own function (image, rng) -> image


def is_random(transform: AnyTransform) -> bool:
    """Whether `transform` needs a generator; a function without the attribute `random` gets one."""
    return bool(getattr(transform, "random", True))


def check_transform(transform: Any) -> None:
    """Raise DataError unless `transform` can be called with an image, or is None."""
    if isinstance(transform, (list, tuple)):
        raise DataError("a list of transforms is none: use transforms.Compose([...])")
    if isinstance(transform, type):
        raise DataError(f"the transform {transform.__name__} is a class: write {transform.__name__}(...)")
    if transform is not None and not callable(transform):
        raise DataError(f"a transform is a function (image, rng) -> image, not {transform!r}")


class Compose(Transform):
    """Applies transforms (or functions of the same form) one after another, all with the same `rng`."""

    def __init__(self, transforms: Sequence[AnyTransform]) -> None:
        if callable(transforms):
            raise DataError("Compose: takes a list of transforms: Compose([...])")
        self.transforms = tuple(transforms)
        for number, transform in enumerate(self.transforms):
            check_transform(transform)
            if transform is None:
                raise DataError(f"Compose: transform {number} is None: leave it out")
        self.random = any(map(is_random, self.transforms))
        centring = [transform for transform in self.transforms if getattr(transform, "centres", False)]
        if len(centring) > 1:
            raise DataError(f"Compose: images would be normalised {len(centring)} times, by {centring}: once is meant")
        self.centres = bool(centring)

    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels:
        for transform in self.transforms:
            image = transform(image, rng)
        return image

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.transforms))}])"


def generator(transform: Transform, rng: np.random.Generator | None) -> np.random.Generator:
    """`rng`, or TypeError if a random transform was called without one."""
    if rng is None:
        raise TypeError(f"{transform!r} draws random numbers: call it as transform(image, np.random.default_rng(seed))")
    return rng


def check_size(transform: Transform, size: int) -> None:
    """Raise DataError unless `size` is a positive whole number of pixels."""
    if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
        raise DataError(f"{type(transform).__name__}: the size must be a positive whole number of pixels, not {size!r}")


def is_stored(image: Pixels) -> bool:
    """True for uint8 (..., H, W, C), False for float32 (..., C, H, W); otherwise raises DtypeError or ShapeError."""
    layouts = "an image is uint8 (..., H, W, C) or float32 (..., C, H, W), with C = 1 or 3"
    if image.dtype not in (np.uint8, np.float32):
        raise DtypeError(f"{layouts}, not {image.dtype} {image.shape}")
    stored = image.dtype == np.uint8
    if image.ndim < 3 or image.shape[-1 if stored else -3] not in (1, 3):
        raise ShapeError(f"{layouts}, not {image.dtype} {image.shape}")
    return stored


def to_pil(image: Pixels) -> PIL.Image.Image:
    """A uint8 image (H, W, C) as a Pillow image, "L" for 1 channel or "RGB" for 3. Raises ShapeError for others."""
    from PIL import Image

    if not is_stored(image) or image.ndim != 3:
        raise ShapeError(
            f"needs one uint8 image (H, W, C), not {image.dtype} {image.shape}: put this transform earlier"
        )
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def from_pil(image: PIL.Image.Image) -> Pixels:
    """A Pillow image, "L" or "RGB", as uint8 (H, W, C)."""
    pixels = np.asarray(image)
    return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels
