"""Data sets by name or path, and the two parts of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minires import data
from minires.errors import DataError


def photographs(folder: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (4, 4), (number, 0, 0)).save(folder / name / f"{number:03}.png")
    return folder


def test_digits_need_no_folder(tmp_path):
    assert len(data.load("digits", tmp_path / "nowhere", download=False)) == 1438
    train, validation = data.load_for_training("digits")
    assert (len(train), len(validation)) == (1438, 359)


def test_the_variable_names_the_folder(data_root, monkeypatch):
    monkeypatch.setenv("MINIRES_DATA", str(data_root))
    assert len(data.load("fashion-mnist", train=False, download=False)) == 10_000


def test_a_divided_folder(tmp_path):
    photographs(tmp_path / "pets" / "train", {"cat": 3, "dog": 4, "emu": 1})
    photographs(tmp_path / "pets" / "val", {"dog": 2, "emu": 1})
    train, validation = data.load_for_training(tmp_path / "pets")
    assert (len(train), len(validation)) == (8, 3)
    assert train.classes == validation.classes == ("cat", "dog", "emu")
    assert validation.labels.tolist() == [1, 1, 2]  # labelled as in training, though it has no cat
    assert data.load(tmp_path / "pets", train=False).labels.tolist() == [1, 1, 2]


@pytest.mark.parametrize("name", ["valid", "validation", "test"])
def test_other_names_of_the_second_part(tmp_path, name):
    photographs(tmp_path / "train", {"cat": 3})
    photographs(tmp_path / name, {"cat": 2})
    assert len(data.load(str(tmp_path), train=False)) == 2


def test_an_undivided_folder_comes_whole_and_is_divided_for_training(tmp_path):
    photographs(tmp_path, {"cat": 10, "dog": 15})
    assert len(data.load(tmp_path, train=True)) == len(data.load(tmp_path, train=False)) == 25
    train, validation = data.load_for_training(tmp_path)
    assert np.bincount(train.labels).tolist() == [8, 12]
    assert np.bincount(validation.labels).tolist() == [2, 3]
    assert not set(train.paths) & set(validation.paths)
    again, _ = data.load_for_training(tmp_path)
    assert again.paths == train.paths


def test_a_folder_with_classes_called_train_and_bus_is_undivided(tmp_path):
    photographs(tmp_path, {"train": 3, "bus": 2})
    assert data.load(tmp_path).classes == ("bus", "train")


def test_an_unknown_name(tmp_path):
    with pytest.raises(DataError, match=r"'cifr10'; known data sets are digits, mnist, fashion-mnist, cifar10"):
        data.load("cifr10", tmp_path)
    with pytest.raises(DataError, match="no data set or folder called"):
        data.load(tmp_path / "gone")
