"""Labels are looked at in host memory, once; the loss then trusts them."""

from __future__ import annotations

import numpy as np
import pytest

from minires import Tensor
from minires import functional as F
from minires.core import modes
from minires.errors import ShapeError
from minires.training.device_io import IGNORE_INDEX, labels_are_classes, mean_loss

LOGITS = np.random.default_rng(0).standard_normal((4, 3), np.float32)


@pytest.mark.parametrize(
    ("labels", "counts"),
    [([0, 2, 1, 2], True), ([0, IGNORE_INDEX, 1, 2], False), ([], False), ([IGNORE_INDEX] * 4, False)],
)
def test_whether_all_labels_count(labels, counts):
    assert labels_are_classes(np.array(labels, np.int64), 3) is counts


@pytest.mark.parametrize("bad", [3, -1, -99, 1 << 40])
def test_a_label_that_is_no_class_is_named(bad):
    with pytest.raises(ShapeError, match=f"label {bad} is out of range: the network has classes 0 … 2"):
        labels_are_classes(np.array([0, bad, 1]), 3)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("labels", [[0, 2, 1, 2], [0, IGNORE_INDEX, 1, 2]])
def test_the_mean_loss_is_the_cross_entropy(labels, smoothing):
    labels = np.array(labels, np.int64)
    ours = mean_loss(Tensor(LOGITS), labels, Tensor(labels), smoothing)
    assert ours.item() == F.cross_entropy(Tensor(LOGITS), Tensor(labels), label_smoothing=smoothing).item()
    assert not modes.are_indices_checked()


def test_labels_that_are_vouched_for_are_not_looked_at():
    labels = Tensor(np.array([0, 1, 2, -1]))  # to NumPy, -1 is the last class
    with modes.indices_checked():
        loss = F.nll_loss(Tensor(LOGITS), labels)
    assert loss.item() == pytest.approx(-LOGITS[range(4), [0, 1, 2, 2]].mean(), rel=1e-6)
    with pytest.raises(ShapeError, match="label -1 is out of range"):
        F.nll_loss(Tensor(LOGITS), labels)
