"""Softmax and cross-entropy on the GPU: a block for each row of logits."""

from __future__ import annotations

import math

import numpy as np

from minires.backend.arrays import Array
from minires.backend.cuda import layout
from minires.backend.cuda.eligibility import MOST, fit, is_on_gpu
from minires.backend.cuda.launch import launch

WARP, MOST_THREADS = 32, 256
LOGITS = 4  # of a thread, before a row gets another warp


def _threads(classes: int) -> int:
    """Of a block: whole warps, and a power of two of them."""
    threads = WARP
    while threads < MOST_THREADS and threads * LOGITS < classes:
        threads *= 2
    return threads


def _served(x: Array) -> bool:
    return fit(x) and x.ndim > 0 and max(x.size // x.shape[-1], x.shape[-1]) <= MOST


def _are_labels(labels: Array, x: Array) -> bool:
    return is_on_gpu(labels) and labels.dtype == np.int64 and labels.shape == x.shape[:1]


def log_softmax(x: Array, axis: int) -> Array:
    if axis != x.ndim - 1 or not _served(x):
        return NotImplemented
    x, classes = layout.dense(x), x.shape[-1]
    y = layout.empty(*x.shape)
    launch("softmax", "log_softmax", (math.prod(x.shape[:-1]),), _threads(classes), x, y, classes)
    return y


def cross_entropy(x: Array, labels: Array) -> Array:
    if x.ndim != 2 or not _served(x) or not _are_labels(labels, x):
        return NotImplemented
    loss = layout.empty(len(x))
    launch(
        "softmax", "cross_entropy", (len(x),), _threads(x.shape[1]),
        layout.dense(x), _dense_labels(labels), loss, x.shape[1],
    )  # fmt: skip
    return loss


def cross_entropy_grad(g: Array, x: Array, labels: Array) -> Array:
    if x.ndim != 2 or not _served(x) or not fit(g) or not _are_labels(labels, x):
        return NotImplemented
    gx = layout.empty(*x.shape)
    launch(
        "softmax", "cross_entropy_grad", (len(x),), _threads(x.shape[1]),
        layout.dense(g), layout.dense(x), _dense_labels(labels), gx, x.shape[1],
    )  # fmt: skip
    return gx


def _dense_labels(labels: Array) -> Array:
    return labels if labels.flags.c_contiguous and layout.is_aligned(labels) else labels.copy()
