"""The geometry of a window against counting, and the walk over its kernel positions against loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minires import backend
from minires.backend.reference.im2col import col2im, im2col
from minires.backend.reference.provider import REFERENCE as reference
from minires.backend.shapes import Window
from minires.errors import ShapeError
from minires.ops.pool import AvgPool2d, SplitEqually
from tests.backend import naive


def pairs(least, most):
    return st.tuples(st.integers(least, most), st.integers(least, most))


WINDOWS = st.builds(Window, pairs(1, 4), pairs(1, 3), pairs(0, 2), pairs(1, 3))


@given(WINDOWS, pairs(0, 6), st.booleans())
def test_sizes_are_what_one_counts(window, more, ceil_mode):
    """For every input that has an output; with the paddings that a pooling allows, at most half a window."""
    window = window._replace(padding=tuple(map(min, window.padding, (n // 2 for n in window.span))))
    height, width = (max(n, 1) + k for n, k in zip(window.smallest_input_size((1, 1)), more, strict=True))
    counted = tuple(naive._size(n, *axis, ceil_mode) for n, *axis in zip((height, width), *window, strict=True))
    assert window.output_size((height, width), ceil_mode) == counted
    padded_size = window.padded_size((height, width))
    assert window.without_padding.output_size(padded_size) == window.output_size((height, width))


@given(WINDOWS, pairs(1, 5))
def test_the_smallest_input_of_an_output(window, output_size):
    height, width = window.smallest_input_size(output_size)
    assert window.output_size((height, width)) == output_size
    assert window.output_size((height - 1, width - 1)) == (output_size[0] - 1, output_size[1] - 1)
    assert window.covered_size(output_size) == window.padded_size((height, width))
    assert window.covered_size((1, 1)) == window.span


def test_what_has_no_meaning_is_refused():
    for field, value in (("kernel", (0, 1)), ("stride", (1, 0)), ("dilation", (0, 1)), ("padding", (0, -1))):
        with pytest.raises(ShapeError, match=f"op: {field} .* must be at least"):
            Window((2, 2))._replace(**{field: value}).check("op", (9, 9))
    with pytest.raises(ShapeError, match=r"op: kernel \(3, 2\) with dilation \(2, 1\) spans \(5, 2\) pixels"):
        Window((3, 2), padding=(1, 0), dilation=(2, 1)).check("op", (2, 9))
    Window((3, 2), padding=(1, 0), dilation=(2, 1)).check("op", (3, 9))


@pytest.mark.parametrize("provider", backend.available_providers())
def test_average_pooling_takes_no_dilation(provider):
    window, x = Window((2, 2), dilation=(1, 2)), np.ones((1, 1, 4, 4), np.float32)
    with backend.use_backend(provider):
        for pool in (
            lambda: AvgPool2d(window, False, True),
            lambda: SplitEqually((4, 4), window, False, True),
            lambda: backend.avg_pool2d(x, window, False, True),
            lambda: backend.avg_pool2d_split(x[:, :, :3, :2], (4, 4), window, True),
        ):
            with pytest.raises(ShapeError, match="average pooling has no dilation"):
                pool()


@given(WINDOWS, pairs(0, 3), st.integers(0, 99))
def test_im2col_against_loops_and_col2im_is_its_adjoint(window, more, seed):
    rng, shape = np.random.default_rng(seed), (2, 3, window.span[0] + more[0], window.span[1] + more[1])
    padded, (ho, wo) = rng.integers(-9, 10, shape), window.without_padding.output_size(shape[2:])
    expected = np.empty((3, *window.kernel, 2, ho, wo), int)
    (sh, sw), (dh, dw) = window.stride, window.dilation
    for c, i, j, n, p, q in itertools.product(*map(range, expected.shape)):
        expected[c, i, j, n, p, q] = padded[n, c, p * sh + i * dh, q * sw + j * dw]
    columns = im2col(padded, window)
    np.testing.assert_array_equal(columns, expected.reshape(3 * window.area, 2 * ho * wo))
    g = rng.integers(-9, 10, columns.shape)
    assert (columns * g).sum() == (padded * col2im(g, padded.shape, window)).sum()


def test_argmax_is_a_byte_as_long_as_one_will_do():
    for kernel, dtype in (((16, 16), "uint8"), ((16, 17), "int32")):
        _, argmax = reference.max_pool2d(np.ones((1, 1, 17, 17)), Window(kernel), False)
        assert argmax.dtype == Window(kernel).argmax_dtype == dtype
