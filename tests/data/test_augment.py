"""Augmentation of whole batches: against loops over single images, and as a function of (seed, epoch, index) alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minires import data
from minires.data.augment import Augmentation, shifted, without_squares
from minires.data.transforms import Compose, Normalize, RandomCrop
from minires.errors import DataError

NORMALIZE = Normalize.preset("cifar10")
EVERY = Augmentation("alternating", translate=2, padding="reflect", cutout=3)


def dataset(count: int = 50, size: int = 8) -> data.ArrayDataset:
    images = np.random.default_rng(7).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return data.ArrayDataset(images, np.arange(count) % 10, "0123456789")


def loader(augmentation: Augmentation, batch_size: int = 16, **options) -> data.Loader:
    options = {"transform": NORMALIZE, "shuffle": True, "seed": 3, "workers": 0, **options}
    return data.Loader(dataset(), batch_size, augmentation=augmentation, **options)


def by_index(loader: data.Loader, epoch: int) -> np.ndarray:
    """The images of an epoch, in the order of the data set."""
    images = np.concatenate([images for images, _ in loader.epoch(epoch)])
    return images[np.argsort(loader.order(epoch))]


images_and_shift = st.tuples(
    st.integers(1, 4), st.integers(1, 3), st.integers(3, 7), st.integers(3, 7), st.integers(0, 2)
)


@given(images_and_shift, st.sampled_from(["zero", "reflect"]), st.integers(0, 9))
def test_shifting_is_a_crop_of_the_padded_image(shape, padding, seed):
    *shape, most = shape
    rng = np.random.default_rng(seed)
    images = rng.normal(size=shape).astype(np.float32)
    shift = rng.integers(0, 2 * most + 1, (len(images), 2))
    found = shifted(images, shift, most, padding)
    edges = ((0, 0), (most, most), (most, most))
    for image, (top, left), result in zip(images, shift, found, strict=True):
        padded = np.pad(image, edges, mode="reflect") if padding == "reflect" else np.pad(image, edges)
        np.testing.assert_array_equal(result, padded[:, top : top + shape[2], left : left + shape[3]])
    assert found.flags.c_contiguous


@given(st.integers(1, 9), st.integers(0, 6), st.integers(0, 4))
def test_a_square_is_cut_out_and_nothing_else(side, row, column):
    images = np.ones((1, 2, 7, 5), np.float32)
    found = without_squares(images, np.array([[row, column]]), side)
    first = row - side // 2, column - side // 2
    for i in range(7):
        for j in range(5):
            inside = 0 <= i - first[0] < side and 0 <= j - first[1] < side
            assert (found[0, :, i, j] == (0 if inside else 1)).all()


def test_nothing_is_changed_unless_asked_for():
    one_by_one = data.Loader(dataset(), 16, transform=NORMALIZE, shuffle=True, seed=3, workers=0)
    for (a, b), (c, d) in zip(loader(Augmentation()).epoch(1), one_by_one.epoch(1), strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)
        assert (a.dtype, b.dtype, a.flags.c_contiguous) == (np.float32, np.int64, True)


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_are_the_same_for_any_number_of_workers_and_any_start(workers):
    alone, together = loader(EVERY), loader(EVERY, workers=workers)
    expected = list(alone.epoch(4))
    for start in (0, 2):
        for (a, b), (c, d) in zip(expected[start:], together.epoch(4, start), strict=True):
            assert a.tobytes() == c.tobytes()
            np.testing.assert_array_equal(b, d)


def test_an_image_does_not_depend_on_its_batch():
    np.testing.assert_array_equal(by_index(loader(EVERY), 2), by_index(loader(EVERY, batch_size=7), 2))
    np.testing.assert_array_equal(by_index(loader(EVERY), 2), by_index(loader(EVERY, shuffle=False), 2))


def test_seed_and_epoch_draw_anew():
    assert (by_index(loader(EVERY), 0) != by_index(loader(EVERY), 2)).any()
    assert (by_index(loader(EVERY), 0) != by_index(loader(EVERY, seed=4), 0)).any()


def test_alternating_flips_show_both_sides_in_two_epochs():
    plain = by_index(loader(Augmentation()), 0)
    first, second, third = (by_index(loader(Augmentation("alternating")), epoch) for epoch in range(3))
    mirrored = (first != plain).any(axis=(1, 2, 3))
    assert 10 < mirrored.sum() < 40
    np.testing.assert_array_equal(first[mirrored], plain[mirrored][..., ::-1])
    np.testing.assert_array_equal(second, first[..., ::-1])
    np.testing.assert_array_equal(third, first)


def test_random_flips_do_not_alternate():
    plain = by_index(loader(Augmentation()), 0)
    flags = [(by_index(loader(Augmentation("random")), epoch) != plain).any(axis=(1, 2, 3)) for epoch in range(4)]
    assert all(10 < mirrored.sum() < 40 for mirrored in flags)
    assert len({mirrored.tobytes() for mirrored in flags}) == 4
    assert (flags[0] == flags[1]).any()


def test_every_shift_and_every_place_of_the_hole_is_drawn():
    drawn = EVERY.draws(0, 0, 5000, 8, 6)
    assert set(map(tuple, drawn.shift)) == {(i, j) for i in range(5) for j in range(5)}
    assert set(map(tuple, drawn.hole)) == {(i, j) for i in range(8) for j in range(6)}


def test_what_it_is_not_made_for_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"an ArrayDataset, and this is a Subset: use transform="):
        data.Loader(data.Subset(dataset(), [0, 1]), 2, augmentation=EVERY)
    with pytest.raises(DataError, match="draws random numbers for one image: leave to it what is not random"):
        loader(EVERY, transform=Compose([NORMALIZE, RandomCrop(8, padding=1)]))
    with pytest.raises(DataError, match="collate joins samples"):
        loader(EVERY, collate=list)
    with pytest.raises(DataError, match=r"must be a data\.Augmentation, not 'flip'"):
        loader("flip")
    with pytest.raises(DataError, match="cannot be reflected by 8 pixels"):
        next(loader(Augmentation(translate=8, padding="reflect")).epoch(0))
    for wrong in ({"flip": "up"}, {"padding": "wrap"}, {"translate": -1}, {"cutout": 1.5}, {"translate": True}):
        with pytest.raises(DataError, match="must be"):
            Augmentation(**wrong)
