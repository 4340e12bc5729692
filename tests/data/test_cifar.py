"""CIFAR-10's binary files and their archive: read, unpacked, damaged."""

from __future__ import annotations

import numpy as np
import pytest

from minires import data
from minires.data.cifar import FILE_BYTES, FOLDER, TEST_FILES, TRAIN_FILES
from minires.errors import DataError
from tests.data.samples import CIFAR_BATCH, archive


def test_records_become_images(tmp_path):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "test_batch.bin").write_bytes(CIFAR_BATCH)
    test = data.load("cifar10", tmp_path, train=False, download=False)
    assert test.images.shape == (10_000, 32, 32, 3)
    assert test.labels[:12].tolist() == [*range(10), 0, 1]
    assert test.images[300, 0, 0].tolist() == [77, 1, 2]
    assert (test.images[300, 1:] == [300 % 251, 1, 2]).all()
    assert test.classes[3] == "cat"


def test_the_archive_is_unpacked_where_it_lies(tmp_path):
    """Somebody without a network put the archive there: it stays, and nothing but the known files comes out of it."""
    members = {f"{FOLDER}/{name}": CIFAR_BATCH for name in TRAIN_FILES + TEST_FILES}
    hostile = {"../escaped.bin": b"x", f"{FOLDER}/readme.html": b"x"}
    archive(tmp_path / "data" / "cifar-10-binary.tar.gz", members | hostile)
    train = data.load("cifar10", tmp_path / "data", download=False)
    assert len(train) == 50_000
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    unpacked = [f"data/{FOLDER}/{name}" for name in TRAIN_FILES + TEST_FILES]
    assert found == [*unpacked, "data/cifar-10-binary.tar.gz"]


def test_members_that_are_missing_or_of_the_wrong_size(tmp_path):
    members = {f"{FOLDER}/{name}": CIFAR_BATCH for name in TRAIN_FILES[2:] + TEST_FILES}
    archive(tmp_path / "cifar-10-binary.tar.gz", members | {f"{FOLDER}/data_batch_1.bin": b"short"})
    with pytest.raises(DataError, match=r"lacks .*data_batch_1\.bin, .*data_batch_2\.bin; delete it"):
        data.load("cifar10", tmp_path, download=False)


@pytest.mark.parametrize("damage", [lambda content: content[:2000], lambda content: b"<html>", lambda content: b""])
def test_a_damaged_archive_is_named(tmp_path, damage):
    path = tmp_path / "cifar-10-binary.tar.gz"
    archive(path, {f"{FOLDER}/{name}": CIFAR_BATCH for name in TRAIN_FILES})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz cannot be unpacked .*delete it"):
        data.load("cifar10", tmp_path, download=False)
    assert not list((tmp_path / FOLDER).iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CIFAR_BATCH[:-3073], r"has 30,726,927 bytes instead of 30,730,000; delete the folder"),
        (CIFAR_BATCH + b"\0", r"has 30,730,001 bytes instead of 30,730,000"),
        (b"", "has 0 bytes"),
        (CIFAR_BATCH[: 3073 * 17] + b"\x0b" + CIFAR_BATCH[3073 * 17 + 1 :], "record 17 has label 11, above 9"),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(tmp_path, content, message):
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "test_batch.bin").write_bytes(content)
    with pytest.raises(DataError, match=rf"test_batch\.bin:? {message}"):
        data.load("cifar10", tmp_path, train=False, download=False)


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "test_batch.bin").write_bytes(CIFAR_BATCH)
    monkeypatch.setattr(np, "fromfile", refuse)
    with pytest.raises(DataError, match=r"test_batch\.bin cannot be read \(Permission denied\); delete the folder"):
        data.load("cifar10", tmp_path, train=False, download=False)


def test_cifar10(data_root):
    train, test = (data.load("cifar10", data_root, train=part, download=False) for part in (True, False))
    assert np.bincount(train.labels).tolist() == [5000] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10
    assert train.classes[train.labels[0]] == "frog"
    assert len(CIFAR_BATCH) == FILE_BYTES


def test_cifar10_against_pictures_of_its_images(data_root):
    """PNG files that others made of the first test images, their number and label in the name."""
    test = data.load("cifar10", data_root, train=False, download=False)
    pictures = sorted((data_root / "images").glob("cifar10_*.png"))
    assert len(pictures) == 20
    for path in pictures:
        _, number, label = path.stem.split("_")
        np.testing.assert_array_equal(test.images[int(number)], data.open_image(path))
        assert test.labels[int(number)] == int(label)
