"""The first convolution whitens the patches of the images."""

from __future__ import annotations

import numpy as np
import pytest

from minires import Tensor, data, models, nn, use_backend
from minires.data.transforms import Normalize
from minires.errors import MiniResError
from minires.training.whitening import EPSILON, eigen_patches, whiten

NORMALIZE = Normalize.preset("cifar10")


def smooth_images(count: int = 60) -> data.ArrayDataset:
    """Random images whose neighbouring pixels are alike, so that their patches are far from white."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(count, 12, 12, 3)).cumsum(axis=1).cumsum(axis=2) * 8 + 128
    return data.ArrayDataset(noise.clip(0, 255).astype(np.uint8), np.arange(count) % 10, "0123456789", "smooth")


@pytest.mark.parametrize("size", [2, 3])
def test_directions_are_those_of_the_covariance(size):
    images = NORMALIZE(smooth_images().images)
    values, vectors = eigen_patches(images, size, size)
    rows = [
        images[n, :, i : i + size, j : j + size].ravel()
        for n in range(len(images))
        for i in range(13 - size)
        for j in range(13 - size)
    ]
    covariance = np.cov(np.array(rows, np.float64).T, bias=True) + np.outer(
        *[np.mean(rows, axis=0, dtype=np.float64)] * 2
    )
    np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, covariance, rtol=1e-4, atol=1e-4)
    assert (np.diff(values) <= 0).all()


@pytest.mark.parametrize("name", ["convnet8", "resnet8"])
def test_the_outputs_are_white(name):
    model, dataset = models.build(name), smooth_images()
    before = model.conv1.weight.numpy().copy()
    whiten(model, dataset, NORMALIZE)
    weight = model.conv1.weight
    assert weight.shape == before.shape
    assert not weight.requires_grad
    half = len(before) // 2
    np.testing.assert_array_equal(weight.numpy()[half:], -weight.numpy()[:half])
    with use_backend("reference"):  # without padding, whose zeros are no pixels of the images
        outputs = nn.functional.conv2d(Tensor(NORMALIZE(dataset.images)), Tensor(weight.numpy()[:half])).numpy()
    flat = outputs.transpose(1, 0, 2, 3).reshape(half, -1).astype(np.float64)
    moments = flat @ flat.T / flat.shape[1]
    values = eigen_patches(NORMALIZE(dataset.images), *weight.shape[2:])[0][:half]
    np.testing.assert_allclose(moments, np.diag(values / (values + EPSILON)), atol=2e-3)


def test_the_weights_are_the_same_for_any_number_of_threads():
    import minires

    found = []
    for threads in (1, 2):
        minires.set_num_threads(threads)
        model = models.convnet8()
        whiten(model, smooth_images(), NORMALIZE)
        found.append(model.conv1.weight.numpy().tobytes())
    assert found[0] == found[1]


def test_what_cannot_be_whitened_is_refused():
    for layer, says in (
        (nn.Conv2d(3, 5, 2), "5 filters in 1 group"),
        (nn.Conv2d(3, 26, 2), "at most twice the 12 numbers of a patch; this one has 26 filters"),
        (nn.Conv2d(3, 6, 2, groups=3), "6 filters in 3 group"),
    ):
        with pytest.raises(MiniResError, match=says):
            whiten(nn.Sequential(layer), smooth_images(), NORMALIZE)
    with pytest.raises(MiniResError, match="the first convolution, and Sequential has none"):
        whiten(nn.Sequential(nn.Linear(2, 2)), smooth_images(), NORMALIZE)
