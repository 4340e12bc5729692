"""What the network view measures, against the network itself, finite differences and PyTorch's way to Grad-CAM."""

from __future__ import annotations

import json
from dataclasses import replace
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minires import inspection
from minires.core.tensor import Tensor
from minires.errors import DataError, MiniResError
from minires.explorer import network
from minires.explorer.export import DATA, PAGE, export
from minires.explorer.paths import path_lengths
from minires.explorer.session import Session
from minires.training.preprocessing import IMAGENET_PREPROCESSING
from tests.explorer.served import built, small_session

SMALL = ("resnet8", "plain8", "resnet18", "resnet50")


def picture(size: int = 32, channels: int = 3, seed: int = 1) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=(channels, size, size)).astype("float32")


@pytest.fixture
def session() -> Session:
    found = small_session()
    found.images.clear()
    return found


@pytest.mark.parametrize("name", SMALL)
def test_the_network_taken_apart_is_the_network(name: str) -> None:
    model, x = built(name), picture()
    found = network.explore(model, x)
    assert np.allclose(found.logits, network.logits_of(model, x), rtol=1e-4, atol=1e-4)
    assert found.target == int(found.logits.argmax())
    assert len(found.blocks) == len(network.blocks_of(model))


@pytest.mark.parametrize("name", ["resnet8", "resnet18"])
def test_a_block_that_is_switched_off_adds_nothing(name: str) -> None:
    model, x = built(name), picture()
    off = network.explore(model, x, off=[1])
    blocks = network.blocks_of(model)
    blocks[1][1].last_norm.weight.assign_(np.zeros_like(blocks[1][1].last_norm.weight.numpy()))
    blocks[1][1].last_norm.bias.assign_(np.zeros_like(blocks[1][1].last_norm.bias.numpy()))
    assert np.allclose(off.logits, network.logits_of(model, x), rtol=1e-4, atol=1e-4)
    assert off.blocks[1].off
    assert off.blocks[1].ratio is None
    assert off.blocks[1].residual == 0


def test_the_input_gradient_is_the_slope_of_the_logit() -> None:
    model, x = built("resnet8").to("float64"), picture().astype("float64")
    found = network.explore(model, x, target=2)
    direction = np.random.default_rng(3).normal(size=x.shape)
    step = 1e-7 * direction  # so small that no ReLU changes its side
    slope = (network.logits_of(model, x + step)[2] - network.logits_of(model, x - step)[2]) / 2e-7
    assert float((found.input_gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-4)


@pytest.mark.parametrize("name", ["resnet8", "resnet18"])
def test_the_shares_of_a_block_are_its_two_gradients(name: str) -> None:
    """Each part by a backward pass of its own, through F alone and through the shortcut alone."""
    model, x = built(name), picture()
    found = network.explore(model, x, target=0)
    blocks = [block for _, block in network.blocks_of(model)]
    for parameter in model.parameters():
        parameter.requires_grad = False
    y = model.maxpool(network.relu_of_norm(model.relu, model.bn1, model.conv1(Tensor(x[np.newaxis]))))
    for number, block in enumerate(blocks):
        for part, want in (("residual", found.blocks[number].residual), ("identity", found.blocks[number].identity)):
            leaf = Tensor(y.numpy(), requires_grad=True)
            f, s = block.residual(leaf), block.shortcut(leaf)
            total = f + s.detach() if part == "residual" else f.detach() + s
            z = block.relu(total)
            for later in blocks[number + 1 :]:
                z = later(z)
            model.fc(model.avgpool(z).reshape(1, -1))[0, 0].backward()
            assert float(np.linalg.norm(leaf.grad.numpy())) == pytest.approx(want, rel=2e-3)
        y = block(y).detach()


def test_grad_cam_is_its_formula() -> None:
    model, x = built("resnet8"), picture()
    found = network.explore(model, x, target=3)
    features = found.blocks[-1].features
    weights = model.fc.weight.numpy()[3] / features[0].size  # behind a global average, α_c = w_c / (H·W)
    want = np.maximum((weights[:, None, None] * features).sum(0), 0)
    assert np.allclose(found.cam, want, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_asked_is_refused() -> None:
    model, x = built("plain8"), picture()
    for options in ({"target": 7}, {"target": -1}, {"off": [9]}, {"off": [1]}):
        with pytest.raises(MiniResError):
            network.explore(model, x, **options)
    assert network.explore(model, x, off=[0]).blocks[0].off  # it keeps the shape, so x can go on in its place


def test_path_lengths_are_binomial_coefficients() -> None:
    found = path_lengths(built("resnet8"), picture(), 0)
    assert found["counts"] == [comb(3, k) for k in range(4)]
    assert path_lengths(built("plain8"), picture(), 0)["gradient"] is None


def test_the_gradient_by_path_length(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [np.full((1, 2), k, np.float32) for k in range(4)]
    monkeypatch.setattr(inspection, "path_gradients", lambda model, x, loss: parts)
    assert path_lengths(built("resnet8"), picture(), 0)["gradient"] == pytest.approx([k * 2**0.5 for k in range(4)])


def test_a_session_answers_in_json(session: Session) -> None:
    added = session.add(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8), "a photograph")
    assert session.describe()["images"] == [added]
    found = session.explore(added["id"], None, [0, 2])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert [block["off"] for block in found["blocks"]] == [True, False, True]
    assert sum(guess["probability"] for guess in session.explore(added["id"])["top"]) <= 1
    assert found["whole"] == session.explore(added["id"])["top"]
    with pytest.raises(MiniResError, match="upload it again"):
        session.explore("nothing")


def test_a_recording_of_large_images_is_small(session: Session) -> None:
    """A block switched off adds little, so that four photographs and eight blocks stay below 3 MB."""
    session.classifier = replace(session.classifier, preprocessing=IMAGENET_PREPROCESSING)
    key = session.add(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8), "a photograph")["id"]
    whole = session.explore(key)
    assert whole["input_gradient"]["shape"] == [1, 112, 112]
    assert len(json.dumps(whole["input_gradient"])) < 20_000
    assert session.explore(key, None, [0], maps=False)["input_gradient"]["shape"] == [1, 56, 56]


def test_a_session_keeps_few_uploads(session: Session) -> None:
    kept = session.add(np.zeros((32, 32, 3), np.uint8), "the user's own")["id"]
    for seed in range(40):
        session.add(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8), "upload")
    assert len(session.images) == 32
    assert kept in session.images


def test_what_is_no_image_is_refused(session: Session) -> None:
    with pytest.raises(DataError):
        session.add(b"no image", "upload")


def test_the_export_is_small_and_holds_what_the_session_says(session: Session, tmp_path: Path) -> None:
    for seed in range(6):
        session.add(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8), f"image {seed}")
    paths = export(tmp_path / "site", session)
    assert [path.name for path in paths] == [PAGE, DATA]
    assert sum(path.stat().st_size for path in paths) < 3_000_000
    data = json.loads(paths[1].read_text("utf-8").removeprefix("globalThis.MINIRES_NETWORK = ").rstrip(";\n"))
    assert len(data["network"]["images"]) == 4
    key = data["network"]["images"][1]["id"]
    assert data["answers"][f"{key}/"]["top"] == session.explore(key)["top"]
    for number in range(3):
        one = data["answers"][f"{key}/{number}"]
        assert one["top"] == session.explore(key, one["target"], [number])["top"]
