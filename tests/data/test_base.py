"""Data sets in memory, and stratified splits of any data set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minires import data
from minires.errors import DataError


def dataset(labels: list[int], classes: int = 3) -> data.ArrayDataset:
    """Sample i is an image of the number i."""
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(2, axis=1).repeat(2, axis=2)
    return data.ArrayDataset(images, np.array(labels, dtype=np.int32), [f"c{i}" for i in range(classes)], "numbers")


def test_a_sample_is_an_image_and_an_int():
    source = dataset([2, 0, 1])
    image, label = source[0]
    assert (image == 0).all()
    assert type(label) is int
    assert label == 2
    assert len(source) == 3
    assert source.labels.dtype == np.int64
    assert source.classes == ("c0", "c1", "c2")
    assert repr(source) == "ArrayDataset('numbers': 3 images 2x2x1, 3 classes)"


def test_images_cannot_be_changed_through_a_sample():
    original = np.zeros((1, 2, 2, 3), dtype=np.uint8)
    image, _ = data.ArrayDataset(original, [0], ["a"])[0]
    with pytest.raises(ValueError, match="read-only"):
        image[...] = 1
    original[...] = 1  # the caller's own array stays the caller's


def test_subset_keeps_the_order_it_is_given():
    part = dataset([2, 0, 1]).subset([2, 0])
    assert part.labels.tolist() == [1, 2]
    assert part.images[:, 0, 0, 0].tolist() == [2, 0]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 4, 4, 2), dtype=np.uint8), [0, 0], r"\(2, 4, 4, 2\)"),
        (np.zeros((2, 4, 4), dtype=np.uint8), [0, 0], r"uint8 \(2, 4, 4\)"),
        (np.zeros((2, 4, 4, 1)), [0, 0], "float64"),
        (np.zeros((2, 4, 4, 1), dtype=np.uint8), [0], "2 images need as many integer labels"),
        (np.zeros((2, 4, 4, 1), dtype=np.uint8), [0.0, 1.0], "float64"),
        (
            np.zeros((2, 4, 4, 1), dtype=np.uint8),
            [0, 3],
            r"sample 1 has label 3, but there are 3 classes \(labels 0 to 2",
        ),
        (np.zeros((2, 4, 4, 1), dtype=np.uint8), [-1, 0], "sample 0 has label -1"),
    ],
)
def test_arrays_that_are_no_data_set(images, labels, message):
    with pytest.raises(DataError, match=message):
        data.ArrayDataset(images, labels, ["a", "b", "c"])


@given(st.lists(st.integers(6, 30), min_size=1, max_size=5), st.floats(0.1, 0.9), st.integers(0, 9))
def test_split_divides_every_class_alike(sizes, fraction, seed):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)), sizes)).tolist()
    source = dataset(labels, classes=len(sizes))
    rest, held_out = data.split(source, fraction, seed)
    numbers = [part.images[:, 0, 0, 0].tolist() for part in (rest, held_out)]
    assert sorted(numbers[0] + numbers[1]) == list(range(len(labels)))
    assert all(part == sorted(part) for part in numbers)
    assert np.bincount(held_out.labels, minlength=len(sizes)).tolist() == [round(fraction * size) for size in sizes]
    again, _ = data.split(source, fraction, seed)
    np.testing.assert_array_equal(again.images, rest.images)


def test_split_depends_on_the_seed():
    source = dataset([0, 1] * 20, classes=2)
    assert len({data.split(source, seed=seed)[1].images.tobytes() for seed in range(5)}) == 5


def test_splits_that_are_none():
    with pytest.raises(DataError, match="too few to hold out 20% of each class"):
        data.split(dataset([0, 1, 2]))
    with pytest.raises(DataError, match="too few"):
        data.split(dataset([0, 1, 2]), fraction=0.9)
    with pytest.raises(DataError, match="between 0 and 1, not 1"):
        data.split(dataset([0, 1, 2]), fraction=1)
