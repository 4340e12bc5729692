"""Data sets and the loader under the names of torch.utils.data. `minires.data` has more: images and transforms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np

from minires.core.random import default_generator
from minires.core.tensor import Tensor
from minires.data import ConcatDataset, Loader, Subset, TensorDataset, default_collate, random_split
from minires.data.samples import MapDataset
from minires.errors import DataError

Sample = TypeVar("Sample", covariant=True)

__all__ = ["ConcatDataset", "DataLoader", "Dataset", "Subset", "TensorDataset", "default_collate", "random_split"]


class Dataset(Generic[Sample]):
    """The base class of a data set: write `__getitem__` and `__len__` (torch.utils.data.Dataset)."""

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} needs __len__: the number of samples")

    def __getitem__(self, index: int, /) -> Sample:
        raise NotImplementedError(f"{type(self).__name__} needs __getitem__(self, index): one sample")

    def __add__(self, other: MapDataset[Any]) -> ConcatDataset[Any]:
        return ConcatDataset([self, other])


class DataLoader(Loader):
    """Batches of Tensors, one epoch in each loop (torch.utils.data.DataLoader).

    It is a `minires.data.Loader` with torch's arguments, and gives Tensors where that one gives arrays. As in torch,
    the order follows from `minires.manual_seed`. A uint8 image (H, W, C) becomes float32 (C, H, W), as by ToTensor.

    Args:
        dataset: anything with a length and samples.
        batch_size, shuffle, drop_last: as in torch.
        num_workers: the number of threads that prepare batches.
        collate_fn: joins a list of samples to a batch; None for `default_collate`.
        generator: the seed of all epochs is drawn from it; None for the thread's default.
        prefetch_factor: how many batches each worker prepares ahead; None for 2.

    Raises DataError for invalid settings, and TypeError for what torch has and this loader has not, with what to do.
    """

    def __init__(
        self,
        dataset: MapDataset[Any],
        batch_size: int = 1,
        shuffle: bool | None = False,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Any = None,
        multiprocessing_context: Any = None,
        generator: np.random.Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
    ) -> None:
        _refuse("sampler", sampler, "Subset chooses samples, in any order, also twice")
        _refuse("batch_sampler", batch_sampler, "loop over lists of indices and join them with default_collate")
        _refuse("worker_init_fn", worker_init_fn, "workers are threads; each sample draws from its own generator")
        _refuse("multiprocessing_context", multiprocessing_context, "workers are threads")
        _refuse("timeout", timeout, "workers are threads, which end with the program")
        _refuse("pin_memory", pin_memory, "host memory is copied to a GPU as it is")
        _refuse("persistent_workers", persistent_workers, "workers are threads, which start at once")
        if batch_size is None:
            raise DataError("DataLoader: batch_size=None: loop over the data set itself")
        drawn = (default_generator() if generator is None else generator).integers(2**31)
        ahead = 2 if prefetch_factor is None else prefetch_factor
        super().__init__(
            dataset,
            batch_size,
            shuffle=bool(shuffle) if shuffle is None else shuffle,
            drop_last=drop_last,
            seed=int(drawn),
            workers=num_workers,
            prefetch=max(num_workers, 1) * ahead,
            collate=collate_fn,
        )

    def __iter__(self) -> Iterator[Any]:
        return map(_as_tensors, super().__iter__())


def _refuse(name: str, value: Any, hint: str) -> None:
    if value:
        raise TypeError(f"DataLoader: there is no {name}: {hint}")


def _as_tensors(batch: Any) -> Any:
    """A batch with a Tensor in place of each array, which nobody else has."""
    if isinstance(batch, np.ndarray):
        return Tensor(batch)
    if isinstance(batch, dict):
        return {key: _as_tensors(value) for key, value in batch.items()}
    if isinstance(batch, tuple):
        fields = [_as_tensors(value) for value in batch]
        return type(batch)(*fields) if hasattr(batch, "_fields") else tuple(fields)
    return batch
