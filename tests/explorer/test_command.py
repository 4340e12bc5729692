"""`minires explore`: what it loads, what it refuses, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minires import weights
from minires.cli import main
from minires.explorer import loading, program
from tests.explorer.served import built


@pytest.fixture
def weight_file(tmp_path: Path) -> Path:
    path = tmp_path / "resnet8.safetensors"
    weights.save(path, built("resnet8").state_dict())
    return path


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    path = tmp_path / "photograph.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)).save(path)
    return path


def recording(folder: Path) -> Any:
    text = (folder / "network-data.js").read_text("utf-8")
    return json.loads(text[text.index("{") :].rstrip(";\n"))


def test_export_of_a_file_and_an_image(weight_file: Path, photograph: Path, tmp_path: Path, capsys: Any) -> None:
    site = tmp_path / "a" / "site"
    arguments = ["--model", "resnet8", "--weights", str(weight_file), "--image", str(photograph)]
    assert main(["explore", *arguments, "--export", str(site)]) == 0
    assert str(site / "index.html") in capsys.readouterr().out
    assert recording(site)["network"]["images"][0]["name"] == "photograph.png"
    assert (site / "index.html").read_text("utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.slow  # 3 s: it trains a network
def test_an_export_without_an_image_is_refused(weight_file: Path, tmp_path: Path, capsys: Any) -> None:
    """Nobody can add an image to a recording."""
    assert main(["explore", "--model", "resnet8", "--weights", str(weight_file), "--export", str(tmp_path / "x")]) == 2
    assert "no image to record: give --image FILE" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_without_weights_of_its_own_it_trains_on_digits(monkeypatch: Any, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.setattr(loading, "_shipped", lambda name: None)
    assert main(["explore", "--export", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "Training resnet8 on the handwritten digits" in said
    assert float(said.split("It reads ")[1].split(" %")[0]) > 90
    found = recording(tmp_path)
    right = [answer["top"][0]["name"] for key, answer in found["answers"].items() if key.endswith("/")]
    assert sum(guess == image["name"] for guess, image in zip(right, found["network"]["images"], strict=True)) >= 3


@pytest.mark.slow  # 3 s: it trains a network
def test_without_the_images_of_cifar10_it_shows_digits(monkeypatch: Any, tmp_path: Path) -> None:
    """Weights for CIFAR-10 come with MiniRes, its images do not: a page without an image would show nothing."""
    monkeypatch.setattr(loading, "has_images", lambda dataset: False)
    assert main(["explore", "--export", str(tmp_path)]) == 0
    assert recording(tmp_path)["network"]["images"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--weights", "nowhere.pth"], "nowhere.pth"),
        (["--model", "resnet0"], "resnet0"),
        (["--weights", "digits", "--model", "resnet18"], "too large"),
        (["--weights", "digits", "--image", "nowhere.png"], "nowhere.png"),
        (["--port", "99999"], "--port"),
        (["--export", "site", "--port", "8001"], "--port would change nothing"),
        (["--export", "site", "--no-browser"], "--browser would change nothing"),
    ],
)
def test_mistakes_of_the_user_are_one_line(
    arguments: list[str], says: str, monkeypatch: Any, tmp_path: Path, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loading, "EPOCHS", 1)
    assert main(["explore", *arguments]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_weights_that_do_not_come_with_minires_are_refused(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(loading, "_shipped", lambda name: None)
    assert main(["explore", "--weights", "cifar10", "--model", "resnet44"]) == 2
    assert "resnet44" in capsys.readouterr().err


def test_a_port_in_use_is_one_line(address: tuple[str, int], weight_file: Path, capsys: Any) -> None:
    arguments = ["--model", "resnet8", "--weights", str(weight_file), "--no-browser", "--port", str(address[1])]
    assert main(["explore", *arguments]) == 2
    assert "choose another --port" in capsys.readouterr().err


def test_another_host_is_warned_about(weight_file: Path, monkeypatch: Any, capsys: Any) -> None:
    served: list[Any] = []
    monkeypatch.setattr(program, "serve", lambda session, host, *more: served.append(host))
    arguments = ["--model", "resnet8", "--weights", str(weight_file), "--no-browser"]
    assert main(["explore", *arguments]) == 0
    assert capsys.readouterr().err == ""
    assert main(["explore", *arguments, "--host", "0.0.0.0"]) == 0
    assert "over the network" in capsys.readouterr().err
    assert served == ["127.0.0.1", "0.0.0.0"]
