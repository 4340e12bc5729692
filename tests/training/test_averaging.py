"""An average of the weights beside the training: its formula, its batch norms, its way through a checkpoint."""

from __future__ import annotations

import numpy as np
import pytest

from minires import data, nn, optim, training, weights
from minires import functional as F
from minires.errors import DeviceError, MiniResError
from minires.training.averaging import BATCHES
from tests.training.tiny import EPOCHS, bits, make


def averaged_by_hand(trainer: training.Trainer, decay: float) -> dict[str, np.ndarray]:
    """Run the trainer; what the formula gives in float64, from the weights after each step."""
    mean: dict[str, np.ndarray] = {}
    steps = 0
    original = trainer.optimizer.step

    def step(closure=None):
        nonlocal steps
        result = original(closure)
        d = min(decay, (1 + steps) / (10 + steps))
        for name, parameter in trainer.model.named_parameters():
            now = parameter.numpy().astype(np.float64)
            mean[name] = now if steps == 0 else d * mean[name] + (1 - d) * now
        steps += 1
        return result

    trainer.optimizer.step = step
    trainer.fit()
    return mean


def test_the_average_is_that_of_the_formula():
    trainer = make(ema=0.9)
    mean = averaged_by_hand(trainer, 0.9)
    found = dict(trainer.averaged_model.named_parameters())
    assert found.keys() == mean.keys()
    for name, expected in mean.items():
        np.testing.assert_allclose(found[name].numpy(), expected, rtol=2e-5, atol=2e-6)
    assert any((found[n].numpy() != p.numpy()).any() for n, p in trainer.model.named_parameters())


def test_batch_norms_have_the_statistics_of_the_averaged_network():
    """The mean over the first batches of the last epoch, each as the averaged network sees it."""
    trainer = make(ema=0.9)
    trainer.fit()
    model, outputs = trainer.averaged_model, []
    for inputs, _ in list(trainer.train_loader.epoch(EPOCHS - 1))[:BATCHES]:
        outputs.append(model.conv(training.trainer.as_input(inputs, model)).numpy().astype(np.float64))
    means = np.mean([x.mean(axis=(0, 2, 3)) for x in outputs], axis=0)
    variances = np.mean([x.var(axis=(0, 2, 3), ddof=1) for x in outputs], axis=0)
    np.testing.assert_allclose(model.bn.running_mean.numpy(), means, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.bn.running_var.numpy(), variances, rtol=1e-4)
    assert model.bn.momentum == 0.1
    assert (trainer.model.bn.running_mean.numpy() != model.bn.running_mean.numpy()).any()


def test_frozen_batch_norms_keep_their_statistics():
    from tests.training.tiny import TinyNet

    model = TinyNet()
    model.bn.running_mean.assign_(np.full(4, 0.25, np.float32))
    model.bn.requires_grad_(False)
    trainer = make(model=model, ema=0.9)
    trainer.fit()
    np.testing.assert_array_equal(trainer.averaged_model.bn.running_mean.numpy(), np.full(4, 0.25))
    assert trainer.averaged_model.bn.num_batches_tracked.item() == 0


def test_inputs_of_several_arrays_reach_the_averaged_network():
    class Two(nn.Module):
        def __init__(self):
            self.bn, self.fc = nn.BatchNorm1d(3), nn.Linear(3, 1)

        def forward(self, a, b):
            return self.fc(self.bn(a + b))

    rng = np.random.default_rng(0)
    samples = [((a, b), a[:1]) for a, b in rng.normal(size=(40, 2, 3)).astype(np.float32)]
    model = Two()
    trainer = training.Trainer(
        model,
        optim.SGD(model.parameters(), 0.01),
        data.Loader(samples, 10, workers=0),
        epochs=1,
        loss=F.mse_loss,
        ema=0.5,
        progress=False,
    )
    trainer.fit()
    sums = np.array([a + b for (a, b), _ in samples])
    np.testing.assert_allclose(trainer.averaged_model.bn.running_mean.numpy(), sums.mean(0), rtol=1e-4)


def test_training_itself_is_the_same():
    plain = make()
    plain.fit()
    averaged = make(ema=0.99)
    averaged.fit()
    assert bits(plain.model) == bits(averaged.model)
    assert plain.averaged_model is None


def test_what_is_validated_and_saved_is_the_average(tmp_path):
    trainer = make(tmp_path / "run", ema=0.9)
    trainer.fit()
    saved = weights.load(tmp_path / "run" / "last.safetensors")
    for name, tensor in trainer.averaged_model.state_dict().items():
        np.testing.assert_array_equal(saved[name], tensor.numpy())
    measured = training.evaluate(trainer.averaged_model, trainer.validation_loader)
    assert measured.loss == trainer.history[-1].validation_loss
    assert measured.loss != training.evaluate(trainer.model, trainer.validation_loader).loss


@pytest.mark.parametrize("stop_after", [3, 7, 10])  # within the first epoch, at its end, in the second
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, stop_after):
    whole = make(tmp_path / "whole", ema=0.9)
    whole.fit()

    class Stop(Exception):
        pass

    part = make(tmp_path / "part", ema=0.9, checkpoint_steps=1)
    taken, save = 0, part._save

    def stopping(best=False):
        nonlocal taken
        save(best)
        taken = part.epoch * len(part.train_loader) + part.step
        if taken >= stop_after:
            raise Stop

    part._save = stopping
    with pytest.raises(Stop):
        part.fit()
    resumed = make(tmp_path / "part", seed=1, ema=0.9)
    resumed.fit(resume=True)
    assert bits(resumed.model) == bits(whole.model)
    assert bits(resumed.averaged_model) == bits(whole.averaged_model)


def test_a_run_is_not_resumed_with_another_average(tmp_path):
    make(tmp_path / "run", ema=0.9).fit()
    for other in ({"ema": 0.99}, {}):
        with pytest.raises(MiniResError, match=r"training ema: 0\.9 in the checkpoint"):
            make(tmp_path / "run", **other).fit(resume=True)


def test_what_makes_no_sense_is_refused():
    for wrong in (1.0, -0.1, "much", True):
        with pytest.raises(ValueError, match="ema must be a number, at least 0 and below 1"):
            make(ema=wrong)
    with pytest.raises(DeviceError, match="without an average of the weights: leave out one of both"):
        make(ema=0.9, graph=True)
