"""Transforms of images, from the disk to the network's input.

    train = Compose([RandomCrop(32, padding=4), RandomHorizontalFlip(), Normalize.preset("cifar10")])
    image' = train(image, rng)

`base` defines the interface, `geometry` moves pixels, `colour` changes them, `normalize` converts them to numbers.
"""

from minires.data.transforms.base import Compose, Transform
from minires.data.transforms.colour import ColorJitter, Lighting
from minires.data.transforms.geometry import (
    CenterCrop,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    Resize,
    TenCrop,
)
from minires.data.transforms.normalize import PRESETS, Normalize, PerPixelMean, ToFloat

__all__ = [
    "PRESETS",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "Lighting",
    "Normalize",
    "PerPixelMean",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "Resize",
    "TenCrop",
    "ToFloat",
    "Transform",
]
