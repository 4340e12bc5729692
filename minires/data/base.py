"""The interface of a data set of labelled images, and the one that lives in memory.

`Loader` and the training loop need only a length and samples (`samples.MapDataset`). `split`, fine-tuning and the
command line use three things more: the labels, the names of the classes, and the data set's own name. Any object with
these is such a data set, whatever its base class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from minires.errors import DataError

Image = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


class Dataset(Protocol):
    """Labelled images.

    `dataset[i]` is `(image, label)`: a uint8 array (H, W, C) with C = 1 (grey) or 3 (RGB), and an int that indexes
    `classes`. `labels` is int64 (N,), so that a sampler can read the labels without decoding images.
    """

    name: str
    classes: tuple[str, ...]
    labels: Labels

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Image, int]: ...


class ArrayDataset:
    """A data set in memory.

    `images` becomes read-only, because `dataset[i]` returns a view: a transform that writes into its input gets an
    error, instead of silently changing the data set for all later epochs.

    Args:
        images: uint8 (N, H, W, C), with C = 1 (grey) or 3 (RGB).
        labels: integers (N,) from 0 to `len(classes)` - 1.
        classes, name: the names of the classes and of the data set.

    Raises DataError if the arrays do not fit each other, or if a label is not a class.
    """

    def __init__(
        self, images: npt.ArrayLike, labels: npt.ArrayLike, classes: Sequence[str], name: str = "data"
    ) -> None:
        pixels, numbers = np.asarray(images), np.asarray(labels)
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3):
            raise DataError(
                f"{name}: images must be uint8 of shape (N, H, W, 1) or (N, H, W, 3), not {pixels.dtype} {pixels.shape}"
            )
        if numbers.shape != (len(pixels),) or numbers.dtype.kind not in "iu":
            raise DataError(
                f"{name}: {len(pixels)} images need as many integer labels, not {numbers.dtype} {numbers.shape}"
            )
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(classes):
            wrong = int(np.flatnonzero((numbers < 0) | (numbers >= len(classes)))[0])
            raise DataError(
                f"{name}: sample {wrong} has label {int(numbers[wrong])}, but there are {len(classes)} classes "
                f"(labels 0 to {len(classes) - 1})"
            )
        self.images: Image = pixels.view()
        self.images.flags.writeable = False
        self.labels: Labels = numbers.astype(np.int64)
        self.classes = tuple(classes)
        self.name = name

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image, int]:
        return self.images[index], int(self.labels[index])

    def subset(self, indices: npt.ArrayLike) -> ArrayDataset:
        """A data set of the samples at `indices` (M,), in that order."""
        chosen = np.asarray(indices)
        return ArrayDataset(self.images[chosen], self.labels[chosen], self.classes, self.name)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.images.shape[1:]))
        return f"ArrayDataset({self.name!r}: {len(self)} images {size}, {len(self.classes)} classes)"


class Splittable(Dataset, Protocol):
    """A data set with a `subset` method: `ArrayDataset` and `ImageFolder`."""

    def subset(self: SplittableT, indices: npt.ArrayLike) -> SplittableT: ...


SplittableT = TypeVar("SplittableT", bound=Splittable)


def split(dataset: SplittableT, fraction: float = 0.2, seed: int = 0) -> tuple[SplittableT, SplittableT]:
    """Hold out `fraction` of every class (a stratified split): returns `(the rest, the held-out part)`.

    From each class, round(fraction · size) samples are drawn without replacement by a generator seeded with `seed`, so
    both parts have the class proportions of the whole. Both keep the original order. Equal seeds give equal splits.

    Raises DataError if the fraction is not between 0 and 1, or if one of the parts would be empty.
    """
    if not (hasattr(dataset, "classes") and hasattr(dataset, "subset")):
        kind = type(dataset).__name__
        raise DataError(f"split keeps the proportions of the classes, and a {kind} names none: use data.random_split")
    if not 0 < fraction < 1:
        raise DataError(f"the held-out fraction must lie between 0 and 1, not {fraction}")
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(dataset), dtype=bool)
    for label in range(len(dataset.classes)):
        members = np.flatnonzero(dataset.labels == label)
        held_out[rng.permutation(members)[: round(fraction * len(members))]] = True
    if held_out.all() or not held_out.any():
        raise DataError(f"{dataset.name}: {len(dataset)} images are too few to hold out {fraction:.0%} of each class")
    return dataset.subset(np.flatnonzero(~held_out)), dataset.subset(np.flatnonzero(held_out))
