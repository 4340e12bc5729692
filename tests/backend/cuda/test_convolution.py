"""Convolution and the matrix product on the GPU, against the reference in float64."""

from __future__ import annotations

import itertools
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minires.backend.cuda import convolution, tiles
from minires.backend.cuda.precision import allow_tf32
from minires.backend.cuda.provider import CUDA as cuda
from minires.backend.reference.provider import REFERENCE as reference
from minires.backend.shapes import Window
from tests.backend.cpu import cases
from tests.backend.cuda.device import ORDERS

EXACT, TF32 = 5e-7, 1e-3  # relative to the largest value of |x| ∗ |w|

# images, channels, outputs, image, kernel, stride, padding, dilation; what is special about it
CASES = {
    "3×3": (2, 8, 16, (9, 7), (3, 3), (1, 1), (1, 1), (1, 1)),
    "the stem: three channels, 7×7, stride 2": (1, 3, 20, (15, 13), (7, 7), (2, 2), (3, 3), (1, 1)),
    "1×1": (3, 20, 36, (5, 6), (1, 1), (1, 1), (0, 0), (1, 1)),
    "1×1 with stride: three phases of the gradient are zero": (2, 8, 24, (7, 7), (1, 1), (2, 2), (0, 0), (1, 1)),
    "3×3, stride 2, numbers not divisible by 4": (2, 5, 33, (8, 9), (3, 3), (2, 2), (1, 1), (1, 1)),
    "deep: K divided among blocks": (1, 64, 70, (7, 7), (3, 3), (1, 1), (1, 1), (1, 1)),
    "stride and dilation with a common divisor": (1, 4, 8, (12, 11), (3, 3), (4, 4), (1, 1), (2, 2)),
    "stride larger than the kernel": (2, 4, 4, (8, 8), (2, 2), (3, 3), (0, 0), (1, 1)),
    "all different": (2, 8, 12, (10, 8), (2, 3), (2, 1), (0, 2), (2, 1)),
    "padding beyond the kernel": (1, 4, 4, (2, 3), (2, 2), (1, 1), (3, 3), (1, 1)),
    "wide: more than a tile of columns": (1, 4, 140, (5, 5), (3, 3), (1, 1), (1, 1), (1, 1)),
    "one pixel": (1, 1, 1, (1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
}


@pytest.fixture(params=[False, True], ids=["exact", "TF32"])
def bound(request):
    """The error bound, with TF32 allowed and not."""
    allow_tf32(request.param)
    yield TF32 if request.param else EXACT
    allow_tf32(False)


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def double(*arrays):
    return [array.astype(np.float64) for array in arrays]


def assert_close(result, expected, scale, bound):
    assert (result.dtype, result.shape) == (np.float32, expected.shape)
    assert np.abs(result - expected).max() <= bound * scale.max(), np.abs(result - expected).max() / scale.max()


def check_all_three(device, case, bound, order=0, groups=1):
    """Forward with a bias, input gradient, weight gradient, with random cotangents."""
    images, channels, outputs, image, *pairs = case
    window, width = Window(*pairs), channels // groups
    x, w, b = numbers(1, images, channels, *image), numbers(2, outputs, width, *window.kernel), numbers(3, outputs)
    gy = numbers(4, images, outputs, *window.output_size(image))
    for name, arrays, more in (
        ("conv2d", (x, w, b), ()),
        ("conv2d_grad_input", (gy, w), (image,)),
        ("conv2d_grad_weight", (x, gy), ()),
    ):
        rest = (*more, window, groups)
        result = device.run(getattr(cuda, name), *arrays, *rest, order=order)
        compute = getattr(reference, name)
        assert_close(result, compute(*double(*arrays), *rest), compute(*map(np.abs, double(*arrays)), *rest), bound)


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_convolution(device, bound, name):
    check_all_three(device, CASES[name], bound)


# groups, and images, channels, outputs, image, kernel, stride, padding, dilation
GROUPED = {
    "ResNeXt": (8, (2, 32, 32, (7, 9), (3, 3), (1, 1), (1, 1), (1, 1))),
    "strided": (4, (3, 20, 12, (9, 8), (3, 3), (2, 2), (1, 1), (1, 1))),
    "depthwise": (40, (2, 40, 40, (8, 7), (3, 3), (1, 1), (1, 1), (1, 1))),
    "depthwise, strided": (7, (2, 7, 7, (10, 9), (5, 5), (2, 2), (2, 2), (1, 1))),
    "channels multiplied": (5, (1, 5, 15, (6, 5), (3, 2), (1, 1), (1, 0), (1, 1))),
    "stride and dilation": (3, (2, 9, 6, (11, 12), (3, 2), (2, 3), (2, 1), (3, 2))),
    "stride beyond the kernel": (2, (2, 4, 6, (9, 8), (2, 2), (3, 3), (0, 0), (1, 1))),
}


@pytest.mark.parametrize("name", GROUPED)
def test_every_kind_of_convolution_in_groups(device, name):
    groups, case = GROUPED[name]
    for order in ORDERS:
        check_all_three(device, case, EXACT, order, groups)


def test_groups_with_residual_and_relu_in_the_same_pass(device):
    x, w, b = numbers(1, 2, 12, 6, 5), numbers(2, 18, 2, 3, 3), numbers(3, 18)
    residual, geometry = numbers(4, 2, 18, 6, 5), (Window((3, 3), padding=(1, 1)), 6)
    x[0, 3, 1, 1] = np.nan
    y = device.run(convolution.fused_conv2d, x, w, b, *geometry, residual, True)
    expected = reference.conv2d(*double(x, w, b), *geometry) + residual
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))  # only in its group, behind the ReLU too
    np.testing.assert_allclose(y, np.where(expected < 0, 0, expected), rtol=0, atol=1e-5)


def test_a_depthwise_weight_gradient_over_many_rows(device):
    """Several chunks of rows, of numbers with one sign, for which a single chain has the largest error."""
    x, gy = np.abs(numbers(1, 3, 4, 90, 70)), np.abs(numbers(2, 3, 4, 90, 70))
    geometry = (Window((3, 3), padding=(1, 1)), 4)
    expected = reference.conv2d_grad_weight(*double(x, gy), *geometry)
    assert_close(device.run(cuda.conv2d_grad_weight, x, gy, *geometry), expected, expected, EXACT)


@pytest.mark.parametrize("kernel", ["conv2d", "conv2d_grad_input", "conv2d_grad_weight", "matmul"])
@settings(max_examples=20)
@given(data=st.data())
def test_random_shapes_and_layouts(device, kernel, data):
    choices = cases.Drawn(data)
    with mock.patch.object(cases, "bound_of", return_value=EXACT):  # the CPU's cases allow more for Winograd
        case = cases.CASES[kernel](choices)
    case.may_decline = False
    device.check(case, getattr(cuda, kernel), choices.of(ORDERS))


@pytest.mark.parametrize("name", ["3×3", "deep: K divided among blocks"])
def test_the_same_bits_in_every_order_of_threads_and_every_layout(device, bound, name):
    images, channels, outputs, image, *pairs = CASES[name]
    window = Window(*pairs)
    x, w = numbers(1, images, channels, *image), numbers(2, outputs, channels, *window.kernel)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    results = [device.run(cuda.conv2d, x, w, None, window, 1, order=order) for order in ORDERS]
    results += [device.run(cuda.conv2d, last, w, None, window, 1)]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_every_tile_that_is_chosen_gives_the_same_product(device, bound, monkeypatch):
    """Every tile, also those that only a large product uses."""
    case = (1, 8, 130, (9, 8), (3, 3), (1, 1), (1, 1), (1, 1))
    for tile in (tiles.NARROW, tiles.SLIM, tiles.SMALL, tiles.LARGE, tiles.WIDE):
        if bound == EXACT and tile is tiles.WIDE:
            continue
        monkeypatch.setattr(convolution, "choose_tile", lambda *_, tile=tile: tile)
        check_all_three(device, case, bound)


@pytest.mark.parametrize("channels", [4, 64], ids=["whole", "K divided"])
def test_residual_and_relu_in_the_same_pass(device, bound, channels):
    for outputs in (36, 35):  # stores of several numbers, and of one
        x, w, b = numbers(1, 1, channels, 6, 5), numbers(2, outputs, channels, 3, 3), numbers(3, outputs)
        residual, geometry = numbers(4, 1, outputs, 6, 5), (Window((3, 3), padding=(1, 1)), 1)
        y = device.run(convolution.fused_conv2d, x, w, b, *geometry, residual, True)
        expected = reference.conv2d(*double(x, w, b), *geometry) + residual
        scale = reference.conv2d(*map(np.abs, double(x, w, b)), *geometry) + np.abs(residual)
        assert_close(y, np.maximum(expected, 0), scale, bound)


@pytest.mark.parametrize("channels", [3, 4], ids=["padded to 4", "4"])
def test_nan_and_infinity_reach_those_outputs_that_they_touch(device, bound, channels):
    x, w, geometry = numbers(1, 1, channels, 6, 6), numbers(2, 8, channels, 3, 3), (Window((3, 3), padding=(1, 1)), 1)
    x[0, 1, 0, 0], x[0, 2, 5, 5] = np.nan, np.inf
    for relu in (False, True):
        y = device.run(convolution.fused_conv2d, x, w, None, *geometry, None, relu)
        expected = reference.conv2d(*double(x, w), None, *geometry)
        expected = np.where(expected < 0, 0, expected) if relu else expected
        np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
        np.testing.assert_array_equal(np.isinf(y), np.isinf(expected))


def test_long_sums_keep_their_digits(device):
    """Sums of 9,216 products of one sign, for which a single chain of float32 additions has the largest error."""
    x, w = np.abs(numbers(1, 1, 1024, 3, 3)), np.abs(numbers(2, 4, 1024, 3, 3))
    geometry = (Window((3, 3)), 1)
    expected = reference.conv2d(*double(x, w), None, *geometry)
    assert_close(device.run(cuda.conv2d, x, w, None, *geometry), expected, expected, EXACT)
    rows, columns = x.reshape(1, -1), w.reshape(4, -1).T
    assert_close(device.run(cuda.matmul, rows, columns), rows.astype(np.float64) @ columns, expected, EXACT)


@pytest.mark.parametrize("depth", [4608, 12544, 65536])
def test_long_sums_keep_their_digits_where_blocks_abound(device, monkeypatch, depth):
    """With enough blocks, only the length of a sum causes split-K."""
    monkeypatch.setattr(tiles, "TARGET_BLOCKS", 1)
    rng = np.random.default_rng(0)
    x, y = rng.random((16, depth), np.float32), rng.random((depth, 16), np.float32)
    expected = np.matmul(*double(x, y))
    assert_close(device.run(cuda.matmul, x, y), expected, expected, EXACT)


def test_a_sum_too_long_for_a_grid_is_declined(device, monkeypatch):
    """A grid has at most 65,535 blocks along z, and each adds at most MAX_DEPTH products."""
    assert tiles.split_k(tiles.LARGE, 1, 1, 65535 * tiles.MAX_DEPTH)[0] == 65535
    assert tiles.split_k(tiles.LARGE, 1, 1, 65535 * tiles.MAX_DEPTH + 1)[0] == 65536
    monkeypatch.setattr(tiles, "MAX_DEPTH", 16)
    ones = np.ones((1, 65536 * 16), np.float32)
    x, images = device.upload(ones), device.upload(ones.reshape(16, 1, 256, 256))
    assert cuda.matmul(x, x.reshape(-1, 1)) is NotImplemented
    assert cuda.conv2d_grad_weight(images, images, Window((1, 1), (1, 1), (0, 0), (1, 1)), 1) is NotImplemented


@pytest.mark.slow  # three seconds: the simulator runs 65,535 blocks
def test_the_longest_sum_for_a_grid_is_computed(device, monkeypatch):
    monkeypatch.setattr(tiles, "MAX_DEPTH", 16)
    x = device.upload(np.ones((1, 65535 * 16), np.float32))
    assert cuda.matmul(x, x.reshape(-1, 1)).get() == 65535 * 16


def test_equal_numbers_whose_roundings_all_go_one_way(device):
    """The worst case, 576 products of 0.1: with chains of 256 the error was 1.3e-6, with chains of 64 it is 5.1e-7."""
    x, w = np.ones((1, 64, 6, 6), np.float32), np.full((16, 64, 3, 3), 0.1, np.float32)
    geometry = (Window((3, 3)), 1)
    expected = reference.conv2d(*double(x, w), None, *geometry)
    assert_close(device.run(cuda.conv2d, x, w, None, *geometry), expected, expected, 6e-7)


def test_more_rows_than_a_small_divisor_would_show(device):
    """Row numbers beyond 100,000 are divided as well as small ones (kernels/cuda/division.cuh)."""
    x, w, geometry = numbers(1, 1, 1, 397, 401), numbers(2, 1, 1, 2, 1), (Window((2, 1)), 1)
    expected = reference.conv2d(*double(x, w), None, *geometry)
    assert_close(device.run(cuda.conv2d, x, w, None, *geometry), expected, np.abs(expected), EXACT)


def test_what_is_left_to_the_reference(device):
    x, w = device.upload(numbers(1, 2, 4, 5, 5)), device.upload(numbers(2, 8, 4, 3, 3))
    window, far = Window((3, 3), padding=(1, 1)), Window((3, 3), padding=(1 << 40, 1))
    assert cuda.conv2d(x, device.upload(numbers(2, 8, 2, 3, 3)), None, far, 2) is NotImplemented
    assert cuda.conv2d(device.upload(numbers(1, 0, 4, 5, 5)), w, None, window, 1) is NotImplemented  # no images
    assert cuda.conv2d(x, device.upload(np.ones((8, 4, 3, 3))), None, window, 1) is NotImplemented  # float64
    assert cuda.conv2d(x, w, None, far, 1) is NotImplemented  # rows beyond 32 bits
    assert cuda.matmul(x, x) is NotImplemented
    assert cuda.matmul(device.upload(numbers(1, 2, 3)), numbers(2, 3, 2)) is NotImplemented  # on the host
    assert cuda.matmul(device.upload(numbers(1, 0, 3)), device.upload(numbers(1, 3, 2))) is NotImplemented


def test_division_by_multiplication():
    for d in (*range(1, 300), 12544, 50176, (1 << 16) - 1, 1 << 16, (1 << 20) + 1, (1 << 31) - 1):
        divisor, multiplier, shift = convolution.divider(d)
        near = {k * d + off for k in (1, 2, 3, ((1 << 31) - 1) // d) for off in (-1, 0, 1)}
        for n in (n for n in {0, 1, (1 << 31) - 1, *near} if 0 <= n < 1 << 31):
            assert divisor == d
            assert (n if multiplier == 0 else ((n * multiplier) >> 32) >> shift) == n // d, (n, d)
        assert multiplier < 1 << 32


# --- the matrix product ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 7, 3), (70, 300, 40), (1, 600, 130), (33, 16, 17), (1, 1, 1), (130, 20, 129)])
def test_products_of_matrices_stored_either_way(device, bound, shape):
    m, k, n = shape
    x, y = numbers(1, m, k), numbers(2, k, n)
    expected, scale = np.matmul(*double(x, y)), np.matmul(*map(np.abs, double(x, y)))
    for left, right in itertools.product((x, np.asfortranarray(x)), (y, np.asfortranarray(y))):
        assert_close(device.run(cuda.matmul, left, right), expected, scale, bound)


def test_products_of_views(device):
    x, y = numbers(1, 12, 20)[1::2, 3:], numbers(2, 40, 30)[3:20, ::3]
    expected, scale = np.matmul(*double(x, y)), np.matmul(*map(np.abs, double(x, y)))
    assert_close(device.run(cuda.matmul, x, y), expected, scale, EXACT)
