"""The two networks of the demo differ in the shortcut alone, and are measured as they should be."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import training
from minires.demo.networks import DemoConfig, gradient_norms, misclassified, train

CONFIG = DemoConfig(depth=8, epochs=1, batch_size=128)


def test_twins_start_with_the_same_numbers():
    residual, plain = (CONFIG.network(kind).state_dict() for kind in ("resnet", "plain"))
    assert residual.keys() == plain.keys()
    for name, tensor in residual.items():
        np.testing.assert_array_equal(tensor.numpy(), plain[name].numpy())


def test_twins_compute_something_else():
    images, _ = next(CONFIG.loader(train=False).epoch(0))
    with mr.no_grad():
        residual, plain = (CONFIG.network(kind).eval()(mr.tensor(images)).numpy() for kind in ("resnet", "plain"))
    assert np.abs(residual - plain).max() > 0.1


def test_the_held_out_digits_are_the_data_sets_test_part():
    assert len(CONFIG.loader(train=False).dataset) == 359
    assert len(CONFIG.loader(train=True).dataset) == 1438
    assert CONFIG.loader(train=True).shuffle
    assert not CONFIG.loader(train=False).shuffle


def test_norms_are_those_of_the_first_batch():
    model = CONFIG.network("resnet")
    norms = gradient_norms(model, CONFIG.loader(train=True))
    images, labels = next(CONFIG.loader(train=True).epoch(0))
    again = CONFIG.network("resnet")
    names = ["conv1.weight", *(f"layer{s}.0.conv{c}.weight" for s in (1, 2, 3) for c in (1, 2))]
    parameters = dict(again.named_parameters())
    gradients = mr.grad(F.cross_entropy(again(mr.tensor(images)), mr.tensor(labels)), [parameters[n] for n in names])
    assert norms == pytest.approx([float(np.sqrt((g.numpy() ** 2).sum())) for g in gradients], rel=1e-5)


def test_projections_are_not_counted_among_the_layers():
    config = DemoConfig(depth=8)
    model = mr.models.build("resnet8", num_classes=10, in_channels=1, shortcut="B")
    assert len(gradient_norms(model, config.loader(train=True))) == 7


@pytest.fixture(scope="module")
def trained():
    return train("resnet", CONFIG, progress=False)


def test_what_is_reported_is_what_was_trained(trained):
    assert trained.name == "ResNet-8"
    assert trained.parameters == sum(p.numel() for p in CONFIG.network("resnet").parameters())
    assert len(trained.history) == 1
    assert trained.trained_on == 1438
    assert trained.n == 359
    assert trained.correct == trained.n - len(trained.misclassified)
    assert trained.accuracy == pytest.approx(trained.history[-1].validation_accuracy)
    assert trained.growth == trained.gradient_norms[0] / trained.gradient_norms[-1]


def test_misclassified_digits_are_classified_wrongly():
    model, loader = CONFIG.network("resnet"), CONFIG.loader(train=False)
    for module in model.modules():  # an untrained network errs often enough
        module.train()
    found = misclassified(model, loader)
    evaluation = training.evaluate(model, loader)
    assert len(found) == evaluation.n - evaluation.correct > 100
    assert [m.probability for m in found] == sorted((m.probability for m in found), reverse=True)
    labels, pixels = loader.dataset.labels, loader.dataset.images[..., 0]
    expected = {
        (pixels[i].tobytes(), int(labels[i]), int(answer))
        for i, answer in enumerate(evaluation.predictions)
        if answer != labels[i]
    }
    assert {(m.image.tobytes(), m.label, m.answer) for m in found} == expected


def test_the_same_seed_gives_the_same_run(trained):
    again = train("resnet", CONFIG, progress=False)
    assert again.gradient_norms == pytest.approx(trained.gradient_norms, rel=1e-5)
    assert again.history[-1].train_loss == pytest.approx(trained.history[-1].train_loss, rel=1e-3)
