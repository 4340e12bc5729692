"""The weights, images and labels that all contenders of a run share: MiniRes writes them, each contender reads them.

They go through a folder, so that no contender's process has to import MiniRes as well: the import would count in its
memory. The images are an ordinary array, NCHW in C order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.suites import DEPTHWISE


class Inputs(NamedTuple):
    """What a contender computes with."""

    state: dict[str, np.ndarray]
    images: np.ndarray  # (N, 3, S, S) float32
    labels: np.ndarray  # (N,) int64


def write(folder: Path, model: str, batch: int, size: int, trained_norms: bool) -> None:
    """Writes the weights of a new `model`, noise for images, and labels 0, 1, 2, …

    `trained_norms` gives the batch norms random weights and statistics, as if they had been trained.
    """
    import minires as mr
    from benchmarks import networks

    if model == DEPTHWISE:  # its contenders make their own (peers/depthwise.py)
        return
    mr.manual_seed(0)
    network = networks.build(model)
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    generator = np.random.default_rng(0)
    images = generator.standard_normal((batch, 3, size, size), np.float32)
    np.savez(folder / "weights.npz", **(with_trained_norms(state, generator) if trained_norms else state))
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", np.arange(batch) % state[list(state)[-1]].shape[0])  # the classifier's bias


def with_trained_norms(state: dict[str, np.ndarray], generator: np.random.Generator) -> dict[str, np.ndarray]:
    """A copy of `state` in which no batch norm is the identity: a new one is, and would hide mistakes in folding it."""
    trained = dict(state)
    for name in (name.removesuffix("running_mean") for name in state if name.endswith("running_mean")):
        shape = state[f"{name}weight"].shape
        for key, low, high in (("weight", 0.5, 1.5), ("running_var", 0.5, 1.5)):
            trained[name + key] = generator.uniform(low, high, shape).astype(np.float32)
        for key in ("bias", "running_mean"):
            trained[name + key] = generator.normal(0, 0.1, shape).astype(np.float32)
    return trained


def read(folder: Path) -> Inputs:
    """Reads what `write` wrote."""
    with np.load(folder / "weights.npz") as weights:
        state: dict[str, Any] = {name: weights[name] for name in weights.files}
    return Inputs(state, np.load(folder / "images.npy"), np.load(folder / "labels.npy"))
