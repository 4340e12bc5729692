"""The programs in examples/ run, and show what they say they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import minires as mr
from examples import (
    autoencoder,
    classify_photo,
    custom_op,
    distributed,
    gan,
    mnist_residual,
    own_block,
    regression,
    train_digits,
)
from minires import data, models, weights
from minires import functional as F
from tests.data.samples import idx


def test_an_op_of_ones_own_is_right_and_a_wrong_one_is_found(capsys):
    custom_op.main()
    printed = capsys.readouterr().out
    assert "silu: PASS" in printed
    assert "x, order 2" in printed
    assert "wrong_silu: WRONG" in printed
    assert "suspect: WrongSiLU" in printed


def test_training_on_the_digits_leaves_a_run_that_can_be_used(tmp_path, capsys):
    accuracy = train_digits.main(["--epochs", "1", "--limit", "200", "--out", str(tmp_path / "run")])
    assert f"of 359 test images right: {accuracy:.1f} %" in capsys.readouterr().out
    assert accuracy > 20  # a guess is right once in ten times
    assert (tmp_path / "run" / "best.safetensors").exists()
    again = train_digits.main(["--epochs", "1", "--limit", "200", "--out", str(tmp_path / "run"), "--resume"])
    assert again == accuracy


@pytest.mark.parametrize("arguments", [[], ["--by-hand"]])
def test_several_processes_may_be_one(arguments, capsys):
    """tests/distributed starts several."""
    accuracy = distributed.main(["--epochs", "1", *arguments])
    assert f"1 ranks: {round(3.59 * accuracy)} of 359 test images right" in capsys.readouterr().out
    assert accuracy > 20


@pytest.mark.slow(reason="ten epochs, half a minute on two cores")
def test_the_digits_are_learned():
    assert train_digits.main([]) > 97


def write_mnist(root: Path, part: str, images: np.ndarray, labels: np.ndarray) -> None:
    """The two files of a part of MNIST ("train" or "t10k"), as its publishers lay them out."""
    folder = root / "MNIST"
    folder.mkdir(exist_ok=True)
    (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))


def test_the_mnist_program_is_measured_on_the_test_set(tmp_path, monkeypatch, capsys):
    """It trains on images of the class 0 alone, so it must be wrong on a test set that has only others."""
    images = np.random.default_rng(0).integers(0, 256, (192, 28, 28), dtype=np.uint8)
    write_mnist(tmp_path, "train", images, np.zeros(192, np.uint8))
    monkeypatch.setenv("MINIRES_DATA", str(tmp_path))
    for label, expected in ((0, 100.0), (1, 0.0)):
        write_mnist(tmp_path, "t10k", images[:32], np.full(32, label, np.uint8))
        assert mnist_residual.main(["--epochs", "3"]) == expected
    assert f"test accuracy {0:.2f} %" in capsys.readouterr().out


def test_the_mnist_program_has_the_published_network():
    network = mnist_residual.Net()
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items() if name.endswith("weight")}
    assert shapes == {
        "conv1.weight": (16, 1, 5, 5),
        "block1.conv1.weight": (16, 16, 3, 3),
        "block1.conv2.weight": (16, 16, 3, 3),
        "conv2.weight": (32, 16, 5, 5),
        "block2.conv1.weight": (32, 32, 3, 3),
        "block2.conv2.weight": (32, 32, 3, 3),
        "fc.weight": (10, 512),
    }
    assert network(mr.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_the_mnist_program_learns_mnist(data_root, monkeypatch):
    monkeypatch.setenv("MINIRES_DATA", str(data_root))
    assert mnist_residual.main(["--epochs", "2", "--limit", "1500"]) > 55


def test_a_photograph_is_classified(tmp_path, capsys):
    mr.manual_seed(0)
    model = models.resnet18()
    weights.save(tmp_path / "resnet18.safetensors", model.state_dict())
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((256, 256)).save(tmp_path / "photo.png")
    [found] = classify_photo.main([str(tmp_path / "resnet18.safetensors"), str(tmp_path / "photo.png")])

    stored = np.asarray(Image.open(tmp_path / "photo.png"))[16:240, 16:240].astype(np.float32) / 255
    x = (stored - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    with mr.no_grad():
        expected = F.softmax(model.eval()(mr.tensor(x.transpose(2, 0, 1)[None])), 1).numpy()[0]
    best = np.argsort(-expected)[:5]
    assert [name for name, _ in found] == [data.imagenet_classes()[index] for index in best]
    np.testing.assert_allclose([probability for _, probability in found], expected[best], rtol=1e-3)
    assert data.imagenet_classes()[best[0]] in capsys.readouterr().out


def test_a_samoyed_is_recognised(data_root):
    checkpoint, photo = data_root / "weights" / "resnet18_imagenet.pth", data_root / "images" / "dog.jpg"
    [found] = classify_photo.main([str(checkpoint), str(photo)])
    name, probability = found[0]
    assert name == "Samoyed"
    assert probability == pytest.approx(0.954, abs=0.005)


def test_a_regression_is_learned(capsys):
    error = regression.main(["--epochs", "8", "--points", "800"])
    assert f"root-mean-square error {error:.3f}" in capsys.readouterr().out
    x, y = regression.samples(800).tensors
    _, rest, _, _ = np.linalg.lstsq(np.hstack([x, np.ones((800, 1))]), y, rcond=None)
    assert error < 0.8 * float(np.sqrt(rest[0] / 800))  # than the best linear function


@pytest.mark.slow(reason="thirty epochs, a quarter of a minute")
def test_the_regression_reaches_the_noise():
    assert regression.main([]) == pytest.approx(0.1, abs=0.02)


def test_an_autoencoder_of_the_images_of_a_data_set_of_ones_own(capsys):
    ours, linear = autoencoder.main(["--epochs", "1"])
    pixels = autoencoder.Images(train=False).pixels
    assert (
        linear < ours < pixels.var(axis=0).mean()
    )  # one epoch: better than the mean image, not yet than the components
    assert f"test set: {ours:.4f}, by 8 principal components {linear:.4f}" in capsys.readouterr().out


@pytest.mark.slow(reason="forty epochs, a quarter of a minute")
def test_the_autoencoder_is_better_than_principal_components():
    ours, linear = autoencoder.main([])
    assert ours < 0.7 * linear


def test_a_gan_goes_on_where_it_was_to_the_same_bits(tmp_path):
    few = ["--points", "128", "--checkpoint", str(tmp_path / "gan.safetensors")]
    whole = gan.main(["--points", "128", "--epochs", "4"])
    gan.main(["--epochs", "2", *few])
    assert gan.main(["--epochs", "4", *few]).tobytes() == whole.tobytes()
    assert whole.shape == (500, 2)


@pytest.mark.slow(reason="sixty epochs, half a minute")
def test_the_gan_draws_a_circle():
    radius = np.hypot(*gan.main([]).T)
    assert radius.mean() == pytest.approx(1, abs=0.1)
    assert radius.std() < 0.25


def test_a_block_of_ones_own_is_trained(capsys):
    accuracy = own_block.main(["--epochs", "1", "--limit", "256"])
    assert f"{accuracy:.1f} % of the test images right" in capsys.readouterr().out
    assert accuracy > 15
