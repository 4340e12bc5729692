"""The loop does what a loop written by hand does, and goes on from any step to the same bits."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from minires import Tensor, data, files, manual_seed, nn, optim, training
from minires import functional as F
from minires.errors import DataError
from minires.training.metrics import EpochRecord
from tests.training.tiny import EPOCHS, TinyNet, bits, graph_nodes, loaders, make

STEPS = 7  # in an epoch: 200 images in batches of 32


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run undisturbed."""
    trainer = make(tmp_path_factory.mktemp("whole"))
    trainer.fit()
    return trainer


def without_times(history: list[EpochRecord]) -> list[EpochRecord]:
    return [replace(record, seconds=0.0, images_per_second=0.0) for record in history]


def read_lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def killed_after(steps: int, trainer: training.Trainer) -> None:
    """Run `trainer` until it asks for batch number `steps`, counted over all epochs."""
    loader, epoch_of = trainer.train_loader, trainer.train_loader.epoch

    def epoch(number, start=0):
        for position, batch in enumerate(epoch_of(number, start), start):
            if number * len(loader) + position == steps:
                raise Killed
            yield batch

    trainer.train_loader.epoch = epoch
    with pytest.raises(Killed):
        trainer.fit()


def by_hand() -> tuple[nn.Module, list[tuple[float, float]]]:
    """The same run without a trainer: the weights, and (loss, accuracy in percent) of each epoch."""
    manual_seed(0)
    model, (train, _) = TinyNet(), loaders()
    optimizer = optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-4)
    schedule = optim.OneCycle(optimizer, EPOCHS * len(train))
    figures = []
    for epoch in range(EPOCHS):
        losses, hits = [], []
        for images, labels in train.epoch(epoch):
            logits = model(Tensor(images))
            loss = F.cross_entropy(logits, Tensor(labels))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses += [loss.item()] * len(labels)
            hits += (logits.numpy().argmax(1) == labels).tolist()
        figures.append((float(np.mean(losses)), 100 * float(np.mean(hits))))
    return model, figures


def test_fit_is_the_loop_one_would_write_by_hand(whole):
    history = whole.history
    model, figures = by_hand()
    assert bits(whole.model) == bits(model)
    np.testing.assert_allclose([(r.train_loss, r.train_accuracy) for r in history], figures, rtol=1e-9)
    assert [record.epoch for record in history] == [1, 2, 3]
    assert [record.learning_rate for record in history] == pytest.approx(
        [0.05 * optim.OneCycle(whole.optimizer, 21).factor(t) for t in (6, 13, 20)]
    )


def test_validation_figures_are_those_of_evaluate(whole):
    last = whole.history[-1]
    measured = training.evaluate(whole.model, whole.validation_loader)
    assert (last.validation_loss, last.validation_accuracy) == (measured.loss, measured.top1)


@pytest.mark.parametrize("steps", [0, 1, 5, 6, 7, 8, 13, 14, 20])
def test_resume_after_any_step_ends_in_the_same_bits(whole, tmp_path, steps):
    killed_after(steps, make(tmp_path, checkpoint_steps=1))
    resumed = make(tmp_path, seed=99)  # other starting weights, as after a restart without the same seed
    history = resumed.fit(resume=True)
    assert bits(resumed.model) == bits(whole.model)
    assert without_times(history) == without_times(whole.history)
    assert [json.loads(line) for line in read_lines(tmp_path / "log.jsonl")] == [asdict(record) for record in history]


@pytest.mark.parametrize(
    ("optimizer", "schedule", "per"),
    [
        (lambda p: optim.Adam(p, 0.01), lambda o: optim.Cosine(o, 3), "epoch"),
        (lambda p: optim.AdamW(p, 0.01), lambda o: optim.WarmUp(optim.MultiStep(o, [4, 9]), 5), "step"),
        (lambda p: optim.SGD(p, 0.05, 0.9, nesterov=True), lambda o: optim.ReduceOnPlateau(o, patience=0), "epoch"),
        (lambda p: optim.SGD(p, 0.05), lambda o: None, "step"),
        (
            lambda p: optim.Lookahead(optim.NAdam(p, 0.01), k=3),
            lambda o: optim.lr_scheduler.SequentialLR(
                o, [optim.lr_scheduler.LinearLR(o), optim.lr_scheduler.LambdaLR(o, lambda t: 0.9**t)], [5]
            ),
            "step",
        ),
        (lambda p: optim.RMSprop(p, 0.01, momentum=0.5), lambda o: optim.lr_scheduler.OneCycleLR(o, 0.01, 30), "step"),
    ],
    ids=["adam-cosine", "adamw-warmup", "nesterov-plateau", "sgd-constant", "lookahead-sequence", "rmsprop-one-cycle"],
)
def test_every_optimiser_and_schedule_resumes(tmp_path, optimizer, schedule, per):
    def build(out, **options):
        model = TinyNet()
        chosen = optimizer(model.parameters())
        return make(out, model=model, optimizer=chosen, schedule=schedule(chosen), schedule_per=per, **options)

    manual_seed(1)
    whole = build(tmp_path / "whole")
    whole.fit()
    manual_seed(1)
    killed_after(11, build(tmp_path / "killed", checkpoint_steps=3))
    resumed = build(tmp_path / "killed")
    resumed.fit(resume=True)
    assert bits(resumed.model) == bits(whole.model)
    assert resumed.optimizer.param_groups[0]["lr"] == whole.optimizer.param_groups[0]["lr"]


def test_resuming_loses_no_more_than_the_steps_since_the_checkpoint(tmp_path):
    killed_after(11, make(tmp_path, checkpoint_steps=3))
    saved = training.load_checkpoint(tmp_path / "last.safetensors")
    assert (saved.epoch, saved.step, saved.totals.images) == (1, 3, 96)


def test_seconds_between_checkpoints(tmp_path):
    killed_after(5, make(tmp_path / "often", checkpoint_seconds=0.0))
    killed_after(5, make(tmp_path / "seldom", checkpoint_seconds=3600.0))
    steps = [training.load_checkpoint(tmp_path / run / "last.safetensors").step for run in ("often", "seldom")]
    assert steps == [5, 0]


def test_what_a_run_leaves_behind(tmp_path):
    trainer = make(tmp_path / "deep" / "run")
    history = trainer.fit()
    out = tmp_path / "deep" / "run"
    assert {path.name for path in out.iterdir()} == {"log.jsonl", "curves.png", "last.safetensors", "best.safetensors"}
    assert [json.loads(line) for line in read_lines(out / "log.jsonl")] == [asdict(record) for record in history]
    best = max(history, key=lambda record: record.validation_accuracy)
    saved = training.load_checkpoint(out / "best.safetensors")
    assert (saved.epoch, saved.metadata) == (best.epoch, {"model": "tiny"})
    trainer.model.load_state_dict(saved.model)
    assert training.evaluate(trainer.model, trainer.validation_loader).top1 == best.validation_accuracy


def test_without_validation(tmp_path):
    train, _ = loaders()
    record = make(tmp_path, loaders=(train, None)).fit()[-1]
    assert record.validation_loss is record.validation_accuracy is None
    assert not (tmp_path / "best.safetensors").exists()
    assert json.loads(read_lines(tmp_path / "log.jsonl")[-1])["validation_loss"] is None


def test_more_epochs_may_be_asked_for_on_resume(tmp_path):
    constant = {"schedule": None, "patience": None}
    make(tmp_path / "in parts", epochs=1, **constant).fit()
    resumed = make(tmp_path / "in parts", epochs=2, **constant)
    resumed.fit(resume=True)
    whole = make(None, epochs=2, **constant)
    whole.fit()
    assert bits(resumed.model) == bits(whole.model)


@pytest.mark.parametrize("moment", range(1, 12))
def test_a_crash_at_any_write_loses_nothing(whole, tmp_path, monkeypatch, moment):
    """The files are written one after the other: whichever was the last, the resumed run leaves what it should."""
    replace_file, count = files.os.replace, iter(range(1, 1000))

    def crash(*paths):
        if next(count) == moment:
            raise Killed
        replace_file(*paths)

    killed = make(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", crash)
        with pytest.raises(Killed):
            killed.fit()
    begun = (tmp_path / "last.safetensors").exists()
    assert begun == (moment > 1)
    make(tmp_path).fit(resume=begun)
    for name in ("last.safetensors", "best.safetensors"):
        expected, found = (training.load_checkpoint(out / name) for out in (whole.folder.path, tmp_path))
        assert {k: v.tobytes() for k, v in found.model.items()} == {k: v.tobytes() for k, v in expected.model.items()}
        assert without_times(found.history) == without_times(expected.history)
    assert len(read_lines(tmp_path / "log.jsonl")) == EPOCHS
    assert (tmp_path / "curves.png").exists()


def test_resuming_a_complete_run_changes_nothing(tmp_path):
    first = make(tmp_path)
    first.fit()
    content = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".png"}
    again = make(tmp_path)
    assert again.fit(resume=True) == first.history
    assert bits(again.model) == bits(first.model)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".png"} == content


def test_label_smoothing_and_clipping_reach_the_step():
    usual = make(epochs=1).fit()[0].train_loss
    assert make(epochs=1, label_smoothing=0.3).fit()[0].train_loss != usual
    trainer = make(epochs=1, clip_norm=1e-9, schedule=None)
    before = {name: parameter.numpy().copy() for name, parameter in trainer.model.named_parameters()}
    trainer.optimizer.param_groups[0]["weight_decay"] = 0.0
    trainer.fit()
    moved = max(abs(p.numpy() - before[name]).max() for name, p in trainer.model.named_parameters())
    assert moved < 1e-7


def test_schedules_by_epoch_and_by_plateau():
    model = TinyNet()
    vars(model.bn)["momentum"] = 0.0
    optimizer = optim.SGD(model.parameters(), 1e-30)  # nothing is learned, so the validation loss stays where it is
    options = {"model": model, "optimizer": optimizer, "schedule_per": "epoch"}
    rates = [record.learning_rate for record in make(schedule=optim.MultiStep(optimizer, [1, 2]), **options).fit()]
    assert rates == pytest.approx([1e-30, 1e-31, 1e-32])
    optimizer.param_groups[0]["lr"] = 1e-30
    rates = [r.learning_rate for r in make(schedule=optim.ReduceOnPlateau(optimizer, patience=0), **options).fit()]
    assert rates == pytest.approx([1e-30, 1e-30, 1e-31])


def test_without_validation_plateau_watches_the_training():
    train, _ = loaders()
    for mode, falls in (("min", True), ("max", False)):
        model = TinyNet()
        optimizer = optim.SGD(model.parameters(), 0.05, momentum=0.9)
        schedule = optim.ReduceOnPlateau(optimizer, mode=mode)
        history = make(
            model=model, optimizer=optimizer, schedule=schedule, schedule_per="epoch", loaders=(train, None)
        ).fit()
        watched = [record.train_loss if falls else record.train_accuracy for record in history]
        assert schedule.best == (min(watched) if falls else max(watched))


def test_early_stopping(tmp_path, capsys):
    model = TinyNet()
    optimizer = optim.SGD(model.parameters(), 1e-30)
    vars(model.bn)["momentum"] = 0.0
    options = {"model": model, "optimizer": optimizer, "schedule": None, "epochs": 50, "patience": 2, "progress": True}
    trainer = make(tmp_path, **options)
    history = trainer.fit()
    assert len(history) == 3  # the first is the best, two more did not better it
    assert capsys.readouterr().out.endswith("stopped: no improvement for 2 epochs\n")
    assert len(make(tmp_path, **options).fit(resume=True)) == 3  # and that is still so when it is taken up
    assert capsys.readouterr().out.endswith("this run is complete\nstopped: no improvement for 2 epochs\n")
    assert (tmp_path / "curves.png").exists()


def test_frozen_batch_norm_keeps_its_statistics():
    model = TinyNet()
    model.bn.requires_grad_(False)
    optimizer = optim.SGD([p for p in model.parameters() if p.requires_grad], 0.05)
    before = bits(model.bn)
    make(model=model, optimizer=optimizer, schedule=None, epochs=1).fit()
    assert bits(model.bn) == before
    assert not model.bn.training
    assert model.dropout.training


def test_trains_in_the_models_dtype():
    model = TinyNet().to(dtype=np.float64)
    trainer = make(model=model, epochs=1)
    trainer.fit()
    assert {tensor.dtype for _, tensor in model.named_parameters()} == {np.dtype(np.float64)}


def test_no_graph_outlives_a_step(tmp_path):
    trainer = make(tmp_path, epochs=2)
    before, alive = graph_nodes(), []
    # When the first layer has run, only its own node exists.
    trainer.model.conv.register_forward_hook(lambda *_: alive.append(graph_nodes() - before))
    trainer.fit()
    assert len(alive) > 4
    assert set(alive) == {0, 1}  # validation records nothing
    assert graph_nodes() == before


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"epochs": 0}, "epochs must be 1 or more, not 0"),
        ({"patience": 0}, "patience must be 1 or more, not 0"),
        ({"checkpoint_steps": 0}, "checkpoint_steps must be 1 or more, not 0"),
        ({"schedule_per": "batch"}, "'batch' must be 'step' or 'epoch'"),
        ({"loaders": (loaders()[0], None), "patience": 1}, "give a validation_loader"),
    ],
)
def test_settings_that_make_no_sense(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        make(**options)


def test_plateau_by_step_is_refused():
    model = TinyNet()
    optimizer = optim.SGD(model.parameters(), 0.1)
    with pytest.raises(ValueError, match="schedule_per='epoch'"):
        make(model=model, optimizer=optimizer, schedule=optim.ReduceOnPlateau(optimizer))


def test_a_damaged_sample_stops_the_run_by_name(tmp_path):
    train, validation = loaders()

    def fails_later(image, rng):
        if rng.random() < 0.01:
            raise OSError("unreadable")
        return data.transforms.ToFloat()(image)

    train.transform = fails_later
    with pytest.raises(DataError, match=r"sample \d+ of 'digits'"):
        make(tmp_path, loaders=(train, validation), checkpoint_steps=1).fit()
    assert training.load_checkpoint(tmp_path / "last.safetensors").model


def with_schedule(make_schedule, **options):
    model = TinyNet()
    optimizer = optim.SGD(model.parameters(), 0.05)
    return make(model=model, optimizer=optimizer, schedule=make_schedule(optimizer), **options)  # 7 steps an epoch


@pytest.mark.parametrize(
    "make_schedule",
    [
        lambda optimizer: optim.MultiStep(optimizer, [1, 2]),
        lambda optimizer: optim.Step(optimizer, 1),
        lambda optimizer: optim.WarmUp(optim.MultiStep(optimizer, [1, 2]), 3),
    ],
)
def test_milestones_within_the_first_epoch_are_questioned(make_schedule):
    with pytest.warns(
        UserWarning, match=r'are steps here, .* first of 3 epochs, .*7 steps.*schedule_per="epoch"'
    ) as found:
        with_schedule(make_schedule)
    assert found[0].filename.endswith("tiny.py")  # the line that makes the Trainer


def test_other_milestones_are_not_questioned():
    with_schedule(lambda optimizer: optim.MultiStep(optimizer, [1, 2]), schedule_per="epoch")
    with_schedule(lambda optimizer: optim.MultiStep(optimizer, [3, 14]))
    with_schedule(lambda optimizer: optim.Step(optimizer, 3, 0.99))
    with_schedule(lambda optimizer: optim.MultiStep(optimizer, [1, 2]), epochs=1)


@pytest.mark.parametrize("name", ["progress", "graph"])
def test_switches_are_true_or_false(name):
    with pytest.raises(ValueError, match=f"Trainer: {name} = 'no' must be True or False"):
        make(**{name: "no"})


def test_progress_of_an_evaluation_is_true_or_false():
    with pytest.raises(ValueError, match="evaluate: progress = 'no' must be True or False"):
        training.evaluate(TinyNet(), loaders()[1], progress="no")
