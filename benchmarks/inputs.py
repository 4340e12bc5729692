"""The weights, images and labels that all contenders of a run share: made once, by MiniRes, and read by each.

They go through a folder, so that no contender's process has to import another library than its own: that would count
in its memory. The images are an ordinary array, NCHW in C order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Inputs(NamedTuple):
    """What a contender computes with."""

    state: dict[str, np.ndarray]
    images: np.ndarray  # (N, 3, S, S) float32
    labels: np.ndarray  # (N,) int64


def write(folder: Path, model: str, batch: int, size: int, lived_in: bool) -> None:
    """Weights as a new `model` has them, noise for images, and any labels."""
    import minires as mr
    from minires import models

    mr.manual_seed(0)
    network = models.build(model)
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    generator = np.random.default_rng(0)
    images = generator.standard_normal((batch, 3, size, size), np.float32)
    np.savez(folder / "weights.npz", **(used(state, generator) if lived_in else state))
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", np.arange(batch) % network.fc.weight.shape[0])


def used(state: dict[str, np.ndarray], generator: np.random.Generator) -> dict[str, np.ndarray]:
    """The same with batch norms that have seen data: a new one is the identity, which hides mistakes in folding it."""
    used = dict(state)
    for name in (name.removesuffix("running_mean") for name in state if name.endswith("running_mean")):
        shape = state[f"{name}weight"].shape
        for key, low, high in (("weight", 0.5, 1.5), ("running_var", 0.5, 1.5)):
            used[name + key] = generator.uniform(low, high, shape).astype(np.float32)
        for key in ("bias", "running_mean"):
            used[name + key] = generator.normal(0, 0.1, shape).astype(np.float32)
    return used


def read(folder: Path) -> Inputs:
    """What `write` wrote."""
    with np.load(folder / "weights.npz") as weights:
        state: dict[str, Any] = {name: weights[name] for name in weights.files}
    return Inputs(state, np.load(folder / "images.npy"), np.load(folder / "labels.npy"))
