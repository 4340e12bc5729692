"""Settings refuse what makes no sense, all of it at once, and survive the way through a file."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace

import pytest

from minires import optim
from minires.errors import MiniResError, WeightsError
from minires.training import TrainSettings
from minires.training.run import make_optimizer, make_schedule
from tests.training.tiny import TinyNet

SETTINGS = TrainSettings("resnet8", "digits", epochs=10)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"epochs": 0}, "^epochs must be 1 or more, not 0$"),
        ({"batch_size": 0}, "batch_size must be 1 or more, not 0"),
        ({"optimizer": "sdg"}, "optimizer must be one of sgd, adam, adamw, muon, not sdg"),
        ({"lr": 0.0}, "lr must be above 0 and finite, not 0.0"),
        ({"lr": math.nan}, "lr must be above 0 and finite, not nan"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1, not 1.0"),
        ({"weight_decay": -1e-4}, "weight_decay must be 0 or more and finite, not -0.0001"),
        ({"schedule": "steep"}, "one of constant, multistep, cosine, linear, onecycle, plateau, not steep"),
        ({"milestones": (3,)}, "milestones must be left out unless schedule is multistep"),
        ({"warmup_epochs": 10.0}, "warmup_epochs must be at least 0 and below epochs, not 10.0"),
        ({"schedule": "plateau", "warmup_epochs": 1.0}, "plateau schedule .* takes no warmup_epochs"),
        ({"label_smoothing": 1.0}, "label_smoothing must be at least 0 and below 1"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0"),
        ({"patience": 0}, "patience must be 1 or more"),
        ({"image_size": 0}, "image_size must be 1 or more"),
        ({"image_size": 10**6}, "image_size must be 1 or more and at most 2048, not 1000000"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
        ({"nesterov": True, "momentum": 0.0}, "nesterov must be left out unless optimizer is sgd with momentum"),
        ({"nesterov": True, "optimizer": "muon"}, "nesterov must be left out unless optimizer is sgd"),
        ({"sgd_lr": 0.1}, "sgd_lr must be above 0 and finite, and left out unless optimizer is muon"),
        ({"ema": 1.0}, "ema must be at least 0 and below 1"),
        ({"flip": "up"}, "flip must be one of none, random, alternating, not up"),
        ({"translate": -1}, "translate must be 0 or more"),
        ({"padding": "wrap"}, "padding must be one of zero, reflect, not wrap"),
        ({"cutout": -1}, "cutout must be 0 or more"),
        ({"augment": False, "cutout": 4}, "augment must be left on where flip, translate, padding or cutout are given"),
        ({"weights": "w.npz", "whiten": True}, "whiten must be left out where weights are given"),
        ({"hold_out": -1}, "hold_out must be 0 or more"),
        ({"freeze": True}, "freeze must be left out where there are no weights"),
        ({"epochs": -1, "lr": -1.0}, "epochs must be 1 or more, not -1; lr must be above 0 and finite, not -1.0"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, complaint):
    with pytest.raises(MiniResError, match=complaint):
        replace(SETTINGS, **changes)


def test_there_and_back():
    every = replace(
        SETTINGS,
        schedule="multistep",
        milestones=(3, 5),
        warmup_epochs=0.5,
        clip_norm=1.0,
        patience=3,
        image_size=64,
        normalize="cifar10",
        weights="w.npz",
        freeze=True,
        batch_norm="local",
        compression="float16",
        recipe="paper",
        nesterov=True,
        decay_norms=False,
        ema=0.99,
        flip="alternating",
        translate=2,
        padding="reflect",
        cutout=8,
        hold_out=500,
    )
    assert TrainSettings.from_dict(json.loads(json.dumps(every.to_dict()))) == every
    assert {field.name for field in fields(every)} - set(every.to_dict()) == {
        "sgd_lr",
        "whiten",
    }  # others exclude these
    others = replace(SETTINGS, optimizer="muon", sgd_lr=0.1, whiten=True)
    assert TrainSettings.from_dict(json.loads(json.dumps(others.to_dict()))) == others
    with pytest.raises(WeightsError, match="does not know: colour"):
        TrainSettings.from_dict({**every.to_dict(), "colour": 1})
    for damage in ({"epochs": "many"}, {"milestones": 5}):
        with pytest.raises(WeightsError, match="the checkpoint's settings are damaged"):
            TrainSettings.from_dict({**every.to_dict(), **damage})
    with pytest.raises(WeightsError, match="the checkpoint's settings are damaged"):
        TrainSettings.from_dict({"data": "digits"})


def test_what_earlier_versions_lack_is_not_stored():
    """So their checkpoints, compared key by key, can be resumed."""
    assert list(SETTINGS.to_dict())[-1] == "freeze"
    assert TrainSettings.from_dict(SETTINGS.to_dict()) == SETTINGS


def rates(settings: TrainSettings, steps_per_epoch: int) -> list[float]:
    """The learning rate of every step."""
    optimizer = make_optimizer(settings, TinyNet())
    schedule, per = make_schedule(settings, optimizer, steps_per_epoch)
    assert per == "step"
    found = []
    for _ in range(settings.epochs * steps_per_epoch):
        found.append(optimizer.param_groups[0]["lr"])
        schedule.step()
    return found


def test_schedules_span_the_run():
    settings = replace(SETTINGS, lr=0.1)
    assert rates(replace(settings, schedule="constant"), 4) == [0.1] * 40
    cosine = rates(settings, 4)
    assert cosine == pytest.approx([0.05 * (1 + math.cos(math.pi * t / 40)) for t in range(40)])
    assert rates(replace(settings, schedule="linear"), 4) == pytest.approx([0.1 * (1 - t / 40) for t in range(40)])
    cycle = rates(replace(settings, schedule="onecycle"), 4)
    assert (max(cycle), cycle[0], cycle.index(max(cycle))) == (0.1, pytest.approx(0.004), 11)
    assert cycle[-1] < 1e-5


def test_milestones_are_epochs_and_default_to_half_and_three_quarters():
    settings = replace(SETTINGS, lr=1.0, schedule="multistep")
    for milestones, first, second in (((), 20, 30), ((2, 7), 8, 28)):
        found = rates(replace(settings, milestones=milestones), 4)
        assert found == pytest.approx([0.1 ** ((t >= first) + (t >= second)) for t in range(40)])
    assert rates(replace(settings, epochs=1), 4) == pytest.approx([1.0, 1.0, 0.1, 0.01])


@pytest.mark.parametrize("schedule", ["constant", "multistep", "cosine", "linear", "onecycle"])
def test_warm_up_rises_to_the_schedule_and_ends_with_it(schedule):
    settings = replace(SETTINGS, lr=1.0, schedule=schedule, warmup_epochs=1.5)
    found = rates(settings, 4)
    start = found[6]
    if schedule == "onecycle":
        assert start < 0.1
    else:
        assert found[:7] == pytest.approx([1 / 6 + (5 / 6) * t / 6 for t in range(7)])
    without = rates(replace(settings, warmup_epochs=0.0), 4)
    assert found[-1] == pytest.approx(without[-1], abs=0.01)
    if schedule == "multistep":
        assert (found[19], found[20], found[30]) == pytest.approx((1.0, 0.1, 0.01))  # not put off by the warm-up


def test_plateau_goes_by_epochs():
    optimizer = make_optimizer(SETTINGS, TinyNet())
    schedule, per = make_schedule(replace(SETTINGS, schedule="plateau"), optimizer, 4)
    assert isinstance(schedule, optim.ReduceOnPlateau)
    assert per == "epoch"


@pytest.mark.parametrize(("name", "kind"), [("sgd", optim.SGD), ("adam", optim.Adam), ("adamw", optim.AdamW)])
def test_optimisers(name, kind):
    optimizer = make_optimizer(replace(SETTINGS, optimizer=name, lr=0.3, weight_decay=0.02), TinyNet())
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"], len(group["params"])) == (0.3, 0.02, 7)
    if name == "sgd":
        assert group["momentum"] == 0.9


def test_vectors_need_not_decay():
    settings = replace(SETTINGS, weight_decay=0.02, decay_norms=False, nesterov=True)
    weights, vectors = make_optimizer(settings, TinyNet()).param_groups
    assert {parameter.ndim for parameter in weights["params"]} == {2, 4}
    assert {parameter.ndim for parameter in vectors["params"]} == {1}
    assert (weights["weight_decay"], vectors["weight_decay"]) == (0.02, 0.0)
    assert weights["nesterov"] is vectors["nesterov"] is True


def test_muon_has_the_convolutions_and_sgd_the_rest():
    settings = replace(SETTINGS, optimizer="muon", lr=0.02, sgd_lr=0.3, momentum=0.6, decay_norms=False)
    optimizer = make_optimizer(settings, TinyNet())
    muon, sgd = optimizer.optimizers
    assert (type(muon), type(sgd)) == (optim.Muon, optim.SGD)
    assert [parameter.ndim for group in muon.param_groups for parameter in group["params"]] == [4, 4]
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.3, 0.3]
    schedule, _ = make_schedule(replace(settings, schedule="linear"), optimizer, 4)
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
        [0.02 * 39 / 40, 0.3 * 39 / 40, 0.3 * 39 / 40]
    )


def test_frozen_parameters_are_left_to_themselves():
    model = TinyNet()
    model.conv.requires_grad_(False)
    (group,) = make_optimizer(SETTINGS, model).param_groups
    assert len(group["params"]) == 6
