"""What a transform is: a small object that is called with an image and a random generator.

    image' = transform(image, rng)

Two layouts travel through a chain, told apart by their dtype: uint8 (..., H, W, C), as an image is stored, and float32
(..., C, H, W), as a network reads it. Cropping and flipping work on both; whatever needs real numbers (`ToFloat`,
`Normalize`, `PerPixelMean`, `Lighting`) turns the first into the second. Leading axes are allowed, so that the ten
crops of `TenCrop` go through the rest of the chain. No transform writes into its input; a result may be a view of it.
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
    """`random` says whether it draws from `rng`; one that does not may be called with the image alone."""

    random: bool = False

    @abstractmethod
    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels: ...


AnyTransform = Callable[[Any, Any], Pixels]  # a Transform, or a user's own function (image, rng) -> image


def is_random(transform: AnyTransform) -> bool:
    """Whether `transform` needs a generator; a function that does not say is given one."""
    return bool(getattr(transform, "random", True))


class Compose(Transform):
    """The given transforms, or functions of the same form, one after the other, all drawing from the same `rng`."""

    def __init__(self, transforms: Sequence[AnyTransform]) -> None:
        self.transforms = tuple(transforms)
        self.random = any(map(is_random, self.transforms))

    def __call__(self, image: Pixels, rng: np.random.Generator | None = None) -> Pixels:
        for transform in self.transforms:
            image = transform(image, rng)
        return image

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.transforms))}])"


def generator(transform: Transform, rng: np.random.Generator | None) -> np.random.Generator:
    """`rng`, which a random transform cannot do without."""
    if rng is None:
        raise TypeError(f"{transform!r} draws random numbers: call it as transform(image, np.random.default_rng(seed))")
    return rng


def check_size(transform: Transform, size: int) -> None:
    """Refuse a size in pixels that is not a positive whole number."""
    if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
        raise DataError(f"{type(transform).__name__}: the size must be a positive whole number of pixels, not {size!r}")


def is_stored(image: Pixels) -> bool:
    """True for uint8 (..., H, W, C), False for float32 (..., C, H, W); anything else is refused."""
    layouts = "an image is uint8 (..., H, W, C) or float32 (..., C, H, W), with C = 1 or 3"
    if image.dtype not in (np.uint8, np.float32):
        raise DtypeError(f"{layouts}, not {image.dtype} {image.shape}")
    stored = image.dtype == np.uint8
    if image.ndim < 3 or image.shape[-1 if stored else -3] not in (1, 3):
        raise ShapeError(f"{layouts}, not {image.dtype} {image.shape}")
    return stored


def to_pil(image: Pixels) -> PIL.Image.Image:
    """One stored image as Pillow's "L" (1 channel) or "RGB" (3)."""
    from PIL import Image

    if not is_stored(image) or image.ndim != 3:
        raise ShapeError(
            f"needs one uint8 image (H, W, C), not {image.dtype} {image.shape}: put this transform earlier"
        )
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def from_pil(image: PIL.Image.Image) -> Pixels:
    """Pillow's "L" or "RGB" as uint8 (H, W, C)."""
    pixels = np.asarray(image)
    return pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels
