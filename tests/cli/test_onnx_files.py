"""ONNX files on the command line: export, convert, and --model net.onnx."""

import json

import numpy as np
import pytest
from PIL import Image

import minires as mr
from minires import models, weights
from minires.cli import main

pytest.importorskip("onnx")


@pytest.fixture
def folder(tmp_path):
    """Weights of two networks, and two photographs of noise."""
    mr.manual_seed(0)
    weights.save(tmp_path / "colour.safetensors", models.build("resnet8").state_dict())
    weights.save(tmp_path / "grey.safetensors", models.build("resnet8", in_channels=1).state_dict())
    for name in ("a.png", "b.png"):
        noise = np.random.default_rng(len(name)).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / name)
    return tmp_path


def run(*arguments):
    return main([str(each) for each in arguments])


def exported(folder, *options, weights="colour"):
    path = folder / f"{weights}.onnx"
    assert run("export", "resnet8", "--weights", folder / f"{weights}.safetensors", "--out", path, *options) == 0
    return path


def predictions(capsys, *arguments):
    capsys.readouterr()
    assert run("predict", "--json", *arguments) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("options", [(), ("--opset", "18"), ("--batch", "3")], ids=str)
def test_what_was_exported_predicts_as_its_weights_do(options, folder, capsys):
    path, images = exported(folder, *options), (folder / "a.png", folder / "b.png")
    ours = predictions(capsys, "--model", "resnet8", "--weights", folder / "colour.safetensors", *images)
    theirs = predictions(capsys, "--model", path, *images)
    for one, other in zip(ours, theirs, strict=True):
        assert [guess["name"] for guess in one["classes"]] == [guess["name"] for guess in other["classes"]]
        pairs = zip(one["classes"], other["classes"], strict=True)
        assert all(a["probability"] == pytest.approx(b["probability"], rel=1e-4) for a, b in pairs)


def test_summary_and_gradcheck_take_a_file(folder, capsys):
    path = exported(folder)
    assert run("summary", path) == 0
    assert "12.2 ×10⁶ multiply-adds" in capsys.readouterr().out
    assert run("gradcheck", path, "--fast", "--batch", "2", "--input", "3x8x8") == 0
    assert "PASS" in capsys.readouterr().out


@pytest.mark.slow  # 5 s: a training run, an evaluation and another start
def test_a_file_is_trained_and_evaluated(folder, capsys):
    path, out = exported(folder, "--size", "8", weights="grey"), folder / "run"
    assert run("train", "--model", path, "--data", "digits", "--epochs", "1", "--lr", "0.05", "--out", out) == 0
    assert run("evaluate", "--model", path, "--weights", out / "best.safetensors", "--data", "digits", "--json") == 0
    assert json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))["top1"] > 30
    assert run("train", "--model", path, "--data", "digits", "--resume", "--out", out) == 0


def test_files_are_converted(folder, capsys):
    source = weights.load(folder / "colour.safetensors")
    before = folder / "colour.safetensors"
    for name in ("a.pth", "b.npz", "c.safetensors"):
        assert run("convert", before, folder / name) == 0
        before = folder / name
        found = weights.load(before)
        assert found.keys() == source.keys()
        assert all(np.array_equal(found[key], source[key]) for key in source)
    path = exported(folder)
    assert run("convert", path, folder / "d.npz") == 2
    assert "--without-metadata" in capsys.readouterr().err
    assert run("convert", path, folder / "d.npz", "--without-metadata") == 0
    assert weights.load(folder / "d.npz").keys() == source.keys()


MISTAKES = {
    "no weights": (("predict", "a.png"), "Missing option '--weights'"),
    "no such file": (("predict", "--model", "no.onnx", "a.png"), "there is no such file"),
    "no ONNX": (("summary", "bad.onnx"), "no ONNX"),
    "classes of a file": (("summary", "colour.onnx", "--classes", "3"), "--classes would change nothing"),
    "other images": (("evaluate", "--model", "colour.onnx", "--data", "digits"), "reads"),
    "weights of another": (
        ("predict", "--model", "colour.onnx", "--weights", "grey.safetensors", "a.png"),
        "wrong shape",
    ),
    "export of a file": (("export", "colour.onnx", "--weights", "grey.safetensors", "--out", "x.onnx"), "already"),
    "weights alone": (("convert", "colour.safetensors", "x.onnx"), "name it with --model"),
    "an unknown opset": (
        ("export", "resnet8", "--weights", "colour.safetensors", "--out", "x", "--opset", "9"),
        "opset",
    ),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_end_in_one_line(kind, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    exported(folder)
    (folder / "bad.onnx").write_text("hello")
    capsys.readouterr()
    arguments, message = MISTAKES[kind]
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
