"""The shares of a batch are its parts, and what ranks measure together is what one process measures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minires import data, distributed, errors, manual_seed, training
from minires.data.shares import Shares, share_of
from minires.distributed.agreement import average_buffers, require_same
from tests.distributed.threads import on_ranks
from tests.training.tiny import TinyNet, loaders


@given(samples=st.integers(0, 300), size=st.integers(1, 9))
def test_shares_are_contiguous_and_differ_by_one_sample(samples, size):
    parts = [share_of(samples, rank, size) for rank in range(size)]
    assert [part.stop for part in parts[:-1]] == [part.start for part in parts[1:]]
    assert parts[0].start == 0
    assert parts[-1].stop == samples
    lengths = {part.stop - part.start for part in parts}
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("workers", [0, 2])
def test_the_ranks_batches_joined_are_those_of_one_process(workers):
    train, _ = loaders(images=66, batch_size=32, workers=workers)  # the last has 2 samples: none for one rank
    for epoch, start in ((0, 0), (2, 1)):
        shares = [list(Shares(train, rank, 3).epoch(epoch, start)) for rank in range(3)]
        whole = list(train.epoch(epoch, start))
        assert {len(each) for each in shares} == {len(whole)}
        for number, (images, labels) in enumerate(whole):
            np.testing.assert_array_equal(np.concatenate([each[number][0] for each in shares]), images)
            np.testing.assert_array_equal(np.concatenate([each[number][1] for each in shares]), labels)
    assert shares[0][-1][0].shape == (0, 1, 8, 8)


def test_dicts_and_tuples_without_samples_keep_their_form():
    inputs = [{"a": np.ones(2), "b": (np.zeros(3), 1)} for _ in range(3)]
    loader = data.Loader(inputs, 3, workers=0)
    batch = next(Shares(loader, 0, 4).epoch(0))
    assert batch["a"].shape == (0, 2)
    assert batch["b"][0].shape == (0, 3)


def test_other_loaders_are_refused():
    with pytest.raises(errors.DataError, match=r"data\.Loader"):
        Shares([1, 2], 0, 2)


@pytest.mark.parametrize("size", [2, 3])
def test_evaluation_is_shared_out_and_exact(size):
    manual_seed(0)
    model, loader = TinyNet(), loaders()[1]  # 100 images in batches of 64
    metrics = {"first": lambda outputs, targets: float(outputs.numpy()[:, 0].mean())}
    expected = training.evaluate(model, loader, metrics=metrics)

    def rank(comm):
        manual_seed(0)
        return training.evaluate(TinyNet(), loaders()[1], metrics=metrics, comm=comm)

    for found in on_ranks(size, rank):
        assert (found.n, found.correct, found.top5) == (expected.n, expected.correct, expected.top5)
        np.testing.assert_array_equal(found.predictions, expected.predictions)
        assert found.loss == pytest.approx(expected.loss, rel=1e-6)
        assert found.metrics == pytest.approx(expected.metrics, rel=1e-5)


def test_different_facts_are_named_with_their_ranks():
    def rank(comm):
        require_same(comm, {"data": {"seed": 5 + (comm.rank == 2), "name": "digits"}, "model": "TinyNet"})

    with pytest.raises(errors.DistributedError, match=r"data seed: 5 on rank 0, 6 on rank 2 \("):
        on_ranks(3, rank)


def test_equal_facts_pass():
    assert on_ranks(2, lambda comm: require_same(comm, {"data": {"seed": 5}, "layers": [1, 2]})) == [None, None]


def test_broadcast_model_gives_the_weights_of_rank_0():
    def rank(comm):
        manual_seed(comm.rank)
        model = TinyNet()
        distributed.broadcast_model(model, comm)
        return {name: np.array(value.data) for name, value in model.state_dict().items()}

    first, *others = on_ranks(3, rank)
    for other in others:
        assert all((other[name] == value).all() for name, value in first.items())


def test_local_statistics_are_averaged_and_counts_are_not():
    def rank(comm):
        model = TinyNet()
        model.bn.running_mean.assign_(float(comm.rank))
        model.bn.num_batches_tracked.assign_(7)
        average_buffers(model, comm)
        return model.bn.running_mean.numpy()[0], int(model.bn.num_batches_tracked.item())

    assert on_ranks(2, rank) == [(0.5, 7), (0.5, 7)]
