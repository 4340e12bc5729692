"""Bytes to numbers: presets against the data they were computed from, per-pixel means, chains."""

from __future__ import annotations

import numpy as np
import pytest

from minires import data
from minires.data.transforms import (
    PRESETS,
    CenterCrop,
    Compose,
    Normalize,
    PerPixelMean,
    RandomCrop,
    RandomHorizontalFlip,
    TenCrop,
    ToFloat,
)
from minires.errors import DataError, ShapeError


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def dataset(count: int = 20, size: int = 6, channels: int = 3) -> data.ArrayDataset:
    return data.ArrayDataset(noise(count, size, size, channels), np.zeros(count, dtype=int), ["only"])


def test_to_float():
    stored = noise(5, 7, 3)
    numbers = ToFloat()(stored)
    assert numbers.dtype == np.float32
    assert numbers.flags.c_contiguous
    np.testing.assert_array_equal(numbers, (stored.astype(np.float32) / np.float32(255)).transpose(2, 0, 1))


def test_normalize_in_double_precision():
    stored, (mean, std) = noise(5, 7, 3), PRESETS["imagenet"]
    expected = (stored / 255.0 - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(Normalize(mean, std)(stored), expected.transpose(2, 0, 1), atol=1e-6)


def test_normalize_goes_on_from_floats_without_changing_them():
    floats = ToFloat()(noise(5, 7, 3))
    before, transform = floats.copy(), Normalize.preset("cifar10")
    np.testing.assert_array_equal(transform(floats), transform(noise(5, 7, 3)))
    np.testing.assert_array_equal(floats, before)


def test_one_number_serves_every_channel():
    stored = noise(5, 7, 3)
    np.testing.assert_array_equal(Normalize.preset("none")(stored), ToFloat()(stored))
    np.testing.assert_array_equal(Normalize((0.1,), (0.2,))(stored), Normalize((0.1,) * 3, (0.2,) * 3)(stored))


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion-mnist", "cifar10"])
def test_presets_are_the_statistics_of_the_training_images(name, request):
    root = None if name == "digits" else request.getfixturevalue("data_root")
    pixels = data.load(name, root, train=True, download=False).images
    levels = np.arange(256) / 255
    for channel, (mean, std) in enumerate(zip(*PRESETS[name], strict=True)):
        share = np.bincount(pixels[..., channel].ravel(), minlength=256) / pixels[..., channel].size
        assert share @ levels == pytest.approx(mean, abs=1e-4)
        assert np.sqrt(share @ (levels - share @ levels) ** 2) == pytest.approx(std, abs=1e-4)


def test_per_pixel_mean_centres_its_training_set():
    training = dataset()
    transform = PerPixelMean.of(training)
    assert transform.mean.shape == (3, 6, 6)
    assert transform.mean.dtype == np.float32
    centred = np.array([transform(image) for image in training.images], dtype=np.float64)
    assert np.abs(centred.mean(axis=0)).max() < 1e-6
    np.testing.assert_allclose(centred[3], (training.images[3] / 255.0).transpose(2, 0, 1) - transform.mean, atol=1e-6)


def test_the_papers_order_pads_with_the_mean():
    """Zeros added after the subtraction are the mean colour; added before, they are black."""
    training = dataset()
    mean = PerPixelMean.of(training)
    rng = np.random.default_rng(0)
    results = np.array([Compose([mean, RandomCrop(6, padding=6)])(training.images[0], rng) for _ in range(50)])
    assert (results == 0).any(axis=(1, 2, 3)).all()
    assert np.abs(results).max() <= 1


@pytest.mark.parametrize("transform", [Normalize.preset("imagenet"), ToFloat()], ids=repr)
def test_ten_crops_are_normalised_one_by_one(transform):
    stored = noise(9, 11, 3)
    chained = Compose([TenCrop(6), transform])(stored)
    assert chained.shape == (10, 3, 6, 6)
    assert chained.flags.c_contiguous
    np.testing.assert_array_equal(chained, [transform(crop) for crop in TenCrop(6)(stored)])


def test_compose_runs_in_order_and_knows_whether_it_draws():
    stored = noise(9, 9, 3)
    plain = Compose([CenterCrop(5), Normalize.preset("imagenet")])
    assert not plain.random
    np.testing.assert_array_equal(plain(stored), Normalize.preset("imagenet")(stored[2:7, 2:7]))
    drawing = Compose([RandomCrop(5), RandomHorizontalFlip()])
    assert drawing.random
    assert Compose([lambda image, rng: image]).random  # a user's function may draw, for all we know
    rng = np.random.default_rng(3)
    expected = RandomHorizontalFlip()(RandomCrop(5)(stored, rng), rng)
    np.testing.assert_array_equal(drawing(stored, np.random.default_rng(3)), expected)


def test_one_number_is_for_all_channels():
    stored = noise(4, 4, 3)
    np.testing.assert_array_equal(Normalize(0.5, 0.25)(stored), Normalize((0.5,) * 3, (0.25,) * 3)(stored))
    assert repr(Normalize(0.5, 0.25)) == "Normalize(mean=(0.5,), std=(0.25,))"


def test_what_does_not_fit():
    with pytest.raises(DataError, match="known are imagenet"):
        Normalize.preset("imagenette")
    with pytest.raises(DataError, match="1 or 3 numbers"):
        Normalize((0.5,), (0.5, 0.5, 0.5))
    with pytest.raises(DataError, match="above 0"):
        Normalize((0.5,), (0.0,))
    with pytest.raises(ShapeError, match="3 channels, the image has 1"):
        Normalize.preset("imagenet")(noise(4, 4, 1))
    with pytest.raises(ShapeError, match=r"\(3, 5, 5\)"):
        PerPixelMean(np.zeros((3, 6, 6)))(noise(5, 5, 3))
    with pytest.raises(ShapeError, match=r"\(6, 6, 3\)"):
        PerPixelMean(np.zeros((6, 6, 3)))
    with pytest.raises(DataError, match="empty"):
        PerPixelMean.of(dataset(count=0))


def test_a_mean_image_needs_images_of_one_size():
    class Mixed(data.ArrayDataset):
        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            image, label = super().__getitem__(index)
            return image[: 6 - index], label

    with pytest.raises(DataError, match=r"image 0 is \(6, 6, 3\) and image 1 is \(5, 6, 3\)"):
        PerPixelMean.of(Mixed(noise(3, 6, 6, 3), [0, 0, 0], ["only"]))


def test_readable_reprs():
    chain = Compose([CenterCrop(4), ToFloat(), Normalize((0.5,), (0.25,))])
    assert repr(chain) == "Compose([CenterCrop(size=4), ToFloat(), Normalize(mean=(0.5,), std=(0.25,))])"
    assert repr(PerPixelMean(np.zeros((1, 4, 4)))) == "PerPixelMean(1x4x4)"


@pytest.mark.parametrize(("mean", "std"), [(np.nan, 0.5), (0.5, np.inf), ((0.5, np.inf, 0.5), (1, 1, 1))])
def test_numbers_that_are_not_finite_are_refused(mean, std):
    with pytest.raises(DataError, match=r"above 0|must be finite"):
        Normalize(mean, std)


@pytest.mark.parametrize(("mean", "std"), [(123.7, 58.4), (0.0, 255.0), (-0.5, 0.5)])
def test_units_of_255_are_refused_for_uint8_images_and_taken_for_floats(mean, std):
    with pytest.raises(DataError, match="a uint8 image is divided by 255 first"):
        Normalize(mean, std)(np.full((2, 2, 3), 200, np.uint8))
    found = Normalize(mean, std)(np.full((3, 2, 2), 200.0, np.float32))
    np.testing.assert_allclose(found, (200 - mean) / std, rtol=1e-6)


def test_a_float_image_up_to_255_is_refused_where_0_to_1_is_expected():
    with pytest.raises(DataError, match=r"has 200 where 0…1 is expected: divide it by 255"):
        Normalize(0.5, 0.5)(np.full((3, 2, 2), 200.0, np.float32))
    Normalize.preset("none")(np.full((3, 2, 2), 200.0, np.float32))


def test_normalising_twice_is_refused():
    once = Normalize(0.5, 0.5)
    for twice in ([once, once], [Compose([ToFloat(), once]), once], [PerPixelMean(np.zeros((3, 2, 2))), once]):
        with pytest.raises(DataError, match="normalised 2 times"):
            Compose(twice)
    Compose([PerPixelMean(np.zeros((3, 2, 2))), Normalize(0.0, 0.5)])  # a mean once, and a deviation


@pytest.mark.parametrize(
    "transform", [Normalize((0.1, 0.2, 0.3), (0.5, 0.4, 0.3)), PerPixelMean(noise(3, 4, 5) / 255)], ids=repr
)
def test_several_images_are_normalised_as_each_of_them(transform):
    images = noise(2, 6, 4, 5, 3)  # two rows of six images, as of ten crops
    found = transform(images)
    assert found.shape == (2, 6, 3, 4, 5)
    for i, j in np.ndindex(2, 6):
        np.testing.assert_array_equal(found[i, j], transform(images[i, j]))
