"""Data sets of anything: arrays side by side, a part of another data set, several joined, a random split.

The names and arguments are those of torch.utils.data.
"""

from __future__ import annotations

import bisect
import math
import operator
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from minires.data.collate import as_array
from minires.errors import DataError

Sample = TypeVar("Sample", covariant=True)


class MapDataset(Protocol[Sample]):
    """All that `Loader` needs of a data set: a length, and a sample of every index from 0 on."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


def name_of(dataset: Any) -> str:
    """The name of a data set in messages: its attribute `name`, or that of its class."""
    return str(getattr(dataset, "name", None) or type(dataset).__name__)


class TensorDataset:
    """Arrays or Tensors (N, …) side by side: sample i is the tuple of their i-th elements (torch's TensorDataset).

    Raises DataError if their lengths differ, or if there are none.
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(as_array(tensor) for tensor in tensors)
        lengths = [len(array) if array.ndim else None for array in self.tensors]
        if not lengths or None in lengths or len(set(lengths)) > 1:
            raise DataError(f"TensorDataset: needs arrays of one length, got {[a.shape for a in self.tensors]}")

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return tuple(array[index] for array in self.tensors)

    def __repr__(self) -> str:
        return f"TensorDataset({', '.join(f'{array.dtype} {array.shape}' for array in self.tensors)})"


class Subset(Generic[Sample]):
    """The samples of `dataset` at `indices`, in that order (torch's Subset).

    Raises DataError for indices that are no whole numbers, or that the data set does not have.
    """

    def __init__(self, dataset: MapDataset[Sample], indices: Iterable[int]) -> None:
        chosen = np.asarray(list(indices))
        if chosen.ndim != 1 or (len(chosen) and chosen.dtype.kind not in "iu"):
            mask = " (numpy.flatnonzero(mask) gives those of a mask)" if chosen.dtype.kind == "b" else ""
            raise DataError(f"Subset: indices must be whole numbers{mask}, not {chosen.dtype} {chosen.shape}")
        strange = chosen[(chosen < -len(dataset)) | (chosen >= len(dataset))]
        if len(strange):
            raise DataError(f"Subset: there is no sample {strange[0]}: {name_of(dataset)!r} has {len(dataset)}")
        self.dataset, self.indices = dataset, [int(index) % len(dataset) for index in chosen]
        self.name = name_of(dataset)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[self.indices[index]]

    def __repr__(self) -> str:
        return f"Subset({self.dataset!r}: {len(self)} of {len(self.dataset)} samples)"


class ConcatDataset(Generic[Sample]):
    """The samples of several data sets, one after another (torch's ConcatDataset). Raises DataError for none."""

    def __init__(self, datasets: Iterable[MapDataset[Sample]]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise DataError("ConcatDataset: needs at least one data set")
        self.cumulative_sizes = list(accumulate(len(dataset) for dataset in self.datasets))
        self.name = " + ".join(dict.fromkeys(map(name_of, self.datasets)))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Sample:
        place = operator.index(index) + len(self) * (index < 0)
        if not 0 <= place < len(self):
            raise IndexError(f"there is no sample {index}: {self.name!r} has {len(self)}")
        part = bisect.bisect_right(self.cumulative_sizes, place)
        return self.datasets[part][place - (self.cumulative_sizes[part - 1] if part else 0)]

    def __repr__(self) -> str:
        return f"ConcatDataset({self.datasets!r})"


def random_split(
    dataset: MapDataset[Sample],
    lengths: Sequence[float],
    generator: np.random.Generator | None = None,
    *,
    seed: int = 0,
) -> list[Subset[Sample]]:
    """Subsets of the given lengths, drawn without replacement (torch.utils.data.random_split).

    Args:
        dataset: anything with a length and samples. (`split` keeps the proportions of the classes.)
        lengths: numbers of samples that add up to all, or fractions that add up to 1; what rounding down leaves over
            goes to the first subsets, one each.
        generator: draws the order. Without one, a generator seeded with `seed`: equal seeds give equal subsets.

    Raises DataError for lengths that do not add up, and TypeError for another kind of generator.
    """
    count, given = len(dataset), list(lengths)
    if generator is not None and not isinstance(generator, np.random.Generator):
        raise TypeError(f"random_split: generator must be numpy.random.default_rng(seed), got {generator!r}")
    sizes = given
    if given and math.isclose(sum(given), 1) and not all(isinstance(length, (int, np.integer)) for length in given):
        sizes = [math.floor(count * fraction) for fraction in given]
        for extra in range(count - int(sum(sizes))):
            sizes[extra % len(sizes)] += 1
    if min(sizes, default=-1) < 0 or sum(sizes) != count or any(size != int(size) for size in sizes):
        raise DataError(f"random_split: lengths {given} must add up to {count}, or be fractions that add up to 1")
    order = (np.random.default_rng(seed) if generator is None else generator).permutation(count)
    ends = list(accumulate(map(int, sizes)))
    return [Subset(dataset, order[end - int(size) : end]) for size, end in zip(sizes, ends, strict=True)]
