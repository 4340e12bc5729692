"""Kernels of images that are neither convolution nor pooling: resampling along an axis, and patches as columns."""

from __future__ import annotations

from typing import Any

from minires.backend.arrays import Array, array_module
from minires.backend.reference.im2col import col2im, im2col
from minires.backend.shapes import Pair, Window


def resample(x: Array, axis: int, places: Any, weights: Any) -> Array:
    """y[…, p, …] = Σ_k weights[p,k] · x[…, places[p,k], …]; a weight 0 reads nothing, so no ∞ · 0 makes a NaN."""
    xp = array_module(x)
    order = sorted(range(x.ndim), key=lambda k: -x.strides[k])  # in the order of memory, rows are copied as a whole
    z, along = x.transpose(order), order.index(axis)
    factors = xp.asarray(weights, x.dtype).reshape(*weights.shape, *(1,) * (x.ndim - 1 - along))
    y: Any = None
    for k in range(places.shape[1]):
        taken = xp.take(z, xp.asarray(places[:, k]), axis=along)
        if (weights[:, k] != 1).any():
            taken *= factors[:, k]
        if y is None:
            y = taken
        else:
            y += taken
    before: tuple[Any, ...] = (slice(None),) * along
    for p in (weights == 0).any(axis=1).nonzero()[0]:  # some at the edges, as a rule: once more, without the zeros
        y[(*before, p)] = 0
        for k in weights[p].nonzero()[0]:
            y[(*before, p)] += z[(*before, places[p, k])] * factors[p, k].reshape(())
    return y.transpose([order.index(k) for k in range(x.ndim)])


def unfold(x: Array, window: Window) -> Array:
    """columns[n, (c,i,j), (p,q)] = x[n, c, p·s + i·d − P, q·s + j·d − P]: im2col, image by image."""
    n, c = x.shape[:2]
    (ph, pw) = window.padding
    padded = array_module(x).pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    columns = im2col(padded, window)
    ho, wo = window.output_size(x.shape[2:])
    return columns.reshape(c * window.area, n, ho * wo).transpose(1, 0, 2)


def fold(columns: Array, size: Pair, window: Window) -> Array:
    """x[n, c, p·s + i·d − P, q·s + j·d − P] += columns[n, (c,i,j), (p,q)], starting from zeros: col2im."""
    n, rows, places = columns.shape
    (height, width), (top, left) = size, window.padding
    shape = (n, rows // window.area, *window.padded_size(size))
    padded = col2im(columns.transpose(1, 0, 2).reshape(rows, n * places), shape, window)
    return padded[:, :, top : top + height, left : left + width]
