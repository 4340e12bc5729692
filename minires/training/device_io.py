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
from minires.training.batches import map_arrays

IGNORE_INDEX = -100  # a label that does not count, as in `functional.cross_entropy`


def device_of(model: Module) -> str:
    """The device of the parameters of `model`; "cpu" if it has none."""
    return next((parameter.device for parameter in model.parameters()), "cpu")


def as_input(inputs: Any, model: Module) -> Any:
    """`inputs` as Tensors on the device of `model`, floats in its dtype: an array, or a tuple or dict of arrays.

    Integers stay integers: they may be indices.
    """
    first = next(model.parameters(), None)
    device, dtype = ("cpu", None) if first is None else (first.device, first.dtype)

    def moved(array: Array) -> Tensor:
        cast = array.astype(dtype, copy=False) if array.dtype.kind == "f" and dtype is not None else array
        return Tensor(backend.to_device(cast, device))

    return moved(inputs) if hasattr(inputs, "dtype") else map_arrays(moved, inputs)


as_target = as_input  # labels int64 (B,), or whatever a loss takes: floats in the model's dtype too


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
