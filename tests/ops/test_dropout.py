"""Dropout: how many survive, how they are scaled, and that a seed repeats it."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_survivors_are_as_many_as_they_should_and_scaled(p):
    """Of n = 40,000 elements n(1 − p) ± 5σ survive, each as x/(1 − p), so that the mean stays."""
    n = 40_000
    y = F.dropout(mr.tensor(np.ones(n)), p, generator=np.random.default_rng(0)).numpy()
    survivors = np.count_nonzero(y)
    assert abs(survivors - n * (1 - p)) < 5 * np.sqrt(n * p * (1 - p))
    np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-15)


def test_the_gradient_passes_the_same_mask():
    x = mr.tensor(np.ones((20, 20)), requires_grad=True)
    y = F.dropout(x, 0.3)
    y.backward(np.ones((20, 20)))
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


def test_a_seed_repeats_it():
    x = mr.tensor(np.ones(50))
    mr.manual_seed(3)
    first, second = F.dropout(x).tolist(), F.dropout(x).tolist()
    mr.manual_seed(3)
    assert F.dropout(x).tolist() == first != second
    assert F.dropout(x, generator=mr.manual_seed(3)).tolist() == first


def test_masks_of_one_seed_are_the_same_in_every_dtype():
    masks = {
        tuple(F.dropout(mr.tensor(np.ones(30), dtype), generator=np.random.default_rng(1)).numpy() > 0)
        for dtype in (np.float16, np.float32, np.float64)
    }
    assert len(masks) == 1


def test_nothing_happens_in_eval_or_at_zero():
    x = mr.tensor(np.ones(5))
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_all_may_be_dropped(dtype):
    y = F.dropout(mr.tensor(np.ones(5), dtype), 1.0)
    assert y.dtype == dtype
    assert y.tolist() == [0.0] * 5
