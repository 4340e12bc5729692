"""Pooling where it is easy to get wrong: padding, ties, NaN, windows of −∞, sizes, bins that overlap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minires as mr
from minires import functional as F


def images(array: object) -> mr.Tensor:
    """An (H, W) array as one image of one channel."""
    return mr.tensor(np.array(array, np.float64)[None, None], requires_grad=True)


def routed(x: mr.Tensor, *arguments: object, **options: object) -> tuple[list, list]:
    """The pooled image, and where its gradient 1, 2, 3, … goes."""
    y = F.max_pool2d(x, *arguments, **options)
    y.backward(np.arange(1.0, y.numel() + 1).reshape(y.shape))
    return y.numpy()[0, 0].tolist(), x.grad.numpy()[0, 0].tolist()


# -- max pooling -------------------------------------------------------------------------------------------------------


def test_padding_never_wins():
    """A window of negative numbers padded with zeros would return 0."""
    y, gradient = routed(images([[-5.0, -4.0], [-3.0, -2.0]]), 3, 2, 1)
    assert y == [[-2.0]]
    assert gradient == [[0, 0], [0, 1]]


def test_ties_go_to_the_first_in_row_major_order():
    assert routed(images([[1.0, 1.0], [1.0, 1.0]]), 2) == ([[1.0]], [[1, 0], [0, 0]])
    assert routed(images([[0.0, 1.0], [1.0, 1.0]]), 2) == ([[1.0]], [[0, 1], [0, 0]])
    assert routed(images(np.zeros((2, 3))), 2, 1) == ([[0.0, 0.0]], [[1, 2, 0], [0, 0, 0]])


def test_a_pixel_that_wins_several_windows_gets_their_sum():
    x = np.zeros((3, 3))
    x[1, 1] = 1
    assert routed(images(x), 2, 1) == ([[1, 1], [1, 1]], [[0, 0, 0], [0, 1 + 2 + 3 + 4, 0], [0, 0, 0]])


def test_nan_wins_its_window_and_no_other():
    y, gradient = routed(images([[1.0, np.nan, 3.0, 4.0]]), (1, 2))
    assert np.isnan(y[0][0])
    assert y[0][1] == 4
    assert gradient == [[0, 1, 0, 2]]


def test_minus_infinity_can_win():
    """A window of nothing but −∞ belongs to its first pixel, not to the padding."""
    y, gradient = routed(images(np.full((2, 2), -np.inf)), 3, 2, 1)
    assert y == [[-np.inf]]
    assert gradient == [[1, 0], [0, 0]]


def test_kinks_and_infinities_as_in_torch(torch):
    """Ties, NaN, ±∞ and plateaus: the same values and the same winners, over many geometries."""
    rng = np.random.default_rng(0)
    values = np.array([0.0, 0.0, 1.0, -1.0, -np.inf, -np.inf, np.inf, np.nan])
    for kernel, stride, padding, dilation, ceil_mode in [
        (2, 2, 0, 1, False),
        (3, 2, 1, 1, False),
        (3, 2, 1, 1, True),
        (3, 1, 1, 2, False),
        (2, 3, 1, 1, True),
        (3, 3, 1, 2, True),
    ]:
        for odds in ([1] * 8, [1, 1, 1, 1, 9, 9, 0, 0]):
            x = rng.choice(values, (2, 2, 7, 8), p=np.array(odds) / sum(odds))
            ours, theirs = mr.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
            y = F.max_pool2d(ours, kernel, stride, padding, dilation, ceil_mode)
            z = torch.nn.functional.max_pool2d(theirs, kernel, stride, padding, dilation, ceil_mode)
            np.testing.assert_array_equal(y.numpy(), z.detach().numpy())
            u = rng.normal(size=y.shape)
            y.backward(u)
            z.backward(torch.tensor(u))
            np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("ceil_mode", "size"), [(False, 56), (True, 57)])
def test_the_stem_of_a_resnet(ceil_mode, size):
    x = mr.zeros(1, 1, 112, 112)
    assert F.max_pool2d(x, 3, 2, 1, ceil_mode=ceil_mode).shape == (1, 1, size, size)
    assert F.conv2d(mr.zeros(1, 1, 224, 224), mr.zeros(1, 1, 7, 7), stride=2, padding=3).shape == (1, 1, 112, 112)


@given(st.data())
def test_sizes_as_in_torch(torch, data):
    """Every size that PyTorch gives, we give: rounding down, rounding up, and its rule about windows in the padding."""
    size, kernel = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 4))
    stride, padding = data.draw(st.integers(1, 5)), data.draw(st.integers(0, kernel // 2))
    if kernel > size + 2 * padding:
        return
    x = np.arange(float(size * size)).reshape(1, 1, size, size)
    for ceil_mode in (False, True):
        for ours, theirs in (
            (F.max_pool2d, torch.nn.functional.max_pool2d),
            (F.avg_pool2d, torch.nn.functional.avg_pool2d),
        ):
            y = ours(mr.tensor(x), kernel, stride, padding, ceil_mode=ceil_mode)
            z = theirs(torch.tensor(x), kernel, stride, padding, ceil_mode=ceil_mode)
            np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-14)


def test_a_kernel_of_more_than_256_places():
    """Its winners do not fit a byte."""
    x = mr.tensor(np.arange(400.0).reshape(1, 1, 20, 20), requires_grad=True)
    y = F.max_pool2d(x, 17, 3)
    assert y.node.argmax.dtype == np.int32
    y.sum().backward()
    assert y.numpy()[0, 0].tolist() == [[336.0, 339.0], [396.0, 399.0]]
    assert np.flatnonzero(x.grad.numpy()).tolist() == [336, 339, 396, 399]


def test_winners_are_kept_as_bytes():
    assert F.max_pool2d(mr.tensor(np.ones((1, 1, 16, 16)), requires_grad=True), 16).node.argmax.dtype == np.uint8


# -- average pooling ---------------------------------------------------------------------------------------------------


def test_padding_counts_or_not():
    x = np.ones((2, 2))
    assert F.avg_pool2d(images(x), 3, 2, 1).item() == pytest.approx(4 / 9)
    assert F.avg_pool2d(images(x), 3, 2, 1, count_include_pad=False).item() == 1


def test_each_pixel_gets_an_equal_share():
    x = images(np.arange(16.0).reshape(4, 4))
    y = F.avg_pool2d(x, 2)
    y.backward(np.array([[[[4.0, 8.0], [12.0, 16.0]]]]))
    assert x.grad.numpy()[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


# -- adaptive pooling --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", [1, 2, 3, 5, 7, (3, 5), (7, 2), (1, 4)])
@pytest.mark.parametrize("image", [(7, 7), (5, 8), (1, 1), (13, 4)])
def test_adaptive_bins_by_hand(image, output):
    """Bin i of n averages rows ⌊iH/n⌋ … ⌈(i+1)H/n⌉; bins may overlap."""
    x = np.random.default_rng(0).normal(size=(2, 3, *image))
    ho, wo = (output, output) if isinstance(output, int) else output
    expected = np.empty((2, 3, ho, wo))
    for i in range(ho):
        for j in range(wo):
            rows = slice(i * image[0] // ho, -(-(i + 1) * image[0] // ho))
            columns = slice(j * image[1] // wo, -(-(j + 1) * image[1] // wo))
            expected[:, :, i, j] = x[:, :, rows, columns].mean((2, 3))
    np.testing.assert_allclose(F.adaptive_avg_pool2d(mr.tensor(x), output).numpy(), expected, rtol=1e-12)


def test_global_average_is_one_bin():
    x = mr.tensor(np.random.default_rng(0).normal(size=(2, 3, 4, 5)))
    np.testing.assert_allclose(F.global_avg_pool2d(x).numpy(), F.adaptive_avg_pool2d(x, 1).numpy()[:, :, 0, 0])
