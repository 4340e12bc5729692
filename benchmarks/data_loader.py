"""The speed of the data loader, in images per second: images of CIFAR's size, augmented as in the ResNet paper.

    OMP_NUM_THREADS=1 python benchmarks/data_loader.py

The images are noise in memory: the program measures cropping, flipping, normalising and stacking, not reading. Training
must never wait for the loader; a ResNet-20 on two cores trains on a few hundred images a second. Transforms prepare one
image at a time, an Augmentation whole batches, as `minires train` does with images in memory.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from minires import data
from minires.data.transforms import Compose, Normalize, RandomCrop, RandomHorizontalFlip

NORMALIZE = Normalize.preset("cifar10")
WAYS: dict[str, dict[str, Any]] = {
    "one image at a time": {"transform": Compose([RandomCrop(32, padding=4), RandomHorizontalFlip(), NORMALIZE])},
    "whole batches": {"transform": NORMALIZE, "augmentation": data.Augmentation("random", translate=4)},
}


def images_per_second(way: dict[str, Any], workers: int, count: int = 20_000) -> float:
    """The highest speed of three epochs."""
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    dataset = data.ArrayDataset(images, np.zeros(count, dtype=np.int64), ["noise"])
    loader = data.Loader(dataset, 128, shuffle=True, workers=workers, **way)
    seconds = []
    for epoch in range(3):
        began = time.perf_counter()
        for _ in loader.epoch(epoch):
            pass
        seconds.append(time.perf_counter() - began)
    return count / min(seconds)


if __name__ == "__main__":
    for name, way in WAYS.items():
        for workers in (0, 1, 2):
            print(f"{name}, {workers} worker threads: {images_per_second(way, workers):8,.0f} images/s")
