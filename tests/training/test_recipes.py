"""Recipes: each makes valid settings, is stored with the run, and is checked at a resume."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest

from minires import data, models
from minires.cli import main
from minires.data.catalogue import PUBLISHED
from minires.errors import MiniResError
from minires.training import TrainSettings, checkpoint_metadata, recipes, run

KNOWN = {field.name for field in fields(TrainSettings)}


@pytest.mark.parametrize("name", recipes.NAMES)
def test_every_recipe_makes_settings(name):
    recipe = recipes.load(name)
    settings = TrainSettings(**recipe.settings)
    assert settings.recipe == recipe.name == name
    assert set(recipe.settings) <= KNOWN
    assert recipe.summary.endswith(".")
    assert settings.data in PUBLISHED
    assert settings.seed == settings.hold_out == 0
    assert models.kind_and_depth(settings.model)
    assert TrainSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings


def test_an_unknown_recipe_lists_the_others():
    with pytest.raises(MiniResError, match="no recipe 'soup': known are resnet20-fast"):
        recipes.load("soup")


def test_the_papers_protocol():
    """64,000 steps of 128 images, a tenth of the rate after 32,000 and 48,000 (He et al. 2015, section 4.2)."""
    settings = TrainSettings(**recipes.load("paper").settings)
    per_epoch = -(-50_000 // settings.batch_size)
    steps = [epochs * per_epoch for epochs in (settings.epochs, *settings.milestones)]
    assert steps == pytest.approx([64_000, 32_000, 48_000], rel=0.003)
    assert (settings.lr, settings.momentum, settings.weight_decay, settings.nesterov) == (0.1, 0.9, 1e-4, False)
    assert (settings.flip, settings.translate, settings.padding, settings.decay_norms) == ("random", 4, "zero", True)


def test_the_network_of_the_digits_is_that_of_the_demo():
    from minires.demo import DemoConfig

    settings, demo = TrainSettings(**recipes.load("digits").settings), DemoConfig()
    assert settings.model == f"resnet{demo.depth}"
    for name in ("epochs", "batch_size", "lr", "weight_decay", "label_smoothing", "seed"):
        assert getattr(settings, name) == getattr(demo, name)


QUICK = ("--recipe", "digits", "--model", "resnet8", "--epochs", "1", "--batch-size", "128", "--workers", "0")


def test_a_recipe_is_printed_overridden_stored_and_checked(tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", *QUICK, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "recipe digits: The network of `minires demo`" in said
    assert "lr 0.05, momentum 0.9, nesterov True, weight_decay 0.001" in said
    assert "model resnet8 (recipe: resnet32)" in said
    assert "epochs 1 (recipe: 8)" in said
    assert "last: epoch 1, " in said
    stored = checkpoint_metadata(out / "last.safetensors")["settings"]
    assert (stored["recipe"], stored["nesterov"], stored["model"]) == ("digits", True, "resnet8")
    assert main(["train", *QUICK, "--out", str(out), "--resume"]) == 0
    assert main(["train", "--recipe", "paper", "--out", str(out), "--resume"]) == 2
    assert 'recipe: "digits" in the checkpoint, "paper" now' in capsys.readouterr().err


def test_what_is_not_said_is_not_overridden(tmp_path, capsys, monkeypatch):
    seen = {}
    monkeypatch.setattr(run, "train", lambda settings, *_, **__: seen.update(settings=settings) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["train", "--recipe", "cifar94", "--no-whiten", "--milestones", "", "--out", str(tmp_path / "run")])
    assert seen["settings"] == TrainSettings(**{**recipes.load("cifar94").settings, "whiten": False})
    assert "overridden: whiten False (recipe: True)\n" in capsys.readouterr().out


def test_an_unknown_recipe_is_one_line(tmp_path, capsys):
    assert main(["train", "--recipe", "soup", "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == f"minires: no recipe 'soup': known are {', '.join(recipes.NAMES)}\n"


def test_held_out_images_are_not_test_images(monkeypatch):
    """The test part is never asked for, and the two parts are disjoint, with the same share of every class."""
    asked, load = [], data.load

    def watched(name, root, train, download):
        asked.append(train)
        return load(name, root, train, download)

    monkeypatch.setattr(data, "load", watched)
    train_set, held_out = run._load(TrainSettings("resnet8", "digits", hold_out=300), None, True)
    assert asked == [True]
    assert len(train_set) + len(held_out) == len(data.digits(train=True))
    assert abs(len(held_out) - 300) <= 5
    assert np.ptp(np.bincount(held_out.labels)) <= 3
    both = {image.tobytes() for image in train_set.images} & {image.tobytes() for image in held_out.images}
    assert not both
    with pytest.raises(MiniResError, match="hold_out 100000 must leave some of the 1438 training images"):
        run._load(TrainSettings("resnet8", "digits", hold_out=100_000), None, True)


@pytest.mark.slow  # 4 s: trains the small network for CIFAR-10, whose images are 32×32
def test_every_setting_of_cifar94_trains(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (200, 32, 32, 3), dtype=np.uint8), np.arange(200) % 10
    images[:, :8] = (labels * 25)[:, None, None, None]  # the class is there to be seen
    tiny = data.ArrayDataset(images, labels, data.cifar.CLASSES, "cifar10")
    monkeypatch.setattr(data, "load_for_training", lambda *_: (tiny, tiny.subset(range(100))))
    settings = TrainSettings(**{**recipes.load("cifar94").settings, "epochs": 3, "batch_size": 25, "ema": 0.9})
    history = run.train(settings, models.build, out=tmp_path / "run", workers=1, progress=False)
    assert history[-1].train_loss < history[0].train_loss
    assert history[-1].validation_accuracy > 30
