"""Resampling where it is easy to get wrong: what a weight 0 reads, which pixel is nearest, the adjoint, the layout."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.ops.resample import Table

RNG = np.random.default_rng(0)
MODES = ("nearest", "nearest-exact", "bilinear", "bicubic", "area")


@pytest.mark.parametrize("size", [(7, 5), (3, 9), (1, 1), (14, 10), (8, 6)])
@pytest.mark.parametrize("mode", MODES)
def test_backward_is_the_adjoint(mode, size):
    """⟨A x, u⟩ = ⟨x, Aᵀ u⟩ for every pair, with sizes that grow, shrink, and do not divide."""
    x, u = mr.tensor(RNG.normal(size=(2, 3, 7, 5)), requires_grad=True), RNG.normal(size=(2, 3, *size))
    y = F.interpolate(x, size, mode=mode)
    y.backward(u)
    assert (x.grad.numpy() * x.numpy()).sum() == pytest.approx((y.numpy() * u).sum(), rel=1e-12)


def test_the_adjoint_of_the_adjoint_table_is_the_table():
    table = Table(np.array([[0, 1], [1, 2], [2, 2], [0, 0]]), np.array([[0.25, 0.75], [0.5, 0.5], [1, 0], [0, 0]]), 4)
    dense = np.zeros((4, 4))
    for p, (places, weights) in enumerate(zip(table.places, table.weights, strict=True)):
        np.add.at(dense[p], places, weights)
    for each, expected in ((table.adjoint, dense.T), (table.adjoint.adjoint, dense)):
        found = np.zeros((4, 4))
        for p, (places, weights) in enumerate(zip(each.places, each.weights, strict=True)):
            np.add.at(found[p], places, weights)
        np.testing.assert_array_equal(found, expected)
        assert each.length == 4


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_bad_pixel_stays_among_its_neighbours(bad):
    """As a product with a matrix of weights, ∞ · 0 would make NaN of whole rows and columns."""
    x = np.ones((1, 1, 8, 8))
    x[..., 0, 0] = bad
    for mode in MODES:
        y = F.interpolate(mr.tensor(x), (16, 16), mode=mode).numpy()[0, 0]
        assert np.isfinite(y[8:, 8:]).all()
        assert np.isfinite(y[0, 8:]).all()
        assert not np.isfinite(y[0, 0])


def test_nearest_takes_the_pixels_that_torch_takes_in_float32(torch):
    """⌊p·(n/m)⌋ in float32: other roundings take another pixel at some of these sizes."""
    for n, m in [(3, 7), (10, 3), (49, 100), (7, 49), (100, 49), (5, 125), (1, 9), (333, 1000)]:
        x = np.arange(float(n)).reshape(1, 1, n)
        for mode in ("nearest", "nearest-exact"):
            expected = torch.nn.functional.interpolate(torch.tensor(x), m, mode=mode)
            np.testing.assert_array_equal(F.interpolate(mr.tensor(x), m, mode=mode).numpy(), expected.numpy())


@pytest.mark.parametrize("mode", MODES)
def test_images_of_any_memory_layout(mode):
    images = RNG.normal(size=(2, 3, 5, 4)).astype(np.float32)
    channels_last = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    results = [F.interpolate(mr.Tensor(x), (7, 9), mode=mode).numpy() for x in (images, channels_last)]
    np.testing.assert_array_equal(*results)
    assert results[0].dtype == np.float32


def test_the_same_size_is_a_copy():
    x = mr.ones(1, 1, 2, 2)
    y = F.interpolate(x, scale_factor=1)
    with mr.no_grad():
        y += 1.0
    assert x.tolist() == mr.ones(1, 1, 2, 2).tolist()


def test_float16_is_summed_in_float32(torch):
    x = RNG.normal(size=(1, 1, 40, 40)).astype(np.float16)
    y = F.interpolate(mr.tensor(x), (4, 4), mode="area")
    assert y.dtype == np.float16
    expected = torch.nn.functional.interpolate(torch.tensor(x.astype(np.float32)), (4, 4), mode="area")
    np.testing.assert_allclose(y.numpy(), expected.numpy(), atol=1e-3)


def test_unpooling_where_windows_overlap_gives_the_last_number_and_every_gradient(torch):
    """As torch: a pixel that is named twice has one number, and both of its windows get its gradient."""
    values, places = RNG.normal(size=(1, 1, 2, 2)), np.array([[[[5, 5], [5, 9]]]])
    results = []
    for f, tensor in ((F, mr.tensor), (torch.nn.functional, torch.tensor)):
        x = tensor(values)
        x.requires_grad_()
        y = f.max_unpool2d(x, tensor(places), 2)
        y.backward(tensor(np.arange(16.0).reshape(1, 1, 4, 4)))
        results.append((y.detach().numpy(), x.grad.numpy()))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_group_norm_is_instance_norm_with_one_channel_a_group_and_layer_norm_with_one_group():
    x = mr.tensor(RNG.normal(2, 3, (3, 4, 5, 2)))
    np.testing.assert_allclose(F.group_norm(x, 4).numpy(), F.instance_norm(x).numpy(), atol=1e-13)
    np.testing.assert_allclose(F.group_norm(x, 1).numpy(), F.layer_norm(x, (4, 5, 2)).numpy(), atol=1e-13)


@pytest.mark.parametrize("norm", [lambda x: F.group_norm(x, 2), F.instance_norm], ids=["group", "instance"])
def test_norms_within_an_image_do_not_overflow(norm):
    """The squares of these numbers are more than float32 holds."""
    x = mr.tensor(RNG.normal(size=(2, 4, 3, 3)) * 1e25, np.float32)
    y = norm(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.numpy(), norm(mr.tensor(x.numpy(), np.float64)).numpy(), atol=1e-5)


def test_empty_batches():
    for f in (
        lambda x: F.conv2d(x, mr.ones(2, 4, 3, 3), padding=1),
        lambda x: F.conv_transpose2d(x, mr.ones(4, 2, 3, 3)),
        lambda x: F.max_pool2d(x, 2, return_indices=True)[1],
        lambda x: F.avg_pool2d(x, 2),
        lambda x: F.adaptive_max_pool2d(x, 3),
        lambda x: F.adaptive_avg_pool2d(x, 3),
        lambda x: F.interpolate(x, scale_factor=2),
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: F.batch_norm(x, mr.zeros(4), mr.ones(4)),
        lambda x: F.group_norm(x, 2, mr.ones(4), mr.ones(4)),
        lambda x: F.instance_norm(x),
        lambda x: F.unfold(x, 2),
        lambda x: F.pad(x, (1, 1, 1, 1), "reflect"),
        lambda x: F.pixel_shuffle(x, 2),
        lambda x: F.channel_shuffle(x, 2),
        lambda x: F.local_response_norm(x, 2),
    ):
        x = mr.zeros(0, 4, 5, 5, requires_grad=True)
        y = f(x)
        assert y.shape[0] == 0
        if y.dtype.kind == "f":
            y.sum().backward()
            assert x.grad.shape == x.shape


@pytest.mark.parametrize("factor", [1.1, 1.01, (1.1, 2.0), (2.0, 1.2)])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
def test_a_factor_that_leaves_a_length_as_it_is(torch, mode, factor):
    """torch resamples no axis whose length stays the same, but in "nearest-exact" and "bicubic"."""
    x = np.random.default_rng(0).normal(size=(1, 2, 4, 4))
    theirs = torch.nn.functional.interpolate(torch.tensor(x), scale_factor=factor, mode=mode)
    ours = F.interpolate(mr.tensor(x), scale_factor=factor, mode=mode)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-12)
