"""Moves batches from the loader (NumPy arrays) to the device and dtype of the model, and computes their loss.

Labels are validated on the host: reading them on the GPU would synchronise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minires import backend
from minires import functional as F
from minires.backend import Array
from minires.core.modes import indices_checked
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.nn import Module

IGNORE_INDEX = -100  # a label that does not count, as in `functional.cross_entropy`


def device_of(model: Module) -> str:
    """The device of the parameters of `model`; "cpu" if it has none."""
    return next((parameter.device for parameter in model.parameters()), "cpu")


def as_input(images: Array, model: Module) -> Tensor:
    """`images` (B, C, H, W) as a Tensor on the device and in the dtype of `model`."""
    dtype = next((parameter.dtype for parameter in model.parameters()), images.dtype)
    return Tensor(backend.to_device(images.astype(dtype, copy=False), device_of(model)))


def as_target(labels: Array, model: Module) -> Tensor:
    """`labels` int64 (B,) as a Tensor on the device of `model`."""
    return Tensor(backend.to_device(labels, device_of(model)))


def labels_are_classes(labels: Any, classes: int) -> bool:
    """Whether all labels (B,) are known to be classes, 0 … classes - 1; False for labels on the GPU (not read).

    Raises ShapeError if a label in host memory is neither a class nor IGNORE_INDEX.
    """
    if not isinstance(labels, np.ndarray):
        return False
    strange = labels[((labels < 0) | (labels >= classes)) & (labels != IGNORE_INDEX)]
    if len(strange):
        raise ShapeError(f"label {strange[0]} is out of range: the network has classes 0 … {classes - 1}")
    return len(labels) > 0 and bool(labels.min() >= 0)


def mean_loss(logits: Tensor, labels: Array, target: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """The mean cross-entropy of a batch, a Tensor (): logits (B, classes), labels (B,) on the host or the device.

    `target` holds the same labels as a Tensor on the device of `logits` (`as_target`).
    """
    if logits.ndim != 2 or not labels_are_classes(labels, logits.shape[1]):
        return F.cross_entropy(logits, target, label_smoothing=label_smoothing)
    with indices_checked():
        return F.cross_entropy(logits, target, label_smoothing=label_smoothing)
