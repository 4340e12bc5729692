"""Reads the images of a classifier, batch by batch, the next one while the network computes with the last.

Each image that is being decoded or classified takes memory of its own, up to hundreds of megabytes. So of all calls in
a process, as many batches are at work at once as there are cores; the others wait for their turn.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, cast

from minires.data.images import ImageSource, image_name, is_one_image, open_upright
from minires.data.transforms import Transform
from minires.data.transforms.base import Pixels
from minires.errors import DataError

BATCH = 16  # images that are decoded and classified together
_in_turn: threading.BoundedSemaphore  # as many turns as there are cores


def _renew_turns() -> None:
    """In a forked child all turns are free: a parent's thread that had one is not there to give it back."""
    global _in_turn
    _in_turn = threading.BoundedSemaphore(os.cpu_count() or 1)


_renew_turns()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_turns)


class Opened(NamedTuple):
    """An image as the network reads it, its name in the output, and the orientation that its EXIF gives."""

    name: str
    pixels: Pixels
    orientation: int


Named = tuple[ImageSource, str]


def batches(images: ImageSource | Iterable[ImageSource]) -> Iterator[list[Named]]:
    """The images, each with its name in the output, in lists of BATCH."""
    single, several = is_one_image(images), cast("Iterable[ImageSource]", images)
    sources, first = iter([cast("ImageSource", images)] if single else several), 0
    while batch := list(islice(sources, BATCH)):
        yield [(source, _name_in_output(source, None if single else first + i)) for i, source in enumerate(batch)]
        first += len(batch)


def _name_in_output(source: Any, number: int | None) -> str:
    """The name of an image in messages and predictions: its path, else its kind, and its number among several."""
    name = image_name(source)
    has_path = isinstance(source, (str, os.PathLike))
    return name if number is None or has_path else f"image {number} ({name})"


def read_ahead(waiting: Iterator[list[Named]], prepare: Transform) -> Iterator[list[Opened]]:
    """The opened images of each batch. A thread opens the next batch while the caller computes with the last one.

    The caller computes in turn (`_in_turn`), and waits for its turn outside of the iterator that is read.
    """
    batch, thread = next(waiting, None), None
    coming = None
    try:
        while batch is not None:
            after = next(waiting, None)
            with _in_turn:
                opened = coming.result() if coming is not None else _opened(batch, prepare)
                if after is not None:
                    thread = thread or ThreadPoolExecutor(1)
                    coming = thread.submit(_opened, after, prepare)
                yield opened
            batch = after
    finally:
        if thread is not None:
            thread.shutdown(cancel_futures=True)


def _opened(batch: list[Named], prepare: Transform) -> list[Opened]:
    return [_prepared(source, name, prepare) for source, name in batch]


def _prepared(source: Any, name: str, prepare: Transform) -> Opened:
    pixels, orientation = open_upright(source, name)
    try:
        return Opened(name, prepare(pixels), orientation)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
