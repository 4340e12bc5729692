"""Cotangents, directions and steps: the sizes that their docstrings name."""

from __future__ import annotations

import numpy as np
import pytest

from minires.gradcheck.rounding import _largest_moves, _perturbed, largest
from minires.gradcheck.sampling import cotangent, random_direction, relative_steps, spread


def test_a_cotangent_has_unit_length_and_no_component_near_zero():
    """Of n components, each ±(|z| + 0.3) before it is scaled: the smallest is not far below 0.3 of the usual one."""
    u = cotangent(np.random.default_rng(0), 10_000)
    z = np.random.default_rng(0).normal(size=10_000)
    assert np.linalg.norm(u) == pytest.approx(1)
    expected = z + 0.3 * np.sign(z)
    np.testing.assert_allclose(u, expected / np.linalg.norm(expected), rtol=1e-12)
    assert np.linalg.norm(cotangent(np.random.default_rng(0), (2, 3))) == pytest.approx(1)
    assert cotangent(np.random.default_rng(0), 0).shape == (0,)


def test_a_direction_has_both_signs_and_sizes_from_a_half_to_one_and_a_half():
    d = random_direction(np.random.default_rng(0), (200, 100))
    assert d.shape == (200, 100)
    assert (abs(d).min(), abs(d).max()) == (0.5, 1.5)
    assert (d * 256 == np.round(d * 256)).all()
    assert 0.48 < (d > 0).mean() < 0.52
    assert 0.98 < abs(d).mean() < 1.02


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ([1.0, 3.0], 1.0),
        ([-3.0, -3.0], 3.0),
        ([3.0, 3.0 * (1 + 1e-13)], 3.0),  # no more than rounding apart
        ([3.0, 3.0 * (1 + 8e-12)], 1.2e-11),
        ([0.0, 0.0], 1.0),
        ([], 1.0),
        ([1e200, 3e200], 1e200),
        ([-5.0], 5.0),
    ],
)
def test_the_unit_of_steps_is_the_deviation_or_the_size(array, expected):
    assert spread(np.array(array)) == pytest.approx(expected, rel=1e-3)


def test_small_numbers_have_smaller_steps():
    """64 times the share of the spread, as a power of two, for numbers below 1e-4 of it."""
    x = np.array([1000.0, -1000.0, 0.0, 0.056, 0.05, -1e-3, 1e-6])
    scale = spread(x)
    steps = relative_steps(x)
    assert steps[:4].tolist() == [1, 1, 1, 1]
    for number, step in zip(x[5:], steps[5:], strict=True):
        assert step == 2.0 ** round(np.log2(64 * abs(number) / scale))
    assert relative_steps(np.array([1.0, 2.0])).tolist() == [1, 1]


def test_the_point_moves_by_its_last_bits():
    eps = 2.0**-52
    x = np.linspace(1, 2, 5000)
    moved = (_perturbed([x], eps, np.random.default_rng(0))[0] / x - 1) / eps
    assert set(np.unique(np.round(moved))) <= {-3, -2, -1, 0, 1, 2, 3}
    assert abs(moved).max() == pytest.approx(2, abs=1)
    for share in ((moved < -1).mean(), (moved > 1).mean(), (abs(moved) < 0.9).mean()):
        assert 0.28 < share < 0.39  # a third each


def test_the_largest_of_three_moves_counts_for_each_number():
    trials = iter([[np.array([1.0, 5.0, np.nan])], [np.array([4.0, 2.0, 0.0])], [np.array([0.5, 2.0, np.inf])]])
    (moves,) = _largest_moves([np.array([1.0, 2.0, 0.0])], lambda: next(trials))
    assert moves.tolist() == [3, 3, 0]
    with pytest.raises(StopIteration):
        next(trials)


def test_the_largest_finite_number():
    assert largest(np.array([1.0, -4.0, np.inf, np.nan])) == 4
    assert largest(np.array([])) == 0
    assert largest(np.array([np.nan])) == 0
