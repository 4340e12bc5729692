"""Kernels that change the shape of an array, or select and place its elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minires.backend.arrays import Array, array_module


def reshape(x: Array, shape: tuple[int, ...]) -> Array:
    return x.reshape(shape)


def transpose(x: Array, axes: tuple[int, ...]) -> Array:
    return x.transpose(axes)


def broadcast_to(x: Array, shape: tuple[int, ...]) -> Array:
    return array_module(x).broadcast_to(x, shape)


def flip(x: Array, axes: tuple[int, ...]) -> Array:
    return x[tuple(slice(None, None, -1) if axis in axes else slice(None) for axis in range(x.ndim))]


def diagonal(x: Array, offset: int, axis1: int, axis2: int) -> Array:
    return array_module(x).diagonal(x, offset, axis1, axis2)


def pad(x: Array, widths: Sequence[tuple[int, int]], value: float) -> Array:
    return array_module(x).pad(x, widths, constant_values=value)


def concatenate(arrays: Sequence[Array], axis: int) -> Array:
    return array_module(arrays[0]).concatenate(arrays, axis=axis)


def index(x: Array, key: Any) -> Array:
    return x[key]


def index_add(g: Array, key: Any, shape: tuple[int, ...]) -> Array:
    xp = array_module(g)
    z = xp.zeros(shape, g.dtype)
    parts = key if isinstance(key, tuple) else (key,)
    if all(part is None or part is Ellipsis or isinstance(part, (int, slice)) for part in parts):
        z[key] = g  # basic indexing names no element twice
    else:
        xp.add.at(z, key, g)
    return z
