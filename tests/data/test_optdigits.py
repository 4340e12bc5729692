"""The bundled digits: scikit-learn's numbers, a lossless scale, a fixed stratified split."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from minires import data


def both() -> tuple[np.ndarray, np.ndarray]:
    parts = data.digits(train=True), data.digits(train=False)
    return np.concatenate([p.images for p in parts]), np.concatenate([p.labels for p in parts])


def test_parts():
    train, test = data.digits(), data.digits(train=False)
    assert (len(train), len(test)) == (1438, 359)
    assert train.images.shape[1:] == (8, 8, 1)
    assert train.classes == tuple("0123456789")
    assert train.name == "digits"
    whole = np.bincount(train.labels) + np.bincount(test.labels)
    assert whole.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(test.labels).tolist() == [round(count / 5) for count in whole]


def test_the_split_never_changes():
    """Accuracies on the held-out fifth are published: these are its first labels and the sum of its bytes."""
    test = data.digits(train=False)
    assert test.labels[:12].tolist() == [3, 7, 0, 5, 3, 9, 0, 8, 5, 2, 6, 4]
    assert int(test.images.sum()) == 1_773_931


def test_no_image_is_in_both_parts():
    train, test = (set(map(bytes, data.digits(part).images)) for part in (True, False))
    assert len(train | test) == 1797
    assert not train & test


def test_the_scale_is_lossless():
    images, _ = both()
    assert np.unique(images).tolist() == [round(v * 255 / 16 + 1e-9) for v in range(17)]
    assert images.max() == 255


def test_they_are_scikit_learns():
    sklearn = pytest.importorskip("sklearn.datasets", reason="scikit-learn is the source of the digits")
    bunch = sklearn.load_digits()
    images, labels = both()
    counts = np.rint(images[..., 0] * (16 / 255)).astype(int)
    ours = sorted((label, *count.ravel()) for count, label in zip(counts, labels, strict=True))
    theirs = sorted((label, *map(int, count.ravel())) for count, label in zip(bunch.images, bunch.target, strict=True))
    assert ours == theirs


def test_the_attribution_travels_along():
    text = files("minires.data").joinpath("digits.LICENSE.txt").read_text("utf-8")
    for part in ("E. Alpaydin and C. Kaynak", "UCI Machine Learning Repository", "creativecommons.org/licenses/by/4.0"):
        assert part in text
