"""Augmentation of a whole batch at once: mirroring, shifting, cutting a square out.

    loader = Loader(data.load("cifar10"), 128, transform=Normalize.preset("cifar10"), shuffle=True,
                    augmentation=Augmentation(flip="alternating", translate=2))

The transforms of `minires.data.transforms` work on one image and draw from a generator of its own, whose making takes
longer than the work. Here the random numbers of an epoch are drawn for all images at once, as tables with a row for
each image. What happens to an image is still a function of (seed, epoch, index) alone, whatever batch it is in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minires.errors import DataError

Images = npt.NDArray[np.float32]  # (B, C, H, W)
FLIPS = ("none", "random", "alternating")
PADDINGS = ("zero", "reflect")

# The families of generators beside those of the loader (ORDER, SAMPLE, DEFAULT = 0, 1, 2).
EPOCH, FIRST_FLIP = 3, 4


@dataclass(frozen=True)
class Draws:
    """What was drawn for the images of a data set in one epoch, a row for each; None for what is not done.

    Attributes:
        mirrored: bool (N,).
        shift: int64 (N, 2): rows and columns, each from 0 to 2·translate; `translate` means no shift.
        hole: int64 (N, 2): row and column of the centre of the square that is cut out.
    """

    mirrored: npt.NDArray[np.bool_] | None = None
    shift: npt.NDArray[np.int64] | None = None
    hole: npt.NDArray[np.int64] | None = None

    def at(self, indices: npt.NDArray[np.intp]) -> Draws:
        """The rows of the images at `indices`."""
        return Draws(
            None if self.mirrored is None else self.mirrored[indices],
            None if self.shift is None else self.shift[indices],
            None if self.hole is None else self.hole[indices],
        )


@dataclass(frozen=True)
class Augmentation:
    """How the images of a batch are changed at random.

    Attributes:
        flip: "none"; "random": each image is mirrored with probability 1/2 in each epoch; "alternating": a coin is
            tossed once for each image, and decides whether it is mirrored in the even or in the odd epochs, so that two
            epochs show both of its sides (Jordan 2024, arXiv 2404.00498, section 3.6).
        translate: each image is shifted by up to so many pixels in each direction, which is a random crop of the
            image with that padding (He et al. 2015, section 4.2, with 4).
        padding: what comes in from outside: "zero", after normalisation the mean colour, or "reflect", the image's
            own pixels mirrored at its edge.
        cutout: the side of a square of zeros at a random place, which may reach beyond the edge (DeVries & Taylor
            2017); 0 for none.

    Raises DataError for other values.
    """

    flip: str = "none"
    translate: int = 0
    padding: str = "zero"
    cutout: int = 0

    def __post_init__(self) -> None:
        if self.flip not in FLIPS or self.padding not in PADDINGS:
            raise DataError(f"{self}: flip must be one of {', '.join(FLIPS)}, padding one of {', '.join(PADDINGS)}")
        for name in ("translate", "cutout"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise DataError(f"{self}: {name} must be a number of pixels, 0 or more, not {value!r}")

    def draws(self, seed: int, epoch: int, count: int, height: int, width: int) -> Draws:
        """The random numbers of an epoch for `count` images of `height` x `width` pixels."""
        rng = _generator(seed, EPOCH, epoch)
        mirrored = None
        if self.flip == "random":
            mirrored = rng.random(count) < 0.5
        elif self.flip == "alternating":
            mirrored = (_generator(seed, FIRST_FLIP).random(count) < 0.5) ^ bool(epoch % 2)
        shift = rng.integers(0, 2 * self.translate + 1, (count, 2)) if self.translate else None
        hole = rng.integers(0, (height, width), (count, 2)) if self.cutout else None
        return Draws(mirrored, shift, hole)

    def __call__(self, images: Images, drawn: Draws) -> Images:
        """`images` (B, C, H, W) changed as was drawn for each: a new C-contiguous array, or the same if nothing is."""
        if drawn.shift is not None:
            images = shifted(images, drawn.shift, self.translate, self.padding)
        if drawn.mirrored is not None:
            images = np.where(drawn.mirrored[:, None, None, None], images[..., ::-1], images)
        if drawn.hole is not None:
            images = without_squares(images, drawn.hole, self.cutout)
        return images

    def facts(self) -> dict[str, Any]:
        """The attributes, for a comparison of runs."""
        return {"flip": self.flip, "translate": self.translate, "padding": self.padding, "cutout": self.cutout}


def shifted(images: Images, shift: npt.NDArray[np.int64], most: int, padding: str) -> Images:
    """y[b, c, i, j] = padded[b, c, i + shift[b, 0], j + shift[b, 1]]; `padded` has `most` more pixels at each edge.

    Raises DataError for images too small to be reflected that far.
    """
    height, width = images.shape[2:]
    if padding == "reflect" and most >= min(height, width):
        raise DataError(f"images of {height}x{width} pixels cannot be reflected by {most} pixels: translate less")
    edges = ((0, 0), (0, 0), (most, most), (most, most))
    padded = np.pad(images, edges, mode="reflect") if padding == "reflect" else np.pad(images, edges)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    # Advanced indices around the slice put the batch first: (B, C, H, W).
    return np.ascontiguousarray(windows[np.arange(len(images)), :, shift[:, 0], shift[:, 1]])


def without_squares(images: Images, centre: npt.NDArray[np.int64], side: int) -> Images:
    """Zeros where both the row is in [cy − ⌊side/2⌋, cy − ⌊side/2⌋ + side) and the column likewise."""
    first = centre - side // 2
    rows, columns = (_within(first[:, axis], side, images.shape[2 + axis]) for axis in (0, 1))
    hole = rows[:, None, :, None] & columns[:, None, None, :]
    return np.where(hole, np.float32(0), images)


def _within(first: npt.NDArray[np.int64], side: int, size: int) -> npt.NDArray[np.bool_]:
    """bool (B, size): whether each position is one of the `side` ones from `first` (B,) on."""
    offset = np.arange(size) - first[:, None]
    return (offset >= 0) & (offset < side)


def _generator(seed: int, family: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(family, *key))))
