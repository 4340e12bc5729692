"""Data sets of anything: TensorDataset, Subset, ConcatDataset and random_split, as torch documents them."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import data
from minires.errors import DataError

X, Y = np.arange(12, dtype=np.float32).reshape(6, 2), np.arange(6) * 0.5


class Squares:
    """The smallest data set: a length and samples."""

    def __len__(self):
        return 7

    def __getitem__(self, index):
        return index, index**2


def test_arrays_side_by_side():
    dataset = data.TensorDataset(X, mr.tensor(Y))
    assert len(dataset) == 6
    x, y = dataset[-1]
    assert (x.tolist(), y, y.dtype) == ([10.0, 11.0], 2.5, np.float64)
    assert repr(dataset) == "TensorDataset(float32 (6, 2), float64 (6,))"
    [(batch, targets)] = data.Loader(dataset, 6, workers=0)
    np.testing.assert_array_equal(batch, X)
    np.testing.assert_array_equal(targets, Y)
    [(alone,)] = data.Loader(data.TensorDataset(X), 6, workers=0)
    np.testing.assert_array_equal(alone, X)


@pytest.mark.parametrize("arrays", [(), (X, Y[:5]), (X, np.array(1.0))])
def test_arrays_of_different_lengths_are_refused(arrays):
    with pytest.raises(DataError, match="TensorDataset: needs arrays of one length"):
        data.TensorDataset(*arrays)


def test_a_subset_and_its_order():
    part = data.Subset(Squares(), [3, 0, -1])
    assert [part[i] for i in range(len(part))] == [(3, 9), (0, 0), (6, 36)]
    assert part.name == "Squares"
    assert list(data.Subset(part, np.array([1]))) == [(0, 0)]
    assert len(data.Subset(Squares(), [])) == 0


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([7], "there is no sample 7: 'Squares' has 7"),
        ([0, -8], "there is no sample -8"),
        (np.arange(7) > 3, r"whole numbers \(numpy\.flatnonzero\(mask\) gives those of a mask\), not bool"),
        ([0.0, 1.0], "must be whole numbers, not float64"),
        ([[0, 1]], "must be whole numbers, not int64"),
    ],
)
def test_indices_that_are_none(indices, message):
    with pytest.raises(DataError, match=message):
        data.Subset(Squares(), indices)


def test_data_sets_one_after_another():
    both = data.ConcatDataset([Squares(), data.Subset(Squares(), []), data.Subset(Squares(), [5, 2])])
    assert len(both) == 9
    assert [both[i] for i in (0, 6, 7, 8, -1, -9)] == [(0, 0), (6, 36), (5, 25), (2, 4), (2, 4), (0, 0)]
    for index in (9, -10):
        with pytest.raises(IndexError, match="there is no sample"):
            both[index]
    with pytest.raises(DataError, match="at least one"):
        data.ConcatDataset([])


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [([5, 2], [5, 2]), ([0.5, 0.5], [4, 3]), ([0.3, 0.3, 0.4], [3, 2, 2]), ([7], [7]), ([1.0], [7]), ([7, 0], [7, 0])],
)
def test_a_random_split_holds_every_sample_once(lengths, sizes):
    parts = data.random_split(Squares(), lengths)
    assert [len(part) for part in parts] == sizes
    assert sorted(index for part in parts for index in part.indices) == list(range(7))


def test_a_random_split_depends_on_its_seed_alone():
    def first(*arguments, **options):
        return data.random_split(Squares(), [4, 3], *arguments, **options)[0].indices

    assert first() == first(seed=0) == first(np.random.default_rng(0))
    assert len({tuple(first(seed=seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize("lengths", [[5, 3], [], [0.5, 0.4], [-1, 8], [3.5, 3.5]])
def test_lengths_that_do_not_add_up(lengths):
    with pytest.raises(DataError, match="must add up to 7, or be fractions that add up to 1"):
        data.random_split(Squares(), lengths)


@pytest.mark.parametrize("generator", [42, np.random.RandomState(0)])
def test_another_kind_of_generator_is_refused(generator):
    with pytest.raises(TypeError, match=r"must be numpy\.random\.default_rng"):
        data.random_split(Squares(), [4, 3], generator)


def test_a_split_by_classes_needs_classes():
    with pytest.raises(DataError, match=r"a TensorDataset names none: use data\.random_split"):
        data.split(data.TensorDataset(X))
