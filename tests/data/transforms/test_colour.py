"""Colour jitter and PCA lighting: their ranges, their order, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from minires.data.transforms import ColorJitter, Lighting, ToFloat
from minires.data.transforms import colour as colour_module
from minires.data.transforms.colour import PCA_EIGENVALUES, PCA_EIGENVECTORS
from minires.errors import DataError, ShapeError


def noise(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 7, channels), dtype=np.uint8)


def test_jitter_draws_each_factor_from_its_range_and_every_order(monkeypatch):
    calls: list[tuple[str, float]] = []
    monkeypatch.setattr(colour_module, "blend", lambda picture, name, f: calls.append((name, f)) or picture)
    monkeypatch.setattr(colour_module, "turn_hue", lambda picture, f: calls.append(("hue", f)) or picture)
    transform, rng = ColorJitter(0.4, 1.5, 0.2, 0.1), np.random.default_rng(0)
    for _ in range(1000):
        transform(noise(), rng)
    drawn = {name: np.array([f for called, f in calls if called == name]) for name, _ in calls}
    ranges = {"brightness": (0.6, 1.4), "contrast": (0.0, 2.5), "saturation": (0.8, 1.2), "hue": (-0.1, 0.1)}
    assert drawn.keys() == ranges.keys()
    for name, (low, high) in ranges.items():
        values, margin = drawn[name], 0.02 * (high - low)
        assert len(values) == 1000
        assert low <= values.min() < low + margin
        assert high - margin < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 3 * margin
    orders = {tuple(name for name, _ in calls[first : first + 4]) for first in range(0, 4000, 4)}
    assert len(orders) == 24


def test_jitter_brightness_alone_is_the_formula():
    """Black blended in: every byte times one factor, cut off, clipped."""
    stored = noise()
    results = [ColorJitter(brightness=0.9)(stored, np.random.default_rng(seed)) for seed in range(20)]
    for result in results:
        unclipped = (result < 255) & (stored > 100)
        found = np.median(result[unclipped] / stored[unclipped])
        assert 0.1 <= found <= 1.9
        np.testing.assert_allclose(result, np.clip(stored * found, 0, 255), atol=2)
    assert len({result.tobytes() for result in results}) == 20


def test_no_strength_no_change():
    np.testing.assert_array_equal(ColorJitter()(noise(), np.random.default_rng(0)), noise())
    np.testing.assert_array_equal(Lighting(0.0)(noise(), np.random.default_rng(0)), ToFloat()(noise()))


def test_a_grey_image_has_no_colour_to_change():
    grey = noise(1)
    np.testing.assert_array_equal(ColorJitter(saturation=0.9, hue=0.5)(grey, np.random.default_rng(0)), grey)
    assert ColorJitter(brightness=0.5)(grey, np.random.default_rng(0)).shape == grey.shape


def test_lighting_adds_the_published_colours():
    """Its shifts have the covariance P diag(lambda^2) P^T strength^2, and every pixel of an image gets the same one."""
    black, rng = np.zeros((2, 2, 3), dtype=np.uint8), np.random.default_rng(0)
    shifts = np.array([Lighting(0.1)(black, rng) for _ in range(20_000)], dtype=np.float64)
    assert (shifts == shifts[..., :1, :1]).all()
    found = np.cov(shifts[:, :, 0, 0].T)
    expected = 0.1**2 * PCA_EIGENVECTORS @ np.diag(PCA_EIGENVALUES**2) @ PCA_EIGENVECTORS.T
    np.testing.assert_allclose(found, expected, rtol=0.05)
    assert np.abs(shifts.mean(axis=0)).max() < 1e-3


def test_the_eigenvectors_are_orthonormal():
    np.testing.assert_allclose(PCA_EIGENVECTORS.T @ PCA_EIGENVECTORS, np.eye(3), atol=2e-4)


def test_lighting_takes_bytes_or_floats_and_leaves_them_alone():
    stored, floats = noise(), ToFloat()(noise())
    before = floats.copy()
    lit = Lighting()(stored, np.random.default_rng(5))
    np.testing.assert_array_equal(lit, Lighting()(floats, np.random.default_rng(5)))
    np.testing.assert_array_equal(floats, before)
    assert lit.dtype == np.float32
    assert not np.array_equal(lit, floats)


def test_jitter_takes_ranges_as_torchvision_does(monkeypatch):
    calls: list[tuple[str, float]] = []
    monkeypatch.setattr(colour_module, "blend", lambda picture, name, f: calls.append((name, f)) or picture)
    monkeypatch.setattr(colour_module, "turn_hue", lambda picture, f: calls.append(("hue", f)) or picture)
    transform, rng = (
        ColorJitter((0.5, 0.75), contrast=(1.0, 1.0), saturation=(2.0, 2.0), hue=(0.0, 0.25)),
        np.random.default_rng(0),
    )
    for _ in range(200):
        transform(noise(), rng)
    drawn = {name: [f for called, f in calls if called == name] for name, _ in calls}
    assert drawn.keys() == {"brightness", "saturation", "hue"}  # a contrast of 1 changes nothing
    assert 0.5 <= min(drawn["brightness"]) < 0.51 < 0.74 < max(drawn["brightness"]) <= 0.75
    assert 0 <= min(drawn["hue"]) < 0.01 < 0.24 < max(drawn["hue"]) <= 0.25
    assert set(drawn["saturation"]) == {2.0}
    one, other = (ColorJitter(strength)(noise(), np.random.default_rng(1)) for strength in (0.5, (0.5, 1.5)))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "settings",
    [
        {"brightness": -1},
        {"contrast": -0.1},
        {"saturation": -2},
        {"hue": 0.6},
        {"hue": -0.1},
        {"brightness": (-0.1, 1)},
        {"contrast": (1.5, 0.5)},
        {"hue": (0.0, 0.6)},
    ],
)
def test_strengths_that_are_none(settings):
    with pytest.raises(DataError, match="strengths must be 0 or more"):
        ColorJitter(**settings)


def test_lighting_refuses_what_has_no_colours():
    with pytest.raises(ShapeError, match="1 channel"):
        Lighting()(noise(1), np.random.default_rng(0))
    with pytest.raises(DataError, match="standard deviation"):
        Lighting(-0.1)
    with pytest.raises(TypeError, match="draws random numbers"):
        Lighting()(noise())


def test_readable_reprs():
    assert repr(ColorJitter(0.4)) == "ColorJitter(brightness=0.4, contrast=0.0, saturation=0.0, hue=0.0)"
    assert repr(Lighting()) == "Lighting(strength=0.1)"
