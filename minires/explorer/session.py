"""The network view's side of the computation: one classifier, its images, and what is asked of it, as JSON.

The server and the export ask the same questions here, so a static copy shows what the served page shows.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minires.data.images import ImageSource
from minires.errors import MiniResError
from minires.explorer.network import BlockFacts, Floats, blocks_of, can_be_off, explore, logits_of
from minires.explorer.paths import path_lengths
from minires.explorer.pictures import as_bytes, data_uri, feature_maps, smaller
from minires.inference.classifier import Classifier, Prediction
from minires.models.resnet import ResNet

TOP = 5
LARGEST_GRADIENT = 112  # pixels of the side of the input gradient that is sent; half of it without feature maps
MOST_IMAGES = 32  # kept; the oldest uploads are forgotten first
UPLOAD = "upload"  # the name of an image that came over the network


@dataclass(frozen=True)
class Stored:
    """An image as the network reads it (C, H, W), the picture of it, and its name."""

    name: str
    array: Floats
    picture: str


class Session:
    """A classifier with its images. Its methods may be called from several threads; they work one after another."""

    def __init__(self, classifier: Classifier) -> None:
        if not isinstance(classifier.model, ResNet):
            raise MiniResError("the explorer shows residual networks of minires.models: name one with --model")
        self.classifier = classifier
        self.model: ResNet = classifier.model
        self.blocks = [name for name, _ in blocks_of(self.model)]
        self.can_be_off = [can_be_off(block) for _, block in blocks_of(self.model)]
        self.images: dict[str, Stored] = {}
        self._lock = threading.Lock()
        for parameter in self.model.parameters():
            parameter.requires_grad = False  # only the gradients of activations are asked for

    def add(self, image: ImageSource, name: str) -> dict[str, str]:
        """Read an image; returns its id, name and picture. Raises DataError for what is not an image."""
        with self._lock:
            array, shown = self.classifier.prepare(image)
            array = np.ascontiguousarray(array)
            key = hashlib.sha256(array.tobytes()).hexdigest()[:12]
            self.images.setdefault(key, Stored(name, array, data_uri(shown)))
            uploads = [each for each in self.images if self.images[each].name == UPLOAD]
            for oldest in uploads[: max(0, len(self.images) - MOST_IMAGES)]:
                del self.images[oldest]
            return self._listed(key)

    def _listed(self, key: str) -> dict[str, str]:
        return {"id": key, "name": self.images[key].name, "picture": self.images[key].picture}

    def describe(self) -> dict[str, Any]:
        """The network, its blocks and its images."""
        return {
            "model": self.classifier.name,
            "classes": len(self.classifier.names),
            "blocks": self.blocks,
            "can_be_off": self.can_be_off,
            "images": [self._listed(key) for key in self.images],
        }

    def explore(
        self, key: str, target: int | None = None, off: Sequence[int] = (), maps: bool = True
    ) -> dict[str, Any]:
        """What the network makes of an image; without `maps` it is small, for a recording.

        Raises MiniResError for an unknown image, class or block.
        """
        image, side = self._image(key).array, LARGEST_GRADIENT if maps else LARGEST_GRADIENT // 2
        with self._lock:
            started = time.perf_counter()
            found = explore(self.model, image, target, off)
            whole = found.logits if not off else logits_of(self.model, image)
            seconds = time.perf_counter() - started
        return {
            "top": self._top(found.logits),
            "whole": self._top(whole),
            "target": found.target,
            "target_name": self.classifier.names[found.target],
            "probability": self._probability(found.logits, found.target),
            "at_input": _rounded(found.at_input),
            "blocks": [_block(block, maps) for block in found.blocks],
            "input_gradient": as_bytes(smaller(np.abs(found.input_gradient).max(0, keepdims=True), side)),
            "cam": as_bytes(found.cam[np.newaxis]),
            "milliseconds": round(1000 * seconds),
        }

    def paths(self, key: str, target: int) -> dict[str, Any]:
        """The lengths of the paths and the gradient that comes through them."""
        image = self._image(key).array
        if not 0 <= target < len(self.classifier.names):
            raise MiniResError(f"class {target}: the network has classes 0 … {len(self.classifier.names) - 1}")
        with self._lock:
            found = path_lengths(self.model, image, target)
        gradient = found["gradient"]
        return {**found, "gradient": None if gradient is None else [_rounded(each) for each in gradient]}

    def _image(self, key: str) -> Stored:
        if key not in self.images:
            raise MiniResError(f"there is no image {key!r} here: it was uploaded to another run; upload it again")
        return self.images[key]

    def _top(self, logits: npt.NDArray[np.float32]) -> list[dict[str, Any]]:
        guesses = Prediction("", logits, self.classifier.names).top(TOP)
        return [{"index": g.index, "name": g.name, "probability": _rounded(g.probability)} for g in guesses]

    def _probability(self, logits: npt.NDArray[np.float32], index: int) -> float:
        shifted = np.exp(logits.astype(np.float64) - logits.max())
        return _rounded(float(shifted[index] / shifted.sum()))


def _block(block: BlockFacts, maps: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": block.name,
        "off": block.off,
        "gradient": _rounded(block.gradient),
        "identity": _rounded(block.identity),
        "residual": _rounded(block.residual),
        "ratio": None if block.ratio is None else _rounded(block.ratio),
    }
    return {**facts, "maps": feature_maps(block.features)} if maps else facts


def _rounded(value: float) -> float:
    """Five digits; JSON has no infinity and no NaN."""
    if not math.isfinite(value):
        raise MiniResError("the network computes numbers that are not finite: are these weights trained?")
    return float(f"{value:.5g}")
