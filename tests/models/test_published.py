"""Names of parameters of other libraries, and published weights from the name to the answer."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import minires as mr
from minires import models, weights
from minires.cli import main
from minires.errors import WeightsError
from minires.inference import classifier
from minires.models.checkpoints import imagenet_network
from minires.nn.init import no_draws
from minires.weights import published
from minires.weights.foreign_names import as_torchvision, named_as

# Modules of the transformers library beside timm's, paired by the order in which the two run them.
TRANSFORMERS = json.loads(Path(__file__).with_name("transformers_names.json").read_text())
TIMM, HUGGING_FACE = "timm/resnet18.a1_in1k", "microsoft/resnet-18"


@cache
def arrays_of(name):
    """Random arrays of ResNet-18 and small networks; of larger ones arrays of one number each, which take no memory."""
    mr.manual_seed(3)
    if name in ("resnet18", "resnet20"):
        return {key: tensor.numpy() for key, tensor in models.build(name).state_dict().items()}
    with no_draws():
        own = models.build(name).state_dict()
    return {key: np.broadcast_to(np.float32(k), own[key].shape) for k, key in enumerate(own)}


def with_other_names(name):
    """The arrays of a network of ours under transformers' names, as that library pairs them."""
    modules = {ours: theirs for theirs, ours in TRANSFORMERS[name].items()}
    pairs = ((key.rpartition("."), array) for key, array in arrays_of(name).items())
    return {f"{modules[module]}.{own}": array for (module, _, own), array in pairs}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_the_names_of_transformers_both_ways(name):
    ours, theirs = arrays_of(name), with_other_names(name)
    for found, expected in ((as_torchvision(theirs), ours), (named_as("transformers", ours), theirs)):
        assert found.keys() == expected.keys()
        assert all(found[key] is not None and np.array_equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", ["resnet34", "resnext50_32x4d", "wide_resnet50_2"])
def test_timm_has_torchvisions_names(name):
    arrays = arrays_of(name)
    assert named_as("timm", arrays).keys() == named_as("torchvision", arrays).keys() == arrays.keys()


@pytest.mark.parametrize(
    ("arrays", "style", "says"),
    [
        (
            lambda: arrays_of("resnet18:gate=exclusive"),
            "timm",
            r"of timm has layer1\.0\.join\.gate.*16 in all: that would",
        ),
        (lambda: {**arrays_of("resnet18"), "extra": np.zeros(3)}, "torchvision", "has extra: that would be lost"),
    ],
)
def test_what_would_be_lost_is_refused(arrays, style, says):
    with pytest.raises(WeightsError, match=says):
        named_as(style, arrays())


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet101", "resnext50_32x4d", "resnext101_64x4d"])
def test_arrays_tell_their_network(name):
    assert imagenet_network(arrays_of(name)) == name


@pytest.mark.parametrize("arrays", [lambda: arrays_of("resnet20"), lambda: {"conv1.weight": np.zeros((64, 3, 7, 7))}])
def test_other_arrays_tell_none(arrays):
    with pytest.raises(WeightsError, match="not the arrays of a whole ResNet"):
        imagenet_network(arrays())


def test_a_file_with_some_names_of_transformers_is_refused():
    with pytest.raises(WeightsError, match="has extra: that would be lost"):
        as_torchvision({**with_other_names("resnet18"), "extra": np.zeros(3)})


# -- from the name to the answer --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files as timm and transformers publish them, of our own weights: {name: content}."""
    folder, made = tmp_path_factory.mktemp("hub"), {}
    for name, arrays in ((TIMM, arrays_of("resnet18")), (HUGGING_FACE, with_other_names("resnet18"))):
        weights.save(folder / "model.safetensors", arrays)
        made[name] = (folder / "model.safetensors").read_bytes()
    return made


@pytest.fixture
def hub(site, files, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIRES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(published, "HUB", f"{site.address}/")
    for name, content in files.items():
        site.files[f"{name}/resolve/main/model.safetensors"] = content
        site.files[f"{name}/raw/main/model.safetensors"] = (
            f"oid sha256:{hashlib.sha256(content).hexdigest()}\n".encode()
        )
    return site


@pytest.fixture
def photograph(tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).resize((450, 300)).save(path)
    return path


@pytest.mark.parametrize(("name", "resize"), [(TIMM, 235), (HUGGING_FACE, 256)])
def test_images_are_prepared_as_the_publisher_does(name, resize, hub, photograph):
    """Bicubic to the short side that crop and size give, the central square, ImageNet's colours: by Pillow."""
    from PIL import Image

    network = classifier.load(None, name)
    image = Image.open(photograph).resize((int(resize * 450 / 300), resize), Image.Resampling.BICUBIC)
    left, top = round((image.width - 224) / 2), round((resize - 224) / 2)
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
    expected = ((pixels - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])).transpose(2, 0, 1)
    np.testing.assert_allclose(network.prepare(photograph)[0], expected, atol=1e-5)
    own = models.resnet18()
    own.load_state_dict(arrays_of("resnet18"))
    with mr.no_grad():
        logits = own.eval()(mr.Tensor(expected[None])).numpy()[0]
    (found,) = network.predict(photograph, compiled=False)
    np.testing.assert_allclose(found.logits, logits, atol=1e-4 * np.abs(logits).max())
    assert (network.name, len(network.names), network.names[258]) == ("resnet18", 1000, "Samoyed")


@pytest.mark.parametrize("name", [TIMM, HUGGING_FACE])
def test_the_command_line_needs_nothing_but_the_name(name, hub, photograph, capsys):
    assert main(["predict", "--weights", name, str(photograph), "--json"]) == 0
    (image,) = json.loads(capsys.readouterr().out)
    assert image["classes"][0]["index"] == classifier.load(None, name).predict(photograph)[0].top(1)[0].index


def test_an_address_on_the_command_line(hub, files, photograph, capsys):
    address = f"{hub.address}/{TIMM}/resolve/main/model.safetensors"
    digits = hashlib.sha256(files[TIMM]).hexdigest()
    assert main(["predict", "--model", "resnet18", "--weights", f"{address}#sha256={digits}", str(photograph)]) == 0
    assert main(["predict", "--model", "resnet18", "--weights", address, str(photograph)]) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.endswith("without it nothing tells a damaged or exchanged file")


@pytest.mark.parametrize("name", [TIMM, HUGGING_FACE])
def test_a_network_takes_them(name, hub):
    model = models.resnet18(weights=name)
    for key, array in arrays_of("resnet18").items():
        np.testing.assert_array_equal(model.state_dict()[key].numpy(), array)
    with pytest.raises(WeightsError, match="are of resnet18, not of resnet34"):
        models.resnet34(weights=name)


@pytest.mark.slow  # 5 s: ResNet-18 is written, checked and read
def test_preprocessing_goes_into_an_exported_file(hub, tmp_path, photograph, capsys):
    pytest.importorskip("onnx")
    path = tmp_path / "net.onnx"
    assert main(["export", "resnet18", "--weights", TIMM, "--out", str(path), "--size", "64"]) == 0
    assert main(["predict", "--model", str(path), str(photograph)]) == 0
    from minires.cli.onnx_files import load_classifier

    found = load_classifier(str(path), None, None, "cpu").preprocessing
    assert (found.size, found.resize, found.interpolation) == (64, 67, "bicubic")


@pytest.mark.slow  # 6 s: a run of ResNet-18
def test_training_starts_from_them(hub, tmp_path, photograph, capsys):
    """Normalised as the weights' publisher does; the classifier of other classes is replaced."""
    from PIL import Image

    for kind in ("a", "b"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for k in range(4):
            Image.open(photograph).rotate(k * 90).save(tmp_path / "data" / kind / f"{k}.png")
    options = [
        "--weights",
        TIMM,
        "--model",
        "resnet18",
        "--freeze",
        "--epochs",
        "1",
        "--workers",
        "0",
        "--image-size",
        "32",
    ]
    assert main(["train", "--data", str(tmp_path / "data"), *options, "--out", str(tmp_path / "run")]) == 0


# -- minires convert --------------------------------------------------------------------------------------------------


def test_convert_gives_other_names(tmp_path, capsys):
    first, second, third = (str(tmp_path / name) for name in ("a.safetensors", "b.npz", "c.pth"))
    weights.save(first, with_other_names("resnet18"))
    assert main(["convert", first, second, "--names", "timm"]) == 0
    assert weights.load(second).keys() == arrays_of("resnet18").keys()
    assert main(["convert", second, third, "--names", "transformers"]) == 0
    back = weights.load(third)
    for key, array in with_other_names("resnet18").items():
        np.testing.assert_array_equal(back[key], array)


def test_convert_takes_names_and_wrapped_arrays(hub, tmp_path, capsys):
    assert main(["convert", HUGGING_FACE, str(tmp_path / "a.npz"), "--names", "torchvision"]) == 0
    weights.save(tmp_path / "b.npz", {f"module.{key}": array for key, array in arrays_of("resnet18").items()})
    assert main(["convert", str(tmp_path / "b.npz"), str(tmp_path / "c.npz"), "--names", "timm"]) == 0
    assert weights.load(tmp_path / "a.npz").keys() == weights.load(tmp_path / "c.npz").keys()


@pytest.mark.parametrize(
    ("network", "target", "options", "says"),
    [
        ("resnet20", "b.npz", ["--names", "timm"], "not the arrays of a whole ResNet"),
        ("resnext50_32x4d", "b.npz", ["--names", "transformers"], "transformers has no resnext50_32x4d"),
        ("resnet20", "b.npz", ["--model", "resnet20"], "--model would change nothing"),
        ("resnet20", "b.onnx", ["--names", "timm", "--model", "resnet20"], "--names would change nothing"),
        ("resnet20", "b.onnx", [], "name it with --model"),
    ],
)
def test_convert_refuses(network, target, options, says, tmp_path, capsys):
    weights.save(tmp_path / "a.npz", arrays_of(network))
    assert main(["convert", str(tmp_path / "a.npz"), str(tmp_path / target), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not (tmp_path / target).exists()


def test_convert_writes_a_network(tmp_path, capsys):
    pytest.importorskip("onnx")
    weights.save(tmp_path / "a.npz", arrays_of("resnet20"))
    assert main(["convert", str(tmp_path / "a.npz"), str(tmp_path / "b.onnx"), "--model", "resnet20"]) == 0
    assert main(["convert", str(tmp_path / "b.onnx"), str(tmp_path / "c.npz"), "--without-metadata"]) == 0
    back = weights.load(tmp_path / "c.npz")
    for key, array in arrays_of("resnet20").items():
        if "num_batches_tracked" not in key:
            np.testing.assert_array_equal(back[key], array)
