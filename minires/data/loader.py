"""Makes reproducible batches for training and evaluation, in background threads.

The contents of a batch are a pure function of (seed, epoch, position): the order of an epoch and the random numbers of
each sample come from separate generators, seeded by these numbers. So the batches are the same for any number of worker
threads, and a training run can resume in the middle of an epoch, bit for bit, without a stored random state.
"""

from __future__ import annotations

import operator
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from minires.data.base import Dataset
from minires.data.transforms import ToFloat
from minires.data.transforms.base import AnyTransform, is_random
from minires.errors import DataError, MiniResError

Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
Indices = npt.NDArray[np.intp]

# The two families of generators: one for the order of each epoch, one for each sample of each epoch. The numbers are
# spawn keys of SeedSequence, because it pads plain lists with zeros: [s, e] and [s, e, 0] would collide.
ORDER, SAMPLE = 0, 1


class Loader:
    """Batches `(images, labels)` of a data set: float32 (B, C, H, W), C-contiguous, and int64 (B,).

    `len(loader)` is the number of batches in an epoch. `loader.epoch(e)` gives the batches of epoch e. Iterating over
    the loader itself gives epoch 0 the first time, epoch 1 the next time, and so on.

    Args:
        dataset, batch_size: the data set, and the number of images per batch.
        transform: prepares each sample, as `transform(image, rng)`: one of `minires.data.transforms`, or a function.
            A uint8 result is converted by `ToFloat`. All samples of a batch must then have the same shape.
        shuffle, seed: draw a new order for each epoch; the seed of the orders and of the transforms.
        drop_last: leave out a last batch that is smaller than the others.
        workers: the number of threads that prepare batches; 0 prepares each batch on request. Threads are enough,
            because decoding, resizing and array arithmetic release Python's global lock.
        prefetch: the number of batches to prepare ahead.

    Raises DataError for an empty data set or invalid settings, and during iteration for a sample that cannot be read or
    transformed, naming it.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        *,
        transform: AnyTransform | None = None,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        workers: int = 2,
        prefetch: int = 4,
    ) -> None:
        _check_whole(batch_size=batch_size, seed=seed, workers=workers, prefetch=prefetch)
        if len(dataset) == 0:
            raise DataError(f"the data set {dataset.name!r} is empty: there is nothing to make batches of")
        if batch_size <= 0:
            raise DataError(f"the batch size must be 1 or more, not {batch_size}")
        if drop_last and len(dataset) < batch_size:
            raise DataError(f"drop_last leaves no batch: {len(dataset)} samples, batch size {batch_size}")
        if seed < 0 or workers < 0 or prefetch < 1:
            raise DataError(f"needs seed >= 0, workers >= 0, prefetch >= 1, not {seed=}, {workers=}, {prefetch=}")
        self.dataset, self.batch_size, self.transform = dataset, batch_size, transform
        self.shuffle, self.drop_last, self.seed = shuffle, drop_last, seed
        self.workers, self.prefetch = workers, prefetch
        self._next_epoch = 0

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        self._next_epoch += 1
        return self.epoch(self._next_epoch - 1)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of epoch `epoch` from number `start` on; earlier ones are not prepared.

        Leaving the loop early stops the threads. Raises DataError if there is no such epoch or batch.
        """
        if epoch < 0 or not 0 <= start <= len(self):
            raise DataError(f"there is no batch {start} of epoch {epoch}: an epoch has {len(self)} batches, from 0 on")
        order = self.order(epoch)
        ends = range(self.batch_size * start, self.batch_size * len(self), self.batch_size)
        batches = [order[first : first + self.batch_size] for first in ends]
        return self._in_background(epoch, batches) if self.workers else self._in_turn(epoch, batches)

    def order(self, epoch: int) -> Indices:
        """The order of epoch `epoch`: indices (N,) into the data set."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return self._generator(ORDER, epoch).permutation(len(self.dataset))

    def _generator(self, family: int, *key: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=(family, *key))))

    def _in_turn(self, epoch: int, batches: list[Indices]) -> Iterator[Batch]:
        never = threading.Event()
        for indices in batches:
            yield self._batch(epoch, indices, never)

    def _in_background(self, epoch: int, batches: list[Indices]) -> Iterator[Batch]:
        """Prepare up to `prefetch` batches, in order, while the consumer uses one."""
        stop = threading.Event()
        ahead: deque[Future[Batch]] = deque()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="minires-loader")
        try:
            for indices in batches:
                ahead.append(pool.submit(self._batch, epoch, indices, stop))
                if len(ahead) > self.prefetch:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:  # also if the consumer stops early, fails or is interrupted: no thread outlives the epoch
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _batch(self, epoch: int, indices: Indices, stop: threading.Event) -> Batch:
        """The prepared and stacked samples at `indices`; stops between two samples once `stop` is set."""
        labels = np.empty(len(indices), dtype=np.int64)
        images = np.empty(0, dtype=np.float32)
        for position, index in enumerate(indices.tolist()):
            if stop.is_set():
                raise InterruptedError("this batch is no longer needed")
            sample, labels[position] = self._sample(epoch, index)
            if position == 0:
                images = np.empty((len(indices), *sample.shape), dtype=np.float32)
            if sample.shape != images.shape[1:]:
                raise DataError(
                    f"{self._name(index)} has shape {sample.shape} and the first of its batch, "
                    f"{self._name(int(indices[0]))}, has {images.shape[1:]}: give them one size, for example by "
                    f"transforms.Resize and transforms.CenterCrop"
                )
            images[position] = sample
        return images, labels

    def _sample(self, epoch: int, index: int) -> tuple[npt.NDArray[Any], int]:
        """One prepared image, float (C, H, W), and its label."""
        try:
            image: npt.NDArray[Any]
            image, label = self.dataset[index]
            if self.transform is not None:
                # Seeding a generator takes half as long as the usual transforms, so only random ones get one.
                rng = self._generator(SAMPLE, epoch, index) if is_random(self.transform) else None
                image = self.transform(image, rng)
            return (ToFloat()(image) if image.dtype == np.uint8 else image), label
        except Exception as error:
            reason = str(error) if isinstance(error, MiniResError) else repr(error)
            raise DataError(f"{self._name(index)} cannot be prepared: {reason}") from error

    def _name(self, index: int) -> str:
        """The name of a sample in an error: its number, and its file if it has one."""
        paths = getattr(self.dataset, "paths", None)
        return f"sample {index} of {self.dataset.name!r}" + (f" ({paths[index]})" if paths is not None else "")

    def __repr__(self) -> str:
        return (
            f"Loader({self.dataset!r}, batch_size={self.batch_size}, transform={self.transform!r}, "
            f"shuffle={self.shuffle}, drop_last={self.drop_last}, seed={self.seed}, workers={self.workers}, "
            f"prefetch={self.prefetch})"
        )


def _check_whole(**settings: Any) -> None:
    """Raise DataError unless all settings are integers of Python or NumPy."""
    for name, value in settings.items():
        try:
            operator.index(value)
        except TypeError:
            raise DataError(f"{name} = {value!r} must be a whole number") from None
