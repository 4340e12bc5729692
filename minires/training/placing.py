"""Batches come from the loader as NumPy arrays; the model says where they go and in which precision.

Before labels leave host memory they are looked at, for on a GPU a look is a wait for all that it was asked for before.
"""

from __future__ import annotations

import numpy as np

from minires import backend
from minires import functional as F
from minires.backend import Array
from minires.core.modes import indices_checked
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.nn import Module


def device_of(model: Module) -> str:
    """Where the parameters of `model` live; "cpu" for a model without any."""
    return next((parameter.device for parameter in model.parameters()), "cpu")


def as_input(images: Array, model: Module) -> Tensor:
    """`images` (B, C, H, W) as a Tensor on the device and in the dtype of `model`."""
    dtype = next((parameter.dtype for parameter in model.parameters()), images.dtype)
    return Tensor(backend.to_device(images.astype(dtype, copy=False), device_of(model)))


IGNORED = -100  # a label that counts for nothing, as in `functional.cross_entropy`


def all_count(labels: Array, classes: int) -> bool:
    """Whether the labels, in host memory, all name a class. Raises ShapeError if one is neither a class nor IGNORED."""
    if not isinstance(labels, np.ndarray):
        return False  # on the GPU: who knows
    strange = labels[((labels < 0) | (labels >= classes)) & (labels != IGNORED)]
    if len(strange):
        raise ShapeError(f"label {strange[0]} is out of range: the network tells classes 0 … {classes - 1} apart")
    return len(labels) > 0 and bool(labels.min() >= 0)


def as_target(labels: Array, model: Module) -> Tensor:
    """`labels` int64 (B,) on the device of `model`."""
    return Tensor(backend.to_device(labels, device_of(model)))


def mean_loss(logits: Tensor, labels: Array, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """The cross-entropy of a batch; `target` is `labels` as `as_target` gives them."""
    if logits.ndim != 2 or not all_count(labels, logits.shape[1]):
        return F.cross_entropy(logits, target, label_smoothing=label_smoothing)
    with indices_checked():
        return F.cross_entropy(logits, target, label_smoothing=label_smoothing)
