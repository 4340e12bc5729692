"""Batches go to the GPU ahead of their step: while it computes with one, the next is copied.

    take batch k + 1 from the loader, put it into pinned memory, start its copy     on a stream of its own
    let the steps' stream wait for batch k, and hand it out                         they wait, the host does not

Pinned memory, which the system never moves, is what a copy needs to go on by itself. There are two pieces of it, used
in turn. What is handed out, and in which order, is what the loader gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from minires.backend import Array, cuda
from minires.nn import Module
from minires.training.placing import device_of

Batch = tuple[Array, Any]  # images (B, C, H, W), labels (B,)


def on_device_of(model: Module, batches: Iterable[Batch]) -> Iterator[Batch]:
    """`batches`, their images on the device of `model`; labels stay in host memory. On the CPU, as they are."""
    device = device_of(model)
    return iter(batches) if device == "cpu" else _ahead(iter(batches), Copies(device))


def _ahead(batches: Iterator[Batch], copies: Copies) -> Iterator[Batch]:
    """The batches, each copied while the one before is worked on. What goes wrong with one is raised in its turn."""
    pending: tuple[Copy, Any] | None = None
    failure: Exception | None = None
    try:
        while failure is None:
            started: tuple[Copy, Any] | None = None
            try:
                images, labels = next(batches)
                started = copies.start(images), labels
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
        copies.finish()
    if failure is not None:
        raise failure


class Copy(NamedTuple):
    """Images on their way to a GPU; `copied` is when they are there, None where they are already."""

    cupy: Any
    images: Array
    copied: Any

    def wait(self) -> Array:
        """The images, which the current stream may read: it waits for them, the host does not."""
        if self.copied is not None:
            with self.cupy.cuda.Device(self.images.device.id):
                self.cupy.cuda.get_current_stream().wait_event(self.copied)
        return self.images


class Copies:
    """Copies from host memory to one GPU, on a stream of their own."""

    def __init__(self, device: str) -> None:
        self._index = cuda.device_index(device)
        self._cupy: Any = cuda.require(self._index)
        with self._cupy.cuda.Device(self._index):
            self._stream = self._cupy.cuda.Stream(non_blocking=True)
        self._pieces, self._turn = (_Pinned(self._cupy), _Pinned(self._cupy)), 0

    def start(self, images: Array) -> Copy:
        """Begin to copy; `images` may be changed as soon as this returns. Raises OutOfMemoryError."""
        if not isinstance(images, np.ndarray):
            return Copy(self._cupy, images, None)
        piece, self._turn = self._pieces[self._turn], 1 - self._turn
        with self._cupy.cuda.Device(self._index):
            host = piece.filled(images)
            with cuda.explaining_out_of_memory("copying a batch"):
                array = self._cupy.empty(images.shape, images.dtype)
            # That memory may have been an array's that the steps' stream still reads: it was asked to, not waited for.
            self._stream.wait_event(self._cupy.cuda.get_current_stream().record())
            array.set(host, stream=self._stream)
            piece.read = self._stream.record()
        return Copy(self._cupy, array, piece.read)

    def finish(self) -> None:
        """Wait for the last copy: its memory, on either side, may be given to others afterwards."""
        self._stream.synchronize()


class _Pinned:
    """A piece of host memory that a copy reads; `read` is when it has."""

    def __init__(self, cupy: Any) -> None:
        self._cupy, self._size = cupy, 0
        self._memory: Any = None
        self.read: Any = None

    def filled(self, images: np.ndarray) -> np.ndarray:
        """The same numbers here, in C order, as soon as the copy before has read its own."""
        if self.read is not None:
            self.read.synchronize()
        if images.nbytes > self._size:
            self._memory, self._size = _allocate(self._cupy, images.nbytes), images.nbytes
        host = np.frombuffer(self._memory, images.dtype, images.size).reshape(images.shape)
        np.copyto(host, images)
        return host


def _allocate(cupy: Any, size: int) -> Any:
    """Pinned memory; where the system has no more to pin, any: then a copy makes the host wait, and is as right."""
    try:
        return cupy.cuda.alloc_pinned_memory(size)
    except Exception as error:
        if cuda.is_out_of_memory(error):
            return np.empty(size, np.uint8)
        raise
