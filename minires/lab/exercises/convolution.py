"""The exercises of "Convolution as im2col"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minires import functional as F
from minires.core.tensor import Tensor
from minires.lab.exercises.exercise import Exercise, Wrong, array, like, normal

# (shape of the images, kernel, stride, padding)
_CASES = (
    ((1, 1, 3, 3), (2, 2), (1, 1), (0, 0)),
    ((2, 3, 5, 5), (3, 3), (1, 1), (1, 1)),
    ((1, 2, 6, 7), (2, 3), (2, 2), (0, 1)),
    ((1, 1, 7, 7), (3, 3), (3, 2), (0, 0)),
    ((1, 2, 8, 8), (3, 3), (2, 2), (1, 1)),  # the last row and column are not reached
)


def _text(shape: tuple[int, ...], kernel: Any, stride: Any, padding: Any) -> str:
    return f"x {shape}, kernel {kernel}, stride {stride}, padding {padding}"


def _im2col(im2col: Callable[..., Any]) -> str:
    """The columns are F.unfold's: one for each place of the window, its rows ordered channel, row, column."""
    for shape, kernel, stride, padding in _CASES:
        x = normal(*shape)
        expected = F.unfold(Tensor(x), kernel, padding=padding, stride=stride).numpy()
        found = array(im2col(x.copy(), kernel, stride, padding), "im2col(x, kernel, stride, padding)")
        case = _text(shape, kernel, stride, padding)
        if found.shape != expected.shape:
            n, rows, places = expected.shape
            raise Wrong(
                f"For {case} the columns have shape {found.shape}. There are {n} images, {rows} numbers in a window "
                f"(channels · rows · columns), and {places} places of it: {expected.shape}."
            )
        if not np.allclose(found, expected):
            order = "The right numbers are there in another order" if _same_numbers(found, expected) else "It is wrong"
            raise Wrong(
                f"For {case}: {order}. The rows of a column go channel by channel, in each row by row; the columns go "
                "over the output row by row."
            )
    return "patches become columns, for five windows."


def _same_numbers(a: np.ndarray, b: np.ndarray) -> bool:
    return np.allclose(np.sort(a.ravel()), np.sort(b.ravel()))


def _col2im(col2im: Callable[..., Any]) -> str:
    """The transpose of im2col, F.fold: each number of a column is added to the pixel it came from."""
    for shape, kernel, stride, padding in _CASES:
        places = F.unfold(Tensor(normal(*shape)), kernel, padding=padding, stride=stride).numpy().shape
        columns = normal(*places, seed=1)
        expected = F.fold(Tensor(columns), shape[2:], kernel, padding=padding, stride=stride).numpy()
        counts = F.fold(Tensor(np.ones(places)), shape[2:], kernel, padding=padding, stride=stride).numpy()
        found = array(col2im(columns.copy(), shape, kernel, stride, padding), "col2im(columns, …)")
        case = _text(shape, kernel, stride, padding)
        if found.shape != shape:
            padded = (*shape[:2], shape[2] + 2 * padding[0], shape[3] + 2 * padding[1])
            hint = " Cut the padding off again." if found.shape == padded else ""
            raise Wrong(f"For {case} the images have shape {found.shape}, and should have {shape}.{hint}")
        if np.allclose(found, expected):
            continue
        if np.allclose(found, expected / np.maximum(counts, 1)):
            raise Wrong(f"For {case}: you take the mean where windows overlap. Gradients of copies add up.")
        right = np.isclose(found, expected)
        if right[counts <= 1].all():
            raise Wrong(
                f"For {case}: right where a pixel is in one window, wrong where it is in several. im2col has copied "
                "such a pixel, and the gradients of copies add up. Does one window overwrite another?"
            )
        like(found, expected, f"col2im for {case}")
    return "every number goes back to the pixel it came from, and overlapping windows add up."


EXERCISES = (
    Exercise("convolution.im2col", "Patches become columns", _im2col),
    Exercise("convolution.col2im", "Columns are added back", _col2im),
)
