"""Sums over the batches of an epoch, and which epoch is the best."""

from __future__ import annotations

import math

import pytest

from minires.training.metrics import EpochRecord, Totals, best_epoch


def test_means_are_over_the_images_that_count():
    totals = Totals()
    assert (totals.mean_loss, totals.accuracy, totals.images_per_second, totals.counted) == (0, 0, 0, 1)
    totals.add(2.0, 3, 10, 2, {"a": 1.0})
    totals.add(5.0, 1, 4, 0, {"a": 3.0, "b": 7.0})
    totals.add(math.nan, 0, 3, 3)  # a batch of which nothing counts
    totals.seconds = 2.0
    assert (totals.images, totals.ignored, totals.counted) == (17, 5, 12)
    assert totals.mean_loss == pytest.approx((2.0 * 8 + 5.0 * 4) / 12)
    assert totals.accuracy == pytest.approx(100 * 4 / 12)
    assert totals.mean_metrics == {"a": pytest.approx(22 / 17), "b": pytest.approx(28 / 17)}
    assert totals.images_per_second == 8.5


def test_a_loss_of_ones_own_has_no_accuracy():
    totals = Totals()
    totals.add(2.0, None, 10)
    totals.add(2.0, 3, 10)
    assert totals.correct is None
    assert totals.accuracy is None


def record(train: float | None, loss: float | None, accuracy: float | None, epoch: int = 1) -> EpochRecord:
    return EpochRecord(epoch, 1.0, train, loss, accuracy, 0.1, 1.0, 1.0)


def test_an_epoch_is_better_with_a_higher_accuracy_or_a_smaller_loss_of_ones_own():
    assert record(50.0, 0.5, 70.0).score == 70
    assert record(50.0, None, None).score is None
    assert record(None, 0.5, None).score == -0.5
    assert record(None, math.nan, None).score == -math.inf
    assert record(None, None, None).score is None
    epochs = [record(None, loss, None, k) for k, loss in enumerate((math.nan, 3.0, 2.0, 2.0, None))]
    best = best_epoch(epochs)
    assert best is not None
    assert best.epoch == 2
    assert best_epoch([record(1.0, None, None)]) is None
    assert best_epoch([]) is None
