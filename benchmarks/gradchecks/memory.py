"""Ops that keep something between calls: class-level caches, shared scratch buffers, counters."""

from __future__ import annotations

import numpy as np

from benchmarks.gradchecks import Array, Case, normal
from benchmarks.gradchecks.broken import broken
from benchmarks.gradchecks.honest import honest


@broken
def cache_of_the_class() -> Case:
    """tanh: backward reads y from a cache that all applications share, and that the last forward has written."""
    # y′ = 1 − y²; with another forward pass in between, y is that of another x.
    cache: dict[str, Array] = {}

    def forward(x: Array) -> Array:
        cache["y"] = np.tanh(x)
        return cache["y"]

    return Case(
        inputs=(normal(3, 4),),
        forward=forward,
        backward=lambda g, x: (g * (1 - cache["y"].real ** 2),),
        right=lambda g, x: (g * (1 - np.tanh(x) ** 2),),
    )


@broken
def shared_scratch_buffer() -> Case:
    """ReLU: the mask is kept in one scratch buffer for all applications."""
    # y′ = (x > 0); with another forward pass in between, the mask is that of another x.
    mask = np.zeros((3, 4), bool)

    def forward(x: Array) -> Array:
        mask[...] = x.real > 0
        return x * mask

    return Case(
        inputs=(normal(3, 4),),
        forward=forward,
        backward=lambda g, x: (g * mask,),
        right=lambda g, x: (g * (x > 0),),
        branches=lambda x: x > 0,
        on_branches=lambda positive, x: np.where(positive, x, 0),
        declared=False,
    )


@broken
def gradient_halved_later() -> Case:
    """sin: from the third backward on the gradient is halved."""
    calls = [0]

    def backward(g: Array, x: Array) -> tuple[Array]:
        calls[0] += 1
        return (g * np.cos(x) * (1.0 if calls[0] < 3 else 0.5),)

    return Case((normal(12),), np.sin, backward, lambda g, x: (g * np.cos(x),))


@honest
def cache_by_value() -> Case:
    """exp with a cache that is looked up by the numbers themselves."""
    cache: dict[bytes, Array] = {}

    def forward(x: Array) -> Array:
        return cache.setdefault(x.tobytes() + bytes(x.dtype.str, "ascii"), np.exp(x))

    return Case((normal(3, 4),), forward, lambda g, x: (g * forward(x),))
