"""Trained weights by name: what is shipped works, what is fetched is checked, what there is not is said."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest

import minires as mr
from minires import data, models, weights
from minires.cli import main
from minires.errors import DataError, WeightsError
from minires.inference import classifier
from minires.models import pretrained
from minires.training import checkpoint_metadata, evaluate
from minires.weights import published

SHIPPED = sorted(pretrained.shipped())


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIRES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_digits_are_shipped():
    assert ("resnet32", "digits") in SHIPPED


@pytest.mark.parametrize(("model", "name"), SHIPPED)
def test_every_shipped_file_says_what_it_is(model, name):
    """Network, classes, preprocessing, settings, and the result that its training had."""
    file = pretrained.shipped()[model, name]
    facts = checkpoint_metadata(file)
    assert (facts["model"], facts["settings"]["data"], len(facts["classes"])) == (model, name, 10)
    assert {"recipe", "settings", "result", "in_channels"} <= set(facts)
    assert facts["result"]["settings"]["model"] == model
    arrays = weights.load(file)
    own = models.build(model, in_channels=facts["in_channels"]).state_dict()
    assert {key: array.shape for key, array in arrays.items()} == {key: t.shape for key, t in own.items()}
    assert file.stat().st_size < 2.5e6


def test_the_digits_come_out_as_their_result_says():
    """The result in the file and in docs/results is what the network does, in the package's own float16."""
    model = models.resnet32(weights="digits")
    assert model.conv1.weight.shape == (16, 1, 3, 3)
    assert {parameter.dtype for parameter in model.parameters()} == {np.dtype(np.float32)}
    loader = data.Loader(
        data.load("digits", train=False), 359, transform=data.transforms.Normalize.preset("digits"), workers=0
    )
    told = checkpoint_metadata(pretrained.shipped()["resnet32", "digits"])["result"]["seeds"][0]
    assert evaluate(model, loader).correct == told["right"]


@pytest.mark.parametrize("name", [name for _, name in SHIPPED])
def test_the_command_line_needs_nothing_but_the_name(name, capsys, tmp_path, request):
    options = ["--data", "digits"] if name == "digits" else ["--data", name, "--no-download"]
    if name != "digits":
        options += ["--data-dir", str(request.getfixturevalue("data_root"))]
    assert main(["evaluate", "--weights", name, *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    told = checkpoint_metadata(pretrained.locate(None, name)[1])["result"]["seeds"][0]
    assert found["correct"] == pytest.approx(told["right"], abs=30)  # a copy of CIFAR-10 may have inexact images
    from PIL import Image

    Image.fromarray(data.digits().images[0, :, :, 0]).resize((40, 40)).save(tmp_path / "photo.png")
    assert main(["predict", "--weights", name, str(tmp_path / "photo.png"), "--json"]) == 0
    (image,) = json.loads(capsys.readouterr().out)
    assert {guess["name"] for guess in image["classes"]} <= set(classifier.load(None, name).names)


def test_the_mirror_image_is_averaged_apart(capsys):
    network = classifier.load(None, "digits")
    tests = network.test_set("digits")
    plain, both = network.evaluate(tests), network.evaluate(tests, flip_tta=True)
    x = data.transforms.Normalize.preset("digits")(tests.images)
    with mr.no_grad():
        logits = (network.model(mr.Tensor(x)) + network.model(mr.Tensor(np.ascontiguousarray(x[..., ::-1])))).numpy()
    np.testing.assert_array_equal(both.predictions, logits.argmax(1))
    assert main(["evaluate", "--weights", "digits", "--data", "digits", "--flip-tta"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert f"{plain.top1:.2f} % right ({plain.correct} of 359)" in first
    assert second.startswith("apart from that, with the logits of each image and its mirror image averaged: ")
    assert f"{both.top1:.2f} % right" in second


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: models.resnet44(weights="cifar10"), "resnet44 has no weights 'cifar10' here: there are .*digits for"),
        (lambda: models.resnet20(weights="imagenet"), "resnet20 has no weights 'imagenet' here"),
        (
            lambda: models.resnet18(weights="DEFAULT"),
            "resnet18 has no weights 'DEFAULT' here: .* imagenet for resnet18",
        ),
        (lambda: models.build("plain32", weights="digits"), "no trained weights of plain networks"),
        (lambda: models.resnet32(weights="digits", num_classes=7), "are for 10 classes, not 7"),
        (lambda: models.convnet8(weights="cifar10"), "convnet8 has no weights 'cifar10' here"),
        (lambda: models.resnet32(weights="digits", in_channels=3), "conv1.weight"),
        (lambda: classifier.load(None, "cifar11"), "did you mean cifar10.* There are cifar10, digits, imagenet, "),
        (lambda: pretrained.locate(None, "imagenet"), "name the network whose weights are meant: resnet18"),
    ],
)
def test_what_there_is_not_is_said(make, says):
    with pytest.raises(WeightsError, match=says):
        make()


# -- torchvision's files ----------------------------------------------------------------------------------------------


def test_the_names_are_torchvisions():
    rows = [row for row in published.table().values() if "-imagenet" in row.name]
    for row in rows:
        assert re.fullmatch(rf"{row.model}-[0-9a-f]{{8}}\.pth", row.place)
        assert models.image_size(row.model) == 224
    assert len(rows) == 17
    assert published.table()["resnet18-imagenet"].place == "resnet18-f37072fd.pth"


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    """A file as torchvision publishes it."""
    path = tmp_path_factory.mktemp("published") / "resnet18.pth"
    mr.manual_seed(5)
    weights.save(path, models.resnet18().state_dict())
    return path.read_bytes()


@pytest.fixture
def torchvision(site, content, monkeypatch):
    """A server that has torchvision's file of ResNet-18, and its name with the right digits."""
    digits = hashlib.sha256(content).hexdigest()[:8]
    name = f"resnet18-{digits}.pth"
    site.files[name] = content
    monkeypatch.setattr(published, "TORCHVISION", site.address + "/")
    row = published.table()["resnet18-imagenet"]
    monkeypatch.setitem(published.table(), row.name, replace(row, digits=digits, place=name))
    return site


def test_imagenet_weights_are_fetched_once(torchvision, cache, content):
    mr.manual_seed(5)
    expected = models.resnet18().state_dict()
    for _ in range(2):
        model = models.resnet18(weights="imagenet")
        for name, tensor in model.state_dict().items():
            np.testing.assert_array_equal(tensor.numpy(), expected[name].numpy())
    assert len(torchvision.asked) == 1
    (file,) = cache.iterdir()
    assert file.read_bytes() == content
    network = classifier.load("resnet18", "imagenet")
    assert (len(network.names), network.names[258]) == (1000, "Samoyed")


def test_a_broken_download_is_resumed(torchvision, cache, content, capsys):
    torchvision.breaks_after = 3_000_000
    with pytest.raises(
        WeightsError, match=r"failed \(the connection broke after 3,000,000 .* or fetch that file elsewh"
    ):
        models.resnet18(weights="imagenet")
    torchvision.breaks_after = None
    models.resnet18(weights="imagenet")
    assert [asked for _, asked in torchvision.asked] == [None, "bytes=3000000-"]


def test_another_file_under_that_name_is_not_kept(torchvision, cache):
    name = published.table()["resnet18-imagenet"].place
    torchvision.files[name] = b"<html>"
    with pytest.raises(DataError, match=rf"has sha256 [0-9a-f]{{64}} instead of {name[9:17]}: the download is damaged"):
        models.resnet18(weights="imagenet")
    assert not list(cache.iterdir())


def test_without_a_network_one_line_says_where_the_file_belongs(cache, monkeypatch, capsys):
    monkeypatch.setattr(published, "TORCHVISION", "http://127.0.0.1:9/models/")
    assert main(["predict", "--model", "resnet18", "--weights", "imagenet", "photo.png"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    file = cache / "resnet18-f37072fd.pth"
    assert line.startswith(f"minires: the weights resnet18-imagenet are not at {file}, and downloading")
    assert "http://127.0.0.1:9/models/resnet18-f37072fd.pth failed" in line
    with pytest.raises(WeightsError, match="downloading is switched off: fetch http"):
        classifier.load("resnet18", "imagenet", download=False)


def test_training_starts_from_weights_with_a_name(tmp_path, capsys):
    options = ["--data", "digits", "--weights", "digits", "--freeze", "--epochs", "1", "--workers", "0"]
    assert main(["train", *options, "--out", str(tmp_path / "run")]) == 0
    assert checkpoint_metadata(tmp_path / "run" / "last.safetensors")["model"] == "resnet32"
