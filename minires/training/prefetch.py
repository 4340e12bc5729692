"""Copies each batch to the GPU while the step before it computes.

    take batch k + 1 from the loader, put it into pinned memory, start its copy     on a separate stream
    make the compute stream wait for batch k, and yield it                          the host does not wait

Pinned memory cannot be moved by the operating system, which an asynchronous copy requires. Two pinned buffers are used
in turn. The batches and their order are the loader's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minires.backend import Array, cuda
from minires.nn import Module
from minires.training.batches import pair_of
from minires.training.device_io import device_of

Batch = tuple[Any, Any]  # inputs and targets, for example images (B, C, H, W) and labels (B,)


def on_device_of(model: Module, batches: Iterable[Any]) -> Iterator[Batch]:
    """`batches` with their images on the device of `model`; labels stay in host memory. Unchanged for the CPU.

    Inputs that are tuples or dicts are not copied ahead: the step copies them. Raises DataError for a batch that is no
    pair.
    """
    device = device_of(model)
    pairs = map(pair_of, batches)
    return pairs if device == "cpu" else _prefetched(pairs, Copier(device))


def _prefetched(batches: Iterator[Batch], copier: Copier) -> Iterator[Batch]:
    """The batches, each copied while the one before is used. An error in a batch is raised when its turn comes."""
    pending: tuple[Copy, Any] | None = None
    failure: Exception | None = None
    try:
        while failure is None:
            started: tuple[Copy, Any] | None = None
            try:
                images, labels = next(batches)
                started = copier.start(images), labels
            except StopIteration:
                break
            except Exception as error:
                failure = error
            if pending is not None:
                yield pending[0].wait(), pending[1]
            pending = started
        if pending is not None:
            yield pending[0].wait(), pending[1]
    finally:
        copier.finish()
    if failure is not None:
        raise failure


class Copy(NamedTuple):
    """Images that are being copied to a GPU; `copied` is the event after the copy, None if no copy was needed."""

    cupy: Any
    images: Any
    copied: Any

    def wait(self) -> Array:
        """The images (B, C, H, W), after making the current stream (not the host) wait for the copy."""
        if self.copied is not None:
            with self.cupy.cuda.Device(self.images.device.id):
                self.cupy.cuda.get_current_stream().wait_event(self.copied)
        return self.images


class Copier:
    """Copies batches from host memory to one GPU, on its own stream."""

    def __init__(self, device: str) -> None:
        self._index = cuda.device_index(device)
        self._cupy: Any = cuda.require(self._index)
        with self._cupy.cuda.Device(self._index):
            self._stream = self._cupy.cuda.Stream(non_blocking=True)
        self._buffers, self._turn = (_PinnedBuffer(self._cupy), _PinnedBuffer(self._cupy)), 0

    def start(self, images: Any) -> Copy:
        """Start a copy. `images` may be changed as soon as this returns. Raises OutOfMemoryError."""
        if not isinstance(images, np.ndarray):
            return Copy(self._cupy, images, None)
        buffer, self._turn = self._buffers[self._turn], 1 - self._turn
        with self._cupy.cuda.Device(self._index):
            host = buffer.filled(images)
            with cuda.explaining_out_of_memory("copying a batch"):
                array = self._cupy.empty(images.shape, images.dtype)
            # The memory of `array` may belong to an array that queued work of the compute stream still reads.
            self._stream.wait_event(self._cupy.cuda.get_current_stream().record())
            array.set(host, stream=self._stream)
            buffer.read = self._stream.record()
        return Copy(self._cupy, array, buffer.read)

    def finish(self) -> None:
        """Wait for the last copy, so that its memory on the host and on the GPU can be reused."""
        self._stream.synchronize()


class _PinnedBuffer:
    """Pinned host memory from which a copy reads; `read` is the event after that copy."""

    def __init__(self, cupy: Any) -> None:
        self._cupy, self._size = cupy, 0
        self._memory: Any = None
        self.read: Any = None

    def filled(self, images: np.ndarray) -> np.ndarray:
        """A copy of `images` in this buffer, in C order, made after the previous copy has finished reading."""
        if self.read is not None:
            self.read.synchronize()
        if images.nbytes > self._size:
            self._memory, self._size = _allocate(self._cupy, images.nbytes), images.nbytes
        host = np.frombuffer(self._memory, images.dtype, images.size).reshape(images.shape)
        np.copyto(host, images)
        return host


def _allocate(cupy: Any, size: int) -> Any:
    """`size` bytes of pinned memory; ordinary memory if no more can be pinned, from which copies are synchronous."""
    try:
        return cupy.cuda.alloc_pinned_memory(size)
    except Exception as error:
        if cuda.is_out_of_memory(error):
            return np.empty(size, np.uint8)
        raise
