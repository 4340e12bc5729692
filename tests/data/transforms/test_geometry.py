"""Cropping, flipping and resizing: both layouts, every position drawn, sizes that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minires.data.transforms import (
    CenterCrop,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    Resize,
    TenCrop,
    ToFloat,
)
from minires.data.transforms.geometry import pad
from minires.errors import DataError, DtypeError, ShapeError


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60), st.sampled_from([1, 3]))
def test_resize_is_pillows_bilinear_of_the_short_side(height, width, size, channels):
    stored = noise(height, width, channels)
    tall, wide = max(1, size * height // width), max(1, size * width // height)
    expected_size = (size, tall) if width < height else (wide, size)  # Pillow says (width, height)
    picture = Image.fromarray(stored.squeeze(2) if channels == 1 else stored)
    expected = np.asarray(picture.resize(expected_size, Image.Resampling.BILINEAR))
    result = Resize(size)(stored)
    assert min(result.shape[:2]) == size
    np.testing.assert_array_equal(result, expected.reshape(*expected.shape[:2], channels))


def test_resize_is_bicubic_on_request():
    stored = noise(40, 60)
    expected = np.asarray(Image.fromarray(stored).resize((24, 16), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(Resize(16, "bicubic")(stored), expected)
    crop = RandomResizedCrop(16, interpolation="bicubic")
    top, left, height, width = crop.rectangle(40, 60, np.random.default_rng(1))
    part = Image.fromarray(stored[top : top + height, left : left + width])
    expected = np.asarray(part.resize((16, 16), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(crop(stored, np.random.default_rng(1)), expected)
    for kind in (Resize, RandomResizedCrop):
        with pytest.raises(DataError, match="interpolation must be one of 'bilinear', 'bicubic'"):
            kind(16, interpolation="nearest")


def test_resize_averages_over_what_it_shrinks():
    """Without antialiasing, a checkerboard made eight times smaller keeps its extremes; with it, all is grey."""
    checkers = ((np.indices((64, 64)).sum(axis=0) % 2) * 255).astype(np.uint8)[..., None]
    assert np.ptp(Resize(8)(checkers)) <= 1


@given(st.integers(0, 2**32))
def test_random_crop_is_a_window_of_the_padded_image(seed):
    stored = noise(6, 9)
    transform = RandomCrop(5, padding=2)
    result = transform(stored, np.random.default_rng(seed))
    padded = np.pad(stored, ((2, 2), (2, 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    assert (windows == result).all(axis=(2, 3, 4)).any()


def test_random_crop_reaches_every_position_equally():
    indices = np.arange(8 * 8, dtype=np.uint8).reshape(8, 8, 1)
    rng = np.random.default_rng(0)
    corners = np.array([RandomCrop(6)(indices, rng)[0, 0, 0] for _ in range(4500)])
    positions, counts = np.unique(corners, return_counts=True)
    assert sorted(positions) == sorted(8 * top + left for top in range(3) for left in range(3))
    assert np.abs(counts - 500).max() < 100  # more than four standard deviations


def test_flip_exchanges_left_and_right_half_of_the_time():
    stored, rng = noise(4, 5), np.random.default_rng(0)
    results = [RandomHorizontalFlip()(stored, rng) for _ in range(1000)]
    flipped = [bool((result == np.fliplr(stored)).all()) for result in results]
    assert all(flip or (result == stored).all() for flip, result in zip(flipped, results, strict=True))
    assert 430 < sum(flipped) < 570
    assert (RandomHorizontalFlip(1.0)(stored, rng) == np.fliplr(stored)).all()
    assert (RandomHorizontalFlip(0.0)(stored, rng) == stored).all()


@pytest.mark.parametrize(
    "transform",
    [
        CenterCrop(5),
        CenterCrop(12),
        TenCrop(5),
        RandomCrop(5),
        RandomCrop(5, padding=3),
        RandomHorizontalFlip(0.5),
    ],
    ids=repr,
)
@pytest.mark.parametrize("channels", [1, 3])
def test_both_layouts_move_alike(transform, channels):
    stored = noise(8, 11, channels)
    for seed in range(8):
        moved_bytes = transform(stored, np.random.default_rng(seed))
        moved_floats = transform(ToFloat()(stored), np.random.default_rng(seed))
        np.testing.assert_array_equal(ToFloat()(moved_bytes), moved_floats)


def test_transforms_leave_their_input_alone():
    stored = noise(12, 12)
    before = stored.copy()
    stored.flags.writeable = False
    rng = np.random.default_rng(0)
    for transform in (Resize(7), CenterCrop(20), TenCrop(6), RandomCrop(6, 2), RandomResizedCrop(6)):
        transform(stored, rng)
    np.testing.assert_array_equal(stored, before)


def test_random_resized_crop_covers_the_areas_and_shapes_asked_for():
    rng, transform = np.random.default_rng(0), RandomResizedCrop(8, scale=(0.3, 0.5), ratio=(0.5, 2.0))
    drawn = np.array([transform.rectangle(200, 300, rng) for _ in range(2000)])
    top, left, height, width = drawn.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 200).all()
    assert (left + width <= 300).all()
    area, ratio = height * width / 60_000, width / height
    assert 0.295 < area.min() < 0.31 < 0.49 < area.max() < 0.505
    assert 0.49 < ratio.min() < 0.55 < 1.9 < ratio.max() < 2.02
    assert transform(noise(20, 30), rng).shape == (8, 8, 3)


@pytest.mark.parametrize(("height", "width", "expected"), [(10, 400, (0, 193, 10, 13)), (400, 10, (193, 0, 13, 10))])
def test_random_resized_crop_falls_back_on_the_middle(height, width, expected):
    """An area of nine tenths never fits a strip."""
    transform = RandomResizedCrop(8, scale=(0.9, 1.0))
    assert transform.rectangle(height, width, np.random.default_rng(0)) == expected


def test_random_resized_crop_falls_back_on_all_of_a_shape_in_range():
    transform = RandomResizedCrop(8, scale=(4.0, 4.0))
    assert transform.rectangle(10, 12, np.random.default_rng(0)) == (0, 0, 10, 12)


def test_pad_with_leading_axes():
    crops = np.stack([noise(3, 4), noise(3, 4)])
    assert pad(crops, 1, 2, 3, 4).shape == (2, 9, 8, 3)
    assert pad(ToFloat()(crops), 1, 2, 3, 4).shape == (2, 3, 9, 8)


@pytest.mark.parametrize("transform", [TenCrop(9), RandomCrop(9), RandomCrop(13, padding=2)], ids=repr)
def test_an_image_that_is_too_small_is_refused_with_both_sizes(transform):
    with pytest.raises(DataError, match=rf"{transform.size}x{transform.size} pixels and got (8x11|12x15)"):
        transform(noise(8, 11), np.random.default_rng(0))


@pytest.mark.parametrize("make", [Resize, CenterCrop, TenCrop, RandomCrop, RandomResizedCrop])
@pytest.mark.parametrize("size", [0, -3, 2.5, True, (3, 4)])
def test_sizes_that_are_none(make, size):
    with pytest.raises(DataError, match="positive whole number"):
        make(size)


def test_other_settings_that_are_none():
    with pytest.raises(DataError, match="padding"):
        RandomCrop(3, padding=-1)
    with pytest.raises(DataError, match="probability"):
        RandomHorizontalFlip(1.5)
    with pytest.raises(DataError, match="scale and ratio"):
        RandomResizedCrop(3, scale=(0.5, 0.1))
    with pytest.raises(DataError, match="scale and ratio"):
        RandomResizedCrop(3, ratio=(0.0, 1.0))


def test_arrays_that_are_no_images():
    with pytest.raises(DtypeError, match="float64"):
        CenterCrop(2)(np.zeros((3, 4, 4)))
    with pytest.raises(ShapeError, match=r"\(4, 4\)"):
        CenterCrop(2)(np.zeros((4, 4), dtype=np.uint8))
    with pytest.raises(ShapeError, match=r"\(4, 4, 2\)"):
        CenterCrop(2)(np.zeros((4, 4, 2), dtype=np.uint8))
    with pytest.raises(ShapeError, match="put this transform earlier"):
        Resize(2)(np.zeros((3, 4, 4), dtype=np.float32))
    with pytest.raises(ShapeError, match="put this transform earlier"):
        Resize(2)(np.zeros((10, 4, 4, 3), dtype=np.uint8))


@pytest.mark.parametrize("transform", [RandomCrop(3), RandomHorizontalFlip(), RandomResizedCrop(3)], ids=repr)
def test_a_random_transform_asks_for_its_generator(transform):
    assert transform.random
    with pytest.raises(TypeError, match=r"call it as transform\(image"):
        transform(noise(5, 5))


def test_readable_reprs():
    assert repr(RandomCrop(32, padding=4)) == "RandomCrop(size=32, padding=4)"
    assert repr(Resize(256)) == "Resize(size=256, interpolation='bilinear')"


@pytest.mark.parametrize("setting", [{"scale": (0, 1)}, {"scale": (0.5, 0.1)}, {"ratio": (0, 1)}, {"ratio": (2, 1)}])
def test_a_crop_of_no_area_is_refused(setting):
    with pytest.raises(DataError, match=r"scale and ratio are \(smallest, largest\), both above 0"):
        RandomResizedCrop(8, **setting)
