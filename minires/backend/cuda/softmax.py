"""Log-softmax and cross-entropy on the GPU. One block computes one row of logits."""

from __future__ import annotations

import math

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import MAX_ROWS, is_on_gpu, is_supported
from minires.backend.cuda.launch import launch

WARP, MAX_THREADS = 32, 256
LOGITS_PER_THREAD = 4  # a longer row gets more warps


def _threads(classes: int) -> int:
    """Threads of a block: a power of two of whole warps."""
    threads = WARP
    while threads < MAX_THREADS and threads * LOGITS_PER_THREAD < classes:
        threads *= 2
    return threads


def _is_supported(x: Array) -> bool:
    return is_supported(x) and x.ndim > 0 and max(x.size // x.shape[-1], x.shape[-1]) <= MAX_ROWS


def _are_labels(labels: Array, x: Array) -> bool:
    return is_on_gpu(labels) and labels.dtype == np.int64 and labels.shape == x.shape[:1]


def log_softmax(x: Array, axis: int) -> Array:
    if axis != x.ndim - 1 or not _is_supported(x):
        return NotImplemented
    x, classes = layout.dense(x), x.shape[-1]
    y = layout.empty(*x.shape)
    launch("softmax", "log_softmax", (math.prod(x.shape[:-1]),), _threads(classes), x, y, classes)
    return y


def cross_entropy(x: Array, labels: Array) -> Array:
    if x.ndim != 2 or not _is_supported(x) or not _are_labels(labels, x):
        return NotImplemented
    loss = layout.empty(len(x))
    launch(
        "softmax", "cross_entropy", (len(x),), _threads(x.shape[1]),
        layout.dense(x), layout.dense(labels), loss, x.shape[1],
    )  # fmt: skip
    return loss


def cross_entropy_grad(g: Array, x: Array, labels: Array) -> Array:
    if x.ndim != 2 or not _is_supported(x) or not is_supported(g) or not _are_labels(labels, x):
        return NotImplemented
    gx = layout.empty(*x.shape)
    launch(
        "softmax", "cross_entropy_grad", (len(x),), _threads(x.shape[1]),
        layout.dense(g), layout.dense(x), layout.dense(labels), gx, x.shape[1],
    )  # fmt: skip
    return gx
