"""Makes reproducible batches for training and evaluation, in background threads.

The contents of a batch are a pure function of (seed, epoch, position): the order of an epoch and the random numbers of
each sample come from separate generators, seeded by these numbers. So the batches are the same for any number of worker
threads, and a training run can resume in the middle of an epoch, bit for bit, without a stored random state.
"""

from __future__ import annotations

import operator
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from minires.core import random
from minires.data.augment import Augmentation, Draws
from minires.data.base import ArrayDataset
from minires.data.collate import default_collate
from minires.data.samples import MapDataset, name_of
from minires.data.transforms import ToFloat
from minires.data.transforms.base import AnyTransform, check_transform, is_random
from minires.errors import DataError, MiniResError

Batch = Any  # of pairs (input, target): a pair of arrays, or of tuples or dicts of arrays
Indices = npt.NDArray[np.intp]

# The families of generators: one for the order of each epoch; for each sample of each epoch, `rng` of the transform and
# what `minires.rand` and the like draw from. The numbers are spawn keys of SeedSequence, because it pads plain lists
# with zeros: [s, e] and [s, e, 0] would collide. `augment` has two more families, 3 and 4.
ORDER, SAMPLE, DEFAULT = 0, 1, 2
TO_FLOAT = ToFloat()


class Loader:
    """Batches of a data set; of labelled images `(images, labels)`: float32 (B, C, H, W), C-contiguous, and int64 (B,).

    A data set is anything with `len(dataset)` and `dataset[i]`. Its samples may be pairs `(input, target)`, longer
    tuples, dicts or single arrays; shapes and dtypes are those that it gives (`default_collate`). Only images are
    converted: an input that is uint8 (H, W, 1) or (H, W, 3) becomes float32 (C, H, W).

    `len(loader)` is the number of batches in an epoch. `loader.epoch(e)` gives the batches of epoch e. Iterating over
    the loader itself gives epoch 0 the first time, epoch 1 the next time, and so on.

    Args:
        dataset, batch_size: the data set, and the number of images per batch.
        transform: prepares each input (the first element of a tuple; a sample that is no tuple), as
            `transform(image, rng)`: one of `minires.data.transforms`, or a function. A result that is a uint8 image is
            converted by `ToFloat`. All samples of a batch must then have the same shape.
        shuffle, seed: draw a new order for each epoch; the seed of the orders and of what transforms and data sets draw
            from `rng` or MiniRes's default generator. The order is a function of the seed and the epoch alone:
            `minires.manual_seed` does not change it.
        drop_last: leave out a last batch that is smaller than the others.
        workers: the number of threads that prepare batches; 0 prepares each batch on request. Threads are enough,
            because decoding, resizing and array arithmetic release Python's global lock.
        prefetch: the number of batches to prepare ahead.
        collate: joins a list of prepared samples to a batch; None for `default_collate`.
        augmentation: prepare whole batches, several times as fast: the `transform`, which must not be random
            (`Normalize`), is called with the images of a batch, uint8 (B, H, W, C), and `augmentation` changes the
            result. `Augmentation()` changes nothing. The data set must be an `ArrayDataset`.

    Raises DataError for an empty data set or invalid settings, and during iteration for a sample that cannot be read or
    transformed, naming it.
    """

    def __init__(
        self,
        dataset: MapDataset[Any],
        batch_size: int,
        *,
        transform: AnyTransform | None = None,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        workers: int = 2,
        prefetch: int = 4,
        collate: Callable[[list[Any]], Any] | None = None,
        augmentation: Augmentation | None = None,
    ) -> None:
        _check_dataset(dataset)
        _check_whole(batch_size=batch_size, seed=seed, workers=workers, prefetch=prefetch)
        _check_true_or_false(shuffle=shuffle, drop_last=drop_last)
        check_transform(transform)
        if collate is not None and not callable(collate):
            raise DataError(f"collate must be a function of a list of samples, not {collate!r}")
        if len(dataset) == 0:
            raise DataError(f"the data set {name_of(dataset)!r} is empty: there is nothing to make batches of")
        if batch_size <= 0:
            raise DataError(f"the batch size must be 1 or more, not {batch_size}")
        if drop_last and len(dataset) < batch_size:
            raise DataError(f"drop_last leaves no batch: {len(dataset)} samples, batch size {batch_size}")
        if seed < 0 or workers < 0 or prefetch < 1:
            raise DataError(f"needs seed >= 0, workers >= 0, prefetch >= 1, not {seed=}, {workers=}, {prefetch=}")
        self.dataset, self.batch_size, self.transform = dataset, batch_size, transform
        self.shuffle, self.drop_last, self.seed = shuffle, drop_last, seed
        self.workers, self.prefetch, self.collate = workers, prefetch, collate
        if augmentation is not None:
            _check_whole_batches(dataset, transform, collate, augmentation)
        self.augmentation = augmentation
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
        return self.prepared(epoch, self.batches(epoch, start))

    def batches(self, epoch: int, start: int = 0) -> list[Indices]:
        """The indices in each batch of epoch `epoch` from number `start` on. Raises as `epoch` does."""
        if epoch < 0 or not 0 <= start <= len(self):
            raise DataError(f"there is no batch {start} of epoch {epoch}: an epoch has {len(self)} batches, from 0 on")
        order = self.order(epoch)
        ends = range(self.batch_size * start, self.batch_size * len(self), self.batch_size)
        return [order[first : first + self.batch_size] for first in ends]

    def prepared(self, epoch: int, batches: list[Indices]) -> Iterator[Batch]:
        """A batch of the samples at each of these indices, prepared as in epoch `epoch`."""
        prepare = self._preparation(epoch)
        return self._in_background(prepare, batches) if self.workers else self._in_turn(prepare, batches)

    def order(self, epoch: int) -> Indices:
        """The order of epoch `epoch`: indices (N,) into the data set."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return self._generator(ORDER, epoch).permutation(len(self.dataset))

    def _generator(self, family: int, *key: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=(family, *key))))

    def _preparation(self, epoch: int) -> Callable[[Indices, threading.Event], Batch]:
        """The function that makes the batch of some indices in this epoch."""
        if self.augmentation is None:
            return partial(self._batch, epoch)
        count, height, width, _ = self.dataset.images.shape  # type: ignore[attr-defined]  # an ArrayDataset
        return partial(self._whole_batch, self.augmentation.draws(self.seed, epoch, count, height, width))

    def _in_turn(self, prepare: Callable[..., Batch], batches: list[Indices]) -> Iterator[Batch]:
        never = threading.Event()
        for indices in batches:
            yield prepare(indices, never)

    def _in_background(self, prepare: Callable[..., Batch], batches: list[Indices]) -> Iterator[Batch]:
        """Prepare up to `prefetch` batches, in order, while the consumer uses one."""
        stop = threading.Event()
        ahead: deque[Future[Batch]] = deque()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="minires-loader")
        try:
            for indices in batches:
                ahead.append(pool.submit(prepare, indices, stop))
                if len(ahead) > self.prefetch:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:  # also if the consumer stops early, fails or is interrupted: no thread outlives the epoch
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _batch(self, epoch: int, indices: Indices, stop: threading.Event) -> Batch:
        """The prepared samples at `indices` as one batch; stops between two samples once `stop` is set."""
        samples = []
        for index in indices.tolist():
            if stop.is_set():
                raise InterruptedError("this batch is no longer needed")
            samples.append(self._sample(epoch, index))
        if self.collate is None:
            return default_collate(samples, lambda position: self._name(int(indices[position])))
        return self.collate(samples)

    def _whole_batch(self, draws: Draws, indices: Indices, stop: threading.Event) -> Batch:
        """The images at `indices`, float32 (B, C, H, W), prepared all at once, and their labels, int64 (B,)."""
        assert isinstance(self.dataset, ArrayDataset)  # the constructor refuses others
        assert self.augmentation is not None
        images = self.dataset.images[indices]
        try:
            prepared = TO_FLOAT(images) if self.transform is None else self.transform(images, None)
            if _is_stored_image(prepared):
                prepared = TO_FLOAT(prepared)
            return self.augmentation(prepared, draws.at(indices)), self.dataset.labels[indices]
        except Exception as error:
            reason = str(error) if isinstance(error, MiniResError) else repr(error)
            raise DataError(f"a batch of {name_of(self.dataset)!r} cannot be prepared: {reason}") from error

    def _sample(self, epoch: int, index: int) -> Any:
        """One prepared sample: of a tuple or list the first element is transformed, of others the whole.

        A uint8 image becomes float32 (C, H, W).
        """
        with random.drawing_from(lambda: self._generator(DEFAULT, epoch, index)):
            return self._prepared(epoch, index)

    def _prepared(self, epoch: int, index: int) -> Any:
        try:
            sample = self.dataset[index]
            has_parts = isinstance(sample, (tuple, list)) and len(sample) > 0
            value = sample[0] if has_parts else sample
            if self.transform is not None:
                # Seeding a generator takes half as long as the usual transforms, so only random ones get one.
                rng = self._generator(SAMPLE, epoch, index) if is_random(self.transform) else None
                value = self.transform(value, rng)
                if value is None:
                    raise DataError(f"the transform {self.transform!r} has returned None")
            if _is_stored_image(value):
                value = TO_FLOAT(value)
            return (value, *sample[1:]) if has_parts else value
        except Exception as error:
            reason = str(error) if isinstance(error, MiniResError) else repr(error)
            raise DataError(f"{self._name(index)} cannot be prepared: {reason}") from error

    def _name(self, index: int) -> str:
        """The name of a sample in an error: its number, and its file if it has one."""
        paths = getattr(self.dataset, "paths", None)
        return f"sample {index} of {name_of(self.dataset)!r}" + (f" ({paths[index]})" if paths is not None else "")

    def __repr__(self) -> str:
        return (
            f"Loader({self.dataset!r}, batch_size={self.batch_size}, transform={self.transform!r}, "
            f"shuffle={self.shuffle}, drop_last={self.drop_last}, seed={self.seed}, workers={self.workers}, "
            f"prefetch={self.prefetch}"
            + ("" if self.collate is None else f", collate={self.collate!r}")
            + ("" if self.augmentation is None else f", augmentation={self.augmentation!r}")
            + ")"
        )


def _check_whole(**settings: Any) -> None:
    """Raise DataError unless all settings are integers of Python or NumPy."""
    for name, value in settings.items():
        try:
            operator.index(value)
        except TypeError:
            raise DataError(f"{name} = {value!r} must be a whole number") from None
        if isinstance(value, bool):
            raise DataError(f"{name} = {value!r} must be a whole number")


def _check_true_or_false(**settings: Any) -> None:
    """Raise DataError unless all settings are True or False: "False" and [] would be taken for what they are not."""
    for name, value in settings.items():
        if not isinstance(value, (bool, np.bool_)):
            raise DataError(f"{name} = {value!r} must be True or False")


def _check_dataset(dataset: Any) -> None:
    """Raise DataError for what is no data set, or certainly not the one that was meant."""
    for method in ("__len__", "__getitem__"):
        if not hasattr(dataset, method):
            raise DataError(f"a data set needs __len__ and __getitem__: a {type(dataset).__name__} lacks {method}")
    if isinstance(dataset, tuple) and all(hasattr(part, "shape") for part in dataset):
        raise DataError("a tuple of arrays is no data set: data.TensorDataset(*arrays) has their rows as samples")
    if not isinstance(dataset.__len__(), int):
        raise DataError(f"{type(dataset).__name__}.__len__ must return the number of samples")


def _check_whole_batches(dataset: Any, transform: Any, collate: Any, augmentation: Any) -> None:
    """Raise DataError for what cannot be prepared batch by batch."""
    if not isinstance(augmentation, Augmentation):
        raise DataError(f"augmentation must be a data.Augmentation, not {augmentation!r}")
    if not isinstance(dataset, ArrayDataset):
        raise DataError(
            f"augmentation works on the images of an ArrayDataset, and this is a {type(dataset).__name__}: use "
            "transform=Compose([RandomCrop(...), RandomHorizontalFlip(), ...]), which works on one image at a time"
        )
    if collate is not None:
        raise DataError("collate joins samples, and with augmentation the batch is made at once: leave one of them out")
    if transform is not None and is_random(transform):
        raise DataError(
            f"augmentation calls the transform with a whole batch, and {transform!r} draws random numbers for one "
            "image: leave to it what is not random, such as Normalize, and give the rest as data.Augmentation(...)"
        )


def _is_stored_image(value: Any) -> bool:
    """Whether `value` is a uint8 array (..., H, W, C) with 1 or 3 channels."""
    return isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim >= 3 and value.shape[-1] in (1, 3)
