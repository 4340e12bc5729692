"""How each data set's images are prepared, and that it can be known again from a checkpoint."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from minires import data
from minires.data.transforms import PRESETS, CenterCrop, Normalize, Resize
from minires.errors import DataError
from minires.training.preprocessing import IMAGENET_PREPROCESSING, PREPROCESSINGS, Preprocessing, preprocessing_for


def image_of(preprocessing: Preprocessing, size: int | None = None) -> np.ndarray:
    size = preprocessing.size if size is None else size
    return np.random.default_rng(0).integers(0, 256, (size, size, len(preprocessing.mean)), dtype=np.uint8)


@pytest.mark.parametrize("name", PREPROCESSINGS)
def test_published_data_sets(name):
    preprocessing = PREPROCESSINGS[name]
    image = image_of(preprocessing)
    expected = Normalize.preset(name)(image)
    np.testing.assert_array_equal(preprocessing.evaluation()(image), expected)
    trained = preprocessing.training()(image, np.random.default_rng(1))
    assert (trained.shape, trained.dtype) == (expected.shape, np.float32)
    # A window of the normalised image with zeros around it, which are the mean colour; perhaps mirrored.
    size, pad = preprocessing.size, preprocessing.padding
    padded = np.pad(expected, ((0, 0), (pad, pad), (pad, pad)))
    windows = [padded[:, y : y + size, x : x + size] for y in range(2 * pad + 1) for x in range(2 * pad + 1)]
    if preprocessing.flip:
        windows += [window[..., ::-1] for window in windows]
    assert any(np.array_equal(trained, window) for window in windows)


@pytest.mark.parametrize("name", PREPROCESSINGS)
def test_only_things_are_mirrored(name):
    """A mirrored 2 is no 2."""
    assert PREPROCESSINGS[name].flip == (name in ("fashion-mnist", "cifar10"))


def test_photographs_as_torchvision_tests_them():
    image = image_of(IMAGENET_PREPROCESSING, 300)
    expected = Normalize.preset("imagenet")(CenterCrop(224)(Resize(256)(image)))
    np.testing.assert_array_equal(IMAGENET_PREPROCESSING.evaluation()(image), expected)
    rng = np.random.default_rng
    trained = [IMAGENET_PREPROCESSING.training()(image, rng(seed)) for seed in (1, 2)]
    assert [array.shape for array in trained] == [(3, 224, 224)] * 2
    assert not np.array_equal(*trained)


def test_which_preprocessing(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path.joinpath("a").mkdir() or tmp_path / "a" / "1.png")
    folder = data.ImageFolder(tmp_path)
    folder.name = "digits"  # a folder may be called anything
    assert preprocessing_for(folder) == IMAGENET_PREPROCESSING
    assert preprocessing_for(data.digits()) == PREPROCESSINGS["digits"]
    small = preprocessing_for(folder, image_size=56)
    assert (small.size, small.resize) == (56, 64)
    assert small.evaluation()(np.zeros((9, 9, 3), np.uint8)).shape == (3, 56, 56)
    with pytest.raises(DataError, match="its images have one size already"):
        preprocessing_for(data.digits(), image_size=56)


def test_another_normalisation():
    assert PREPROCESSINGS["cifar10"].normalized_as("imagenet").mean == PRESETS["imagenet"][0]
    with pytest.raises(DataError, match="no normalisation is called 'imagent'"):
        IMAGENET_PREPROCESSING.normalized_as("imagent")


@pytest.mark.parametrize("preprocessing", [*PREPROCESSINGS.values(), IMAGENET_PREPROCESSING])
def test_there_and_back(preprocessing):
    assert Preprocessing.from_dict(json.loads(json.dumps(preprocessing.to_dict()))) == preprocessing
