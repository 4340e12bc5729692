"""Reductions over axes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minires.backend.arrays import Array, array_module, keep_dims


def sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    if isinstance(x, np.ndarray) and x.ndim == 4 and 1 not in axes and x.strides[1] == x.itemsize:
        # NumPy sums pairwise along the innermost axis in memory. Along any other axis it adds in one chain, whose
        # rounding error in float32 grows with its length.
        x = np.ascontiguousarray(x)
    dtype = np.int64 if x.dtype.kind in "biu" else None  # NumPy would make uint64 of uint8
    return x.sum(axis=axes, keepdims=keepdims, dtype=dtype)


def max(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    return x.max(axis=axes, keepdims=keepdims) if x.dtype.kind != "c" else _found(argmax, x, axes, keepdims)


def min(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    return x.min(axis=axes, keepdims=keepdims) if x.dtype.kind != "c" else _found(argmin, x, axes, keepdims)


def _found(find: Callable[[Array, int], Array], x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Complex numbers are ordered by their real part: move the reduced axes to the end, flatten them, and find one."""
    xp = array_module(x)
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    rows = x.transpose(*kept, *axes).reshape([x.shape[axis] for axis in kept] + [-1])
    y = xp.take_along_axis(rows, find(rows, -1)[..., None], -1)[..., 0]
    return keep_dims(y, x.shape, axes) if keepdims else y


def argmax(x: Array, axis: int) -> Array:
    return x.real.argmax(axis=axis)


def argmin(x: Array, axis: int) -> Array:
    return x.real.argmin(axis=axis)


def argsort(x: Array, axis: int) -> Array:
    return array_module(x).argsort(x.real, axis=axis, kind="stable")


def cumsum(x: Array, axis: int) -> Array:
    return array_module(x).cumsum(x, axis=axis, dtype=np.int64 if x.dtype.kind in "biu" else None)
