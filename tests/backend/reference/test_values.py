"""The reference kernels on single values: NaN, infinities, signs, ties, complex numbers; the results are written out.

The reference is the oracle of the other providers' tests, so a mistake in it needs a test of its own.
"""

from __future__ import annotations

import numpy as np
import pytest

from minires.backend.reference import elementwise, loss, normalization, reduction, sgd, shape

NAN, INF = np.nan, np.inf


def equal(found, expected):
    np.testing.assert_array_equal(found, np.array(expected, np.asarray(found).dtype), strict=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relu_keeps_nan_and_its_mask_makes_zeros_of_infinities(dtype):
    x = np.array([-INF, -1, -0.0, 0, 2, INF, NAN], dtype)
    y = elementwise.relu(x)
    equal(y, [0, 0, 0, 0, 2, INF, NAN])
    equal(elementwise.relu_mask(np.full(7, INF, dtype), y), [0, 0, 0, 0, INF, INF, 0])
    equal(elementwise.relu_mask(np.full(7, NAN, dtype), y)[:4], [0, 0, 0, 0])


def test_complex_numbers_are_ordered_by_their_real_part():
    x, y = np.array([1 + 9j, -2 - 1j, 0 + 5j, NAN]), np.array([2 - 9j, -2 + 7j, -1 + 0j, 1 + 0j])
    equal(elementwise.maximum(x, y)[:3], [2 - 9j, -2 - 1j, 0 + 5j])
    equal(elementwise.minimum(x, y)[:3], [1 + 9j, -2 - 1j, -1 + 0j])
    assert np.isnan([elementwise.maximum(x, y)[3], elementwise.minimum(x, y)[3]]).all()
    equal(elementwise.relu(x)[:3], [1 + 9j, 0, 0])
    equal(elementwise.absolute(x)[:3], [1 + 9j, 2 + 1j, 0 + 5j])
    equal(elementwise.sign(x)[:3], [1, -1, 0])
    equal(elementwise.astype(x, np.float64)[:3], [1.0, -2.0, 0.0])
    assert elementwise.compare(x, y, "<").tolist() == [True, False, False, False]


def test_real_maxima_and_minima_keep_nan():
    x, y = np.array([NAN, 1.0, 3.0]), np.array([1.0, NAN, 2.0])
    equal(elementwise.maximum(x, y), [NAN, NAN, 3])
    equal(elementwise.minimum(x, y), [NAN, NAN, 2])


def test_sigmoid_neither_overflows_nor_loses_small_values():
    found = elementwise.sigmoid(np.array([-700.0, -40, 0, 40, 800]))
    np.testing.assert_allclose(found, [9.859676543759770e-305, 4.248354255291589e-18, 0.5, 1, 1], rtol=1e-12)


@pytest.mark.parametrize(
    ("exponent", "expected"), [(2.0, [4, 9, 0.25]), (3.0, [-8, 27, 0.125]), (0.0, [1, 1, 1]), (-1.0, [-0.5, 1 / 3, 2])]
)
def test_powers(exponent, expected):
    np.testing.assert_allclose(elementwise.power(np.array([-2.0, 3.0, 0.5]), np.array(exponent)), expected, rtol=1e-15)


def test_only_floating_point_numbers_can_be_infinite():
    assert elementwise.isfinite(np.array([1, 2]))
    assert elementwise.isfinite(np.array([1.0, -2.0]))
    assert not elementwise.isfinite(np.array([1.0, NAN]))
    assert not elementwise.isfinite(np.array([complex(0, INF)]))


def test_sums_along_each_axis_of_channels_last_images():
    x = np.arange(24.0).reshape(1, 2, 3, 4).transpose(0, 3, 1, 2)  # (N, C, H, W) whose channels lie next to each other
    equal(reduction.sum(x, (0, 2, 3), False), [60, 66, 72, 78])
    equal(reduction.sum(x, (1,), True)[0, 0], [[6, 22, 38], [54, 70, 86]])
    assert reduction.sum(x, (0, 2, 3), True).shape == (1, 4, 1, 1)


def test_the_largest_complex_number_and_its_place():
    x = np.array([[1 + 5j, 3 - 1j], [3 + 2j, -4j]])
    assert reduction.max(x, (0, 1), False) == 3 - 1j  # the first of two with the same real part
    equal(reduction.max(x, (0,), True), [[3 + 2j, 3 - 1j]])
    assert reduction.argmax(x, 1).tolist() == [1, 0]


def test_an_index_that_names_an_element_twice_adds_to_it_twice():
    g = np.array([1.0, 2.0, 4.0])
    equal(shape.index_add(g, np.array([2, 0, 2]), (3,)), [2, 0, 5])
    equal(shape.index_add(g, (slice(0, 6, 2),), (6,)), [1, 0, 2, 0, 4, 0])
    equal(shape.index_add(g, Ellipsis, (3,)), [1, 2, 4])


def test_flips_and_pads():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    equal(shape.flip(x, (1,)), [[2, 1], [4, 3]])
    equal(shape.flip(x, (0,)), [[3, 4], [1, 2]])
    equal(shape.pad(x, ((0, 1), (2, 0)), -1.0), [[-1, -1, 1, 2], [-1, -1, 3, 4], [-1, -1, -1, -1]])


def test_log_softmax_of_huge_and_of_infinite_logits():
    equal(normalization.log_softmax(np.array([[1e300, 0.0, -1e300]]), 1), [[0, -1e300, -2e300]])
    found = normalization.log_softmax(np.array([[0.0, 0.0, -INF]]), 1)
    np.testing.assert_allclose(found, [[-np.log(2), -np.log(2), -INF]], rtol=1e-15)


def test_cross_entropy_and_its_gradient():
    x = np.log(np.array([[1.0, 3.0], [4.0, 1.0]]))
    np.testing.assert_allclose(loss.cross_entropy(x, np.array([1, 1])), [np.log(4 / 3), np.log(5)], rtol=1e-15)
    found = loss.cross_entropy_grad(np.array([1.0, 10.0]), x, np.array([1, 1]))
    np.testing.assert_allclose(found, [[0.25, -0.25], [8, -8]], rtol=1e-14)


def test_batch_norm_of_two_values_a_channel():
    """Mean 3 and variance 4 of 1 and 5: the values become −1 and 1, times 10, plus 2."""
    x = np.array([[1.0], [5.0]])
    mean, var = normalization.batch_norm_stats(x)
    equal(mean, [3])
    equal(var, [4])
    weight, bias = np.array([10.0]), np.array([2.0])
    equal(normalization.batch_norm(x, mean, var, weight, bias, 0.0, None, False), [[-8], [12]])
    equal(normalization.batch_norm(x, mean, var, weight, bias, 0.0, np.array([[9.0], [-20.0]]), True), [[1], [0]])
    equal(normalization.batch_norm(x, mean, var, None, None, 12.0, None, False), [[-0.5], [0.5]])  # 2 / √(4 + 12)


def test_running_statistics_take_the_unbiased_variance():
    mean, var = np.array([1.0]), np.array([2.0])
    normalization.batch_norm_update_stats(mean, var, np.array([3.0]), np.array([4.0]), m=5, momentum=0.25)
    equal(mean, [1.5])  # 1 + (3 − 1)/4
    equal(var, [2.75])  # 2 + (4·5/4 − 2)/4


def test_steps_of_sgd_in_numbers():
    """torch.optim.SGD: v = μ·v + (1 − dampening)·d with d = g + λ·θ; θ −= lr·v, or with Nesterov lr·(d + μ·v)."""
    for nesterov, expected in ((False, 1 - 0.1 * 2.0), (True, 1 - 0.1 * (3.0 + 0.5 * 2.0))):
        theta, velocity = np.array([1.0]), np.array([1.0])
        sgd.sgd_step([theta], [np.array([1.0])], [velocity], 0.1, 0.5, 2.0, 0.5, nesterov)
        np.testing.assert_allclose(velocity, [2.0], rtol=1e-15)  # 0.5·1 + 0.5·(1 + 2·1)
        np.testing.assert_allclose(theta, [expected], rtol=1e-15)
    theta = np.array([1.0])
    sgd.sgd_step([theta], [np.array([1.0])], None, 0.1, 0.0, 0.0, 0.0, False)
    np.testing.assert_allclose(theta, [0.9], rtol=1e-15)


def test_the_relu_of_a_complex_batch_norm_goes_by_the_real_part():
    """A complex step carries the derivative in the imaginary part: it passes where the real part is above 0."""
    x = np.array([[2 + 1e-20j], [-3 + 1e-20j], [0 - 1e-20j]])
    y = normalization.batch_norm(x, np.zeros(1), np.ones(1), None, None, 0.0, None, True)
    np.testing.assert_array_equal(y, [[2 + 1e-20j], [0], [0]])
