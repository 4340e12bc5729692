"""im2col and col2im: compared with plain loops, checked as adjoints, and used to compute a convolution."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from minires.backend.cuda import im2col
from minires.backend.reference.provider import REFERENCE as reference
from minires.backend.shapes import Window
from tests.backend.cuda.device import ORDERS

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def convolutions(draw):
    """(x, window), with numbers of which sums are exact."""
    kernel, stride, dilation = draw(pairs), draw(pairs), draw(pairs)
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    window = Window(kernel, stride, padding, dilation)
    h, w = (max(draw(st.integers(1, 7)), least) for least in window.smallest_input_size((1, 1)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.integers(-8, 9, (draw(st.integers(1, 3)), draw(st.integers(1, 5)), h, w)).astype(np.float32)
    return x, window


def naive(x, window):
    """columns[(c,i,j), (n,p,q)], and for each number the pixel that it is, or None."""
    (n, c, h, w), (kernel, stride, padding, dilation) = x.shape, window
    ho, wo = window.output_size((h, w))
    columns, pixels = np.zeros((c, *kernel, n, ho, wo), np.float32), {}
    for place in itertools.product(*map(range, columns.shape)):
        channel, i, j, image, p, q = place
        row = p * stride[0] + i * dilation[0] - padding[0]
        column = q * stride[1] + j * dilation[1] - padding[1]
        if 0 <= row < h and 0 <= column < w:
            pixels[place] = (image, channel, row, column)
            columns[place] = x[pixels[place]]
    return columns, pixels


@settings(max_examples=20)
@given(case=convolutions(), order=st.sampled_from(ORDERS))
def test_both_against_loops(device, case, order):
    x, window = case
    columns, pixels = naive(*case)
    actual = device.run(im2col.im2col, *case, order=order)
    assert actual.shape == (x.shape[1] * window.area, columns[0, 0, 0].size)
    np.testing.assert_array_equal(actual, columns.reshape(actual.shape))

    g, image = np.random.default_rng(0).integers(-8, 9, columns.shape).astype(np.float32), np.zeros_like(x)
    for place, pixel in pixels.items():
        image[pixel] += g[place]
    actual = device.run(im2col.col2im, g.reshape(actual.shape), x.shape, window, order=order)
    np.testing.assert_array_equal(actual, image)


@settings(max_examples=20)
@given(case=convolutions())
def test_they_are_adjoint(device, case):
    x, window = case
    columns = device.run(im2col.im2col, *case)
    g = np.random.default_rng(0).integers(-8, 9, columns.shape).astype(np.float32)
    assert (columns * g).sum() == (x * device.run(im2col.col2im, g, x.shape, window)).sum()


@settings(max_examples=20)
@given(case=convolutions())
def test_convolution_is_a_matrix_product_with_the_columns(device, case):
    x, window = case
    w = np.random.default_rng(0).integers(-8, 9, (6, x.shape[1], *window.kernel)).astype(np.float32)
    expected = reference.conv2d(x, w, None, window, 1)
    y = w.reshape(6, -1) @ device.run(im2col.im2col, *case)
    np.testing.assert_array_equal(y.reshape(6, len(x), *expected.shape[2:]).transpose(1, 0, 2, 3), expected)
