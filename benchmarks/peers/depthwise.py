"""Depthwise 3×3 convolutions in training: forward, and both gradients; the shapes of MobileNetV2 at 224×224."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

# channels, height and width, stride: every depthwise convolution of the network but repetitions
SHAPES = (
    (32, 112, 1),
    (96, 112, 2),
    (144, 56, 1),
    (144, 56, 2),
    (192, 28, 1),
    (192, 28, 2),
    (384, 14, 1),
    (576, 14, 1),
    (576, 14, 2),
    (960, 7, 1),
)


class Layer(NamedTuple):
    """The arrays of one convolution, channels-last in memory."""

    x: np.ndarray
    w: np.ndarray
    gy: np.ndarray
    stride: int


def layers(batch: int) -> list[Layer]:
    """The same numbers in every process."""
    rng = np.random.default_rng(0)

    def image(channels: int, side: int) -> np.ndarray:
        return rng.standard_normal((batch, side, side, channels), np.float32).transpose(0, 3, 1, 2)

    return [
        Layer(image(c, side), rng.standard_normal((c, 1, 3, 3), np.float32), image(c, -(-side // stride)), stride)
        for c, side, stride in SHAPES
    ]


def summary(steps: Sequence[Callable[[], tuple[Any, Any, Any]]]) -> list[list[float]]:
    """For each convolution the mean magnitude of its output and of both gradients."""
    return [[float(np.abs(np.asarray(array)).mean()) for array in step()] for step in steps]
