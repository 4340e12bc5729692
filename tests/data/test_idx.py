"""idx files: good ones in every guise, and every way to be damaged; MNIST and Fashion-MNIST where they are at hand."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from minires import data
from minires.data.idx import read_idx
from minires.errors import DataError
from tests.data.samples import IMAGES, LABELS, idx


def write(folder: Path, images: np.ndarray = IMAGES, labels: np.ndarray = LABELS, gzipped: bool = True) -> Path:
    """The two files of a training part."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)):
        if gzipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array), mtime=0))
        else:
            (folder / name).write_bytes(idx(array))
    return folder


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("sub_folder", ["", "raw"])
@pytest.mark.parametrize("gzipped", [True, False])
def test_every_layout_is_found(tmp_path, name, sub_folder, gzipped):
    write(tmp_path / {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}[name] / sub_folder, gzipped=gzipped)
    loaded = data.load(name, tmp_path, download=False)
    np.testing.assert_array_equal(loaded.images, IMAGES[..., None])
    np.testing.assert_array_equal(loaded.labels, LABELS)
    assert loaded.labels.dtype == np.int64
    assert loaded.name == name
    assert loaded.classes[9] == {"mnist": "9", "fashion-mnist": "Ankle boot"}[name]


def test_the_content_decides_whether_a_file_is_gzipped(tmp_path):
    (tmp_path / "plain.gz").write_bytes(idx(IMAGES))
    np.testing.assert_array_equal(read_idx(tmp_path / "plain.gz", 3), IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an idx file of unsigned bytes in 3 dimensions"),
        (idx(IMAGES)[:9], "is not an idx file"),
        (idx(LABELS) + bytes(9), "is not an idx file of unsigned bytes in 3 dimensions"),
        (b"\0\0\x0d\3" + idx(IMAGES)[4:], "is not an idx file of unsigned bytes"),
        (b"<html>404</html>", "is not an idx file"),
        (idx(IMAGES[:0]), r"says its shape is \(0, 28, 28\)"),
        (b"\0\0\x08\3" + b"\xff" * 12, r"says its shape is \(4294967295, 4294967295, 4294967295\)"),
        (idx(IMAGES)[:-1], r"is shorter than its shape \(20, 28, 28\)"),
        (idx(IMAGES) + b"\0", r"is longer than its shape \(20, 28, 28\)"),
        (gzip.compress(idx(IMAGES)[:-1], mtime=0), "is shorter"),
        (gzip.compress(idx(IMAGES), mtime=0)[:-4000], r"cannot be read \(Compressed file ended"),
        (gzip.compress(idx(IMAGES), mtime=0)[:30], "cannot be read"),
        (
            gzip.compress(idx(IMAGES), mtime=0)[:300] + bytes(500) + gzip.compress(idx(IMAGES), mtime=0)[800:],
            "cannot be read",
        ),
        (gzip.compress(idx(IMAGES), mtime=0)[:-8] + bytes(8), r"cannot be read \(CRC check failed"),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"train-images-idx3-ubyte\.gz {message}.*delete it to download it again"):
        read_idx(path, 3)


def test_a_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(DataError, match=r"gone cannot be read \(.*No such file"):
        read_idx(tmp_path / "gone", 3)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, LABELS[:-1], r"train-labels-idx1-ubyte\.gz holds 19 labels for the 20 images of train-images"),
        (IMAGES, LABELS + 1, r"train-labels-idx1-ubyte\.gz holds the label 10, above 9"),
        (IMAGES[:, :14], LABELS, r"train-images-idx3-ubyte\.gz holds images of 14x28 pixels, not of 28x28"),
    ],
)
def test_files_that_do_not_fit_each_other(tmp_path, images, labels, message):
    write(tmp_path / "MNIST", images, labels)
    with pytest.raises(DataError, match=message):
        data.load("mnist", tmp_path, download=False)


def test_mnist(data_root):
    train, test = (data.load("mnist", data_root, train=part, download=False) for part in (True, False))
    assert (len(train), len(test)) == (60_000, 10_000)
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]  # the most printed digits of machine learning
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_fashion_mnist(data_root):
    train, test = (data.load("fashion-mnist", data_root, train=part, download=False) for part in (True, False))
    assert np.bincount(train.labels).tolist() == [6000] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10
    assert train.classes[train.labels[0]] == "Ankle boot"
