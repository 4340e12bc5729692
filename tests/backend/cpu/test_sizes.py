"""Arguments whose products do not fit in 64 bits, and images that do not fit in memory."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from minires.backend import cpu
from minires.backend.cpu.provider import CPU
from minires.backend.shapes import Window
from minires.errors import ShapeError

if cpu.library is None:
    pytest.skip("the C kernels are not built here", allow_module_level=True)

X, W = np.ones((1, 3, 8, 8), np.float32), np.ones((4, 3, 3, 3), np.float32)


def window(padding: int, stride: int = 1, dilation: int = 1) -> Window:
    return Window((3, 3), (stride, stride), (padding, padding), (dilation, dilation))


@pytest.mark.parametrize(
    ("padding", "stride", "dilation"),
    [(2**30 - 4, 2**29, 1), (2**61, 2**60, 1), (2**61, 1, 2**61), (2**40, 1, 2**40), (2**62, 1, 1), (2**31, 1, 1)],
)
def test_sizes_that_overflow(padding, stride, dilation):
    with pytest.raises(MemoryError, match=r"CPU kernel: .*padd.* is too large for any memory"):
        CPU.conv2d(X, W, None, window(padding, stride, dilation), 1)
    gy = np.ones((1, 4, 5, 5), np.float32)
    with pytest.raises(MemoryError, match=r"CPU kernel: .*padd.* is too large for any memory"):
        CPU.conv2d_grad_weight(X, gy, window(padding, stride, dilation), 1)
    with pytest.raises(MemoryError, match=r"CPU kernel: .*padd.* is too large for any memory"):
        cpu.library.conv2d_grad_input(gy, W, (8, 8), *window(padding, stride, dilation)[1:], 1, 0)


def test_a_pooling_with_sizes_that_overflow():
    with pytest.raises(MemoryError, match=r"the padded image is too large for any memory"):
        cpu.library.max_pool2d(X, (3, 3), (3, 3), (2**60, 2**60), (2**61, 2**61), (1, 1))
    with pytest.raises(ValueError, match="more windows than fit in the padded image"):
        cpu.library.max_pool2d(X, (3, 2**40), (3, 3), (2**40, 2**40), (1, 1), (1, 1))


def test_numbers_beyond_64_bits():
    with pytest.raises(ShapeError, match=r"conv2d: padding \(9223372036854775808, .* is too large: .* 64 bits"):
        CPU.conv2d(X, W, None, window(2**63), 1)
    with pytest.raises(ShapeError, match=r"pooling: stride \(1180591620717411303424, .* is too large"):
        CPU.max_pool2d(X, window(1, stride=2**70), False)


def test_matrices_that_only_pretend_to_be_large():
    wide = as_strided(np.ones(1, np.float32), (1, 2**59), (0, 0))
    with pytest.raises(MemoryError, match="the left matrix is too large for any memory: 1 x 576460752303423488 x"):
        cpu.library.matmul(wide, wide.T, None, None)


def test_a_large_stride_or_dilation_may_mean_nothing():
    most = 2**63 - 1
    far = window(0, stride=most)
    np.testing.assert_array_equal(CPU.conv2d(X, W, None, far, 1), np.full((1, 4, 1, 1), 27))
    np.testing.assert_array_equal(CPU.max_pool2d(X, Window((1, 1), dilation=(most, most)), False)[0], X)
    np.testing.assert_array_equal(CPU.avg_pool2d(X, far, False, True), np.ones((1, 3, 1, 1), np.float32))


def test_an_image_for_which_there_is_no_memory():
    """128 TiB: a valid size for which there is no memory."""
    with pytest.raises(MemoryError, match="CPU kernel: not enough memory for its buffers"):
        CPU.conv2d(X[:, :1], W[:, :1], None, Window((3, 3), (2**20, 2**21), (2**21 - 4, 2**22 - 4)), 1)


def test_the_input_gradient_costs_what_the_image_costs_not_the_stride():
    gy = np.full((1, 4, 1, 1), 2, np.float32)
    start = time.perf_counter()
    gx = CPU.conv2d_grad_input(gy, W, (8, 8), window(0, stride=2**20), 1)
    assert time.perf_counter() - start < 1  # 2⁴⁰ phases would take hours
    expected = np.zeros((1, 3, 8, 8), np.float32)
    expected[:, :, :3, :3] = 8
    np.testing.assert_array_equal(gx, expected)
