"""Memory layouts of the same numbers. The kernels accept all of them and give the same result for each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray


def channels_last(array: Array) -> Array:
    """Channels-last, the layout that the kernels work on."""
    if array.ndim != 4:
        return np.array(array, order="C")
    return np.array(array.transpose(0, 2, 3, 1), order="C").transpose(0, 3, 1, 2)


def rows(array: Array) -> Array:
    """C order, the layout of NumPy and of a data loader."""
    return np.array(array, order="C")


def fortran(array: Array) -> Array:
    return np.array(array, order="F")


def with_gaps(array: Array) -> Array:
    """Every second element along each axis of a larger array, with NaN between them."""
    wide = np.full([2 * n for n in array.shape], np.nan if array.dtype.kind == "f" else 77, array.dtype)
    view = wide[(..., *(slice(None, None, 2),) * array.ndim)]
    view[...] = array
    return view


def backwards(array: Array) -> Array:
    """Negative strides on all axes, channels innermost."""
    turn = (..., *(slice(None, None, -1),) * array.ndim)
    return channels_last(array[turn])[turn]


def some_channels(array: Array) -> Array:
    """Channels-last, but a slice of an array with more channels, as `x[:, 1:-1]` is."""
    if array.ndim < 2:
        return with_gaps(array)
    wide = channels_last(np.repeat(array[:, :1], array.shape[1] + 2, axis=1))
    view = wide[:, 1:-1]
    view[...] = array
    return view


def misaligned(array: Array) -> Array:
    """Misaligned by one byte; otherwise channels-last."""
    template = channels_last(array)
    memory = np.empty(template.nbytes + 1, np.uint8)[1:]
    order = (0, 2, 3, 1) if template.ndim == 4 else tuple(range(template.ndim))
    back = (0, 3, 1, 2) if template.ndim == 4 else order
    view = memory.view(template.dtype).reshape([template.shape[axis] for axis in order]).transpose(back)
    view[...] = array
    return view


def in_records(array: Array) -> Array:
    """A field of a structured array: its strides are not multiples of its size."""
    records = np.zeros(array.shape, np.dtype([("before", np.uint8), ("value", array.dtype), ("behind", np.uint16)]))
    view = records["value"]
    view[...] = array
    return view


def read_only(array: Array) -> Array:
    view = channels_last(array)
    view.flags.writeable = False
    return view


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    layout.__name__.replace("_", " "): layout
    for layout in (
        channels_last,
        rows,
        fortran,
        with_gaps,
        backwards,
        some_channels,
        misaligned,
        in_records,
        read_only,
    )
}
