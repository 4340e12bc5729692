"""Ctrl-C and NaN: where a run stops, what it leaves, what it says."""

from __future__ import annotations

import signal
import threading
from typing import ClassVar

import numpy as np
import pytest

from minires import functional as F
from minires import nn, optim, training
from minires.errors import NonFiniteError
from tests.training.tiny import TinyNet, bits, fitted, loaders, make


@pytest.fixture(autouse=True)
def _ctrl_c_raises_as_usual():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "the trainer did not put the handler back"


def at_forward(trainer, number, act):
    """Call `act` in the middle of the forward pass of training step `number`, counted from 1."""
    steps = iter(range(1, 10_000))

    def hook(*_):
        if trainer.model.training and next(steps) == number:
            act()

    trainer.model.conv.register_forward_hook(hook)


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_finishes_the_step_and_saves_it(tmp_path):
    trainer = make(tmp_path)
    at_forward(trainer, 10, press_ctrl_c)
    with pytest.raises(training.TrainingInterrupted) as stopped:
        trainer.fit()
    assert "stopped at epoch 2 of 3, step 3 of 7; saved in " in str(stopped.value)
    assert "--resume" in str(stopped.value)
    saved = training.load_checkpoint(tmp_path / "last.safetensors")
    assert (saved.epoch, saved.step) == (1, 3)
    assert {path.name for path in tmp_path.iterdir()} >= {"curves.png", "log.jsonl"}
    assert bits(fitted(tmp_path, resume=True).model) == bits(fitted().model)


def test_sigterm_finishes_the_step_and_saves_it(tmp_path):
    trainer = make(tmp_path)
    at_forward(trainer, 10, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(
        training.TrainingInterrupted, match="stopped at epoch 2 of 3, step 3 of 7; saved in "
    ) as stopped:
        trainer.fit()
    assert stopped.value.signal == signal.SIGTERM
    assert bits(fitted(tmp_path, resume=True).model) == bits(fitted().model)


def test_a_second_ctrl_c_stops_in_the_middle_of_the_step_and_saves_nothing_torn(tmp_path):
    trainer = make(tmp_path, checkpoint_steps=4)
    at_forward(trainer, 10, lambda: (press_ctrl_c(), press_ctrl_c()))
    with pytest.raises(training.TrainingInterrupted, match="the last checkpoint is"):
        trainer.fit()
    saved = training.load_checkpoint(tmp_path / "last.safetensors")
    assert (saved.epoch, saved.step) == (1, 0)
    assert bits(fitted(tmp_path, resume=True).model) == bits(fitted().model)


def test_ctrl_c_in_validation_keeps_the_epoch(tmp_path):
    trainer = make(tmp_path)
    trainer.model.conv.register_forward_hook(lambda module, *_: None if module.training else press_ctrl_c())
    with pytest.raises(training.TrainingInterrupted, match="step 7 of 7; saved"):
        trainer.fit()
    resumed, whole = fitted(tmp_path, resume=True), fitted()
    assert bits(resumed.model) == bits(whole.model)
    assert resumed.history[0].learning_rate == whole.history[0].learning_rate


def test_ctrl_c_at_the_very_end_finds_the_run_complete(tmp_path, monkeypatch):
    trainer = make(tmp_path, epochs=1, schedule=None)
    monkeypatch.setattr(trainer.folder, "write_history", lambda *_, **__: press_ctrl_c())
    assert len(trainer.fit()) == 1


def test_ctrl_c_without_a_folder_says_that_nothing_was_saved():
    trainer = make()
    at_forward(trainer, 2, press_ctrl_c)
    with pytest.raises(training.TrainingInterrupted, match="nothing was saved"):
        trainer.fit()


def test_it_is_a_keyboard_interrupt():
    assert issubclass(training.TrainingInterrupted, KeyboardInterrupt)
    assert not issubclass(training.TrainingInterrupted, Exception)


def test_somebody_elses_handler_stays_in_charge():
    pressed = []
    signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        trainer = make(epochs=1, schedule=None)
        at_forward(trainer, 2, press_ctrl_c)
        assert len(trainer.fit()) == 1
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert pressed == [True]


def test_trains_outside_the_main_thread():
    trainer = make(epochs=1, schedule=None)
    thread = threading.Thread(target=trainer.fit)
    thread.start()
    thread.join()
    assert len(trainer.history) == 1


class Breaks(nn.Module):
    """The identity, until it is told to break."""

    broken = False

    def forward(self, x):
        return x * float("nan") if self.broken else x


class BreakingNet(TinyNet):
    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.Identity(), Breaks())

    def forward(self, x):
        return self.head(super().forward(x))


def test_nan_names_the_step_and_the_first_layer(tmp_path):
    trainer = make(tmp_path, model=BreakingNet(), checkpoint_steps=2)
    at_forward(trainer, 12, lambda: setattr(trainer.model.head[1], "broken", True))
    with pytest.raises(NonFiniteError) as stopped:
        trainer.fit()
    message = str(stopped.value)
    assert message.startswith("epoch 2 of 3, step 5 of 7: the loss is nan; the first non-finite output is that of ")
    assert "layer 'head.1' (Breaks)" in message
    assert str(tmp_path / "last.safetensors") in message
    saved = training.load_checkpoint(tmp_path / "last.safetensors")
    assert (saved.epoch, saved.step) == (1, 4)
    assert all(np.isfinite(array).all() for array in saved.model.values())


def test_a_broken_weight_is_named_with_its_layer():
    trainer = make(schedule=None)
    at_forward(trainer, 3, lambda: trainer.model.block.weight.assign_(float("inf")))
    with pytest.raises(NonFiniteError, match=r"layer 'block' \(Conv2d\), whose weight is not finite"):
        trainer.fit()


def test_a_block_whose_own_arithmetic_overflows_is_named():
    class Block(nn.Module):
        def forward(self, x):
            return x * 1e38 * 1e38

    class Net(TinyNet):
        def __init__(self):
            super().__init__()
            self.scale = Block()

        def forward(self, x):
            return super().forward(self.scale(x))

    with pytest.raises(NonFiniteError, match=r"step 1 of 7: .* layer 'scale' \(Block\)\."), np.errstate(all="ignore"):
        make(model=Net()).fit()


def test_images_that_are_not_finite_are_blamed():
    train, validation = loaders()
    inner = train.transform
    train.transform = lambda image, rng: inner(image, rng) + (np.float32("nan") if rng.random() < 0.02 else 0)
    with pytest.raises(NonFiniteError, match="the images of this batch already hold NaN or infinity"):
        make(loaders=(train, validation)).fit()


def test_a_loss_that_overflows_behind_finite_logits():
    class Huge(TinyNet):
        def forward(self, x):
            return (
                super().forward(x) * 0
                + F.pad(x[:, 0, 0, :1] * 0 + 3e38, (9, 0))
                - F.pad(x[:, 0, 0, :1] * 0 + 3e38, (0, 9))
            )

    with pytest.raises(NonFiniteError, match="arose in the loss itself"), np.errstate(all="ignore"):
        make(model=Huge()).fit()


def test_dropout_is_replayed_with_the_same_draws():
    """Only a replay with the same mask finds the NaN: the layer breaks where exactly that unit was kept."""

    class Picky(nn.Module):
        masks: ClassVar[list[bytes]] = []

        def forward(self, x):
            mask = (x.numpy() != 0).tobytes()
            if mask in self.masks:
                return x * float("nan")  # the replay
            self.masks.append(mask)
            return x

    class Net(TinyNet):
        def __init__(self):
            super().__init__()
            self.noise, self.picky = nn.Dropout(0.5), Picky()

        def forward(self, x):
            y = super().forward(x)
            z = self.picky(self.noise(x * 0 + 1))
            return y + (float("nan") if len(self.picky.masks) == 2 else 0.0) + z.sum() * 0

    with pytest.raises(NonFiniteError, match="layer 'picky'"):
        make(model=Net()).fit()


def test_weights_that_became_infinite_in_the_last_step_are_not_validated():
    trainer = make(schedule=None, epochs=1)
    at_forward(trainer, 7, lambda: trainer.optimizer.param_groups[0].update(lr=float("inf")))
    with pytest.raises(NonFiniteError, match="step 7 of 7: the update left"), np.errstate(all="ignore"):
        trainer.fit()


def test_weights_that_became_infinite_are_not_saved(tmp_path):
    """The loss of a step is of before its update, so the update itself can be what breaks."""
    model = TinyNet()
    optimizer = optim.SGD(model.parameters(), 0.05)
    trainer = make(tmp_path, model=model, optimizer=optimizer, schedule=None, checkpoint_steps=1)
    at_forward(trainer, 5, lambda: optimizer.param_groups[0].update(lr=float("inf")))
    with (
        pytest.raises(NonFiniteError, match=r"step 5 of 7: the update left conv\.weight non-finite"),
        np.errstate(all="ignore"),
    ):
        trainer.fit()
    saved = training.load_checkpoint(tmp_path / "last.safetensors")
    assert saved.step == 4
    assert all(np.isfinite(array).all() for array in saved.model.values())
