"""Log-softmax and cross-entropy: logits of any size, few and many classes, invalid labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minires.backend.cuda import softmax
from minires.backend.reference.provider import REFERENCE as reference
from tests.backend.cuda.device import ORDERS

EPS = float(np.finfo(np.float32).eps)


@settings(max_examples=25)
@given(
    images=st.integers(1, 9),
    classes=st.sampled_from([1, 2, 10, 31, 32, 33, 127, 128, 129, 257, 1000, 3001]),  # one warp to eight
    scale=st.sampled_from([1.0, 10.0, 1e4]),
    order=st.sampled_from(ORDERS),
)
def test_rows_of_any_length(device, images, classes, scale, order):
    rng = np.random.default_rng(0)
    x = (scale * rng.normal(size=(images, classes))).astype(np.float32)
    g, labels = rng.normal(size=images).astype(np.float32), rng.integers(0, classes, images)
    wide = x.astype(float)
    for actual, expected in (
        (device.run(softmax.log_softmax, x, 1, order=order), reference.log_softmax(wide, 1)),
        (device.run(softmax.cross_entropy, x, labels, order=order), reference.cross_entropy(wide, labels)),
    ):
        assert (abs(actual - expected) <= 4 * EPS * (1 + abs(expected))).all()
    gx = device.run(softmax.cross_entropy_grad, g, x, labels, order=order)
    # If t has an error of t roundings, exp(−t) has an error of t·exp(−t) < 0.37 roundings.
    assert (abs(gx - reference.cross_entropy_grad(g.astype(float), wide, labels)) <= 8 * EPS * abs(g[:, None])).all()


def test_logits_of_any_size(device):
    x = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [3e38, -3e38, 0], [1e4, 1e4, 1e4 - 1]], np.float32)
    labels = np.array([1, 2, 0, 2])
    wide, ones = x.astype(float), np.ones(4, np.float32)
    for expected, actual in (
        (reference.log_softmax(wide, 1), device.run(softmax.log_softmax, x, 1)),
        (reference.cross_entropy(wide, labels), device.run(softmax.cross_entropy, x, labels)),
        (
            reference.cross_entropy_grad(ones.astype(float), wide, labels),
            device.run(softmax.cross_entropy_grad, ones, x, labels),
        ),
    ):
        finite = abs(expected) < 3.4e38  # −6e38 is −∞ in float32, as the loss of it is
        np.testing.assert_allclose(actual[finite], expected[finite], rtol=1e-6, atol=1e-7)
        assert np.isinf(actual[~finite]).all()


@pytest.mark.parametrize("classes", [4, 1000])
def test_infinite_logits_are_as_strange_as_the_reference_s(device, classes):
    x = np.zeros((5, classes), np.float32)
    x[0, ::2], x[1], x[2, 1], x[3, -1] = -np.inf, -np.inf, np.inf, np.nan
    labels, ones = np.array([1, 0, 1, 0, 2]), np.ones(5, np.float32)
    with np.errstate(all="ignore"):
        expected = (
            reference.log_softmax(x, 1),
            reference.cross_entropy(x, labels),
            reference.cross_entropy_grad(ones, x, labels),
        )
    actual = (
        device.run(softmax.log_softmax, x, 1),
        device.run(softmax.cross_entropy, x, labels),
        device.run(softmax.cross_entropy_grad, ones, x, labels),
    )
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-6, atol=1e-6)  # NaN and infinities at the same places


def test_a_sure_and_right_prediction_has_a_small_loss_not_none(device):
    x = np.array([[0, -20]], np.float32)
    loss = device.run(softmax.cross_entropy, x, np.array([0]))
    np.testing.assert_allclose(loss, np.log1p(np.exp(-20)), rtol=1e-6)


def test_a_label_that_is_no_class_is_nan(device):
    """The ops reject such a label; the kernel must only not read other memory."""
    x, labels = np.zeros((3, 5), np.float32), np.array([5, -1, 1 << 40])
    assert np.isnan(device.run(softmax.cross_entropy, x, labels)).all()
    np.testing.assert_allclose(device.run(softmax.cross_entropy_grad, np.ones(3, "f"), x, labels), 0.2, rtol=1e-6)


def test_softmax_along_the_last_of_any_axes(device):
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(device.run(softmax.log_softmax, x, 3), reference.log_softmax(x, 3), rtol=1e-5, atol=1e-6)
    y = device.run(softmax.log_softmax, x[0, 0, 0], 0)
    np.testing.assert_allclose(y, reference.log_softmax(x[0, 0, 0], 0), rtol=1e-5, atol=1e-6)
