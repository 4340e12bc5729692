"""Sums over the pixels of images and over the rows of matrices, in C."""

from __future__ import annotations

from minires.backend.arrays import Array
from minires.backend.cpu import machine
from minires.backend.cpu.eligibility import is_supported


def sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Over all pixels of a channels-last image: the global pooling; or of all images, or over rows: a bias's gradient.

    NumPy adds what does not lie innermost in one chain of float32, of any length; these sums are made of short ones.
    """
    if not is_supported(x) or (x.ndim == 4 and x.flags.c_contiguous):
        return NotImplemented
    if (x.ndim, axes) == (4, (2, 3)):
        y = machine.library.sum_pixels(x, 1.0, None)
    elif (x.ndim, axes) in ((4, (0, 2, 3)), (2, (0,))):
        y = machine.library.sum_rows(x)
    else:
        return NotImplemented
    return y.reshape([1 if axis in axes else n for axis, n in enumerate(x.shape)]) if keepdims else y
