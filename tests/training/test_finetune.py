"""Everything but the classifier comes from the file; what else does not fit is refused whole."""

from __future__ import annotations

import numpy as np
import pytest

from minires import models, nn, weights
from minires.errors import WeightsError
from minires.training.finetune import classifier_of, freeze_all_but_classifier, load_pretrained
from tests.training.tiny import TinyNet, bits, fitted

TEN = [str(digit) for digit in range(10)]


@pytest.fixture
def source(tmp_path):
    """A network and the file that holds it."""
    model = models.build("resnet8", num_classes=10)
    weights.save(tmp_path / "w.safetensors", model.state_dict())
    return model, tmp_path / "w.safetensors"


def test_same_classes_are_kept(source):
    model, path = source
    other = models.build("resnet8", num_classes=10)
    assert not load_pretrained(other, path, TEN)
    assert bits(other) == bits(model)


def test_another_number_of_classes_gets_a_new_classifier(source):
    model, path = source
    other = models.build("resnet8", num_classes=3)
    fresh = other.fc.weight.numpy().copy()
    assert load_pretrained(other, path, ["a", "b", "c"])
    np.testing.assert_array_equal(other.fc.weight.numpy(), fresh)
    loaded, expected = bits(other), bits(model)
    assert {k: v for k, v in loaded.items() if not k.startswith("fc.")} == {
        k: v for k, v in expected.items() if not k.startswith("fc.")
    }


def test_as_many_but_other_classes_get_a_new_classifier(tmp_path):
    from tests.training.tiny import make

    make(tmp_path, epochs=1, metadata={"classes": TEN}).fit()
    path = tmp_path / "last.safetensors"
    model = TinyNet()
    fresh = model.fc.weight.numpy().copy()
    assert not load_pretrained(model, path, TEN)
    assert not np.array_equal(model.fc.weight.numpy(), fresh)
    model = TinyNet()
    fresh = model.fc.weight.numpy().copy()
    assert load_pretrained(model, path, TEN[::-1])
    np.testing.assert_array_equal(model.fc.weight.numpy(), fresh)


def test_a_classifier_under_its_other_name(source, tmp_path):
    model, _ = source
    renamed = {name.replace("fc.", "linear."): tensor for name, tensor in model.state_dict().items()}
    weights.save(tmp_path / "linear.npz", renamed)
    other = models.build("resnet8", num_classes=10)
    load_pretrained(other, tmp_path / "linear.npz", TEN)
    assert bits(other) == bits(model)
    wider = models.build("resnet8", num_classes=12)
    assert load_pretrained(wider, tmp_path / "linear.npz", TEN)


def test_a_file_without_a_classifier_is_refused(source, tmp_path):
    model, _ = source
    weights.save(tmp_path / "body.npz", {k: v for k, v in model.state_dict().items() if not k.startswith("fc.")})
    with pytest.raises(WeightsError, match=r"missing \(2\): fc\.weight, fc\.bias"):
        load_pretrained(models.build("resnet8"), tmp_path / "body.npz", TEN)


@pytest.mark.parametrize("classes", [10, 3])
def test_another_network_is_refused_whole(source, classes):
    _, path = source
    other = models.build("resnet14", num_classes=classes)
    before = bits(other)
    with pytest.raises(WeightsError, match=r"missing \(\d+\): layer1\.1\.conv1\.weight"):
        load_pretrained(other, path, TEN)
    assert bits(other) == before


def test_freezing_leaves_the_classifier():
    model = models.build("resnet8")
    freeze_all_but_classifier(model)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["fc.weight", "fc.bias"]


def test_the_classifier_is_the_last_linear_layer():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 4)), nn.ReLU())
    assert classifier_of(model)[0] == "1.0"
    with pytest.raises(WeightsError, match="has no linear layer"):
        classifier_of(nn.Sequential(nn.ReLU()))


def test_a_checkpoint_of_a_run_can_be_started_from(tmp_path):
    trainer = fitted(tmp_path)
    model = TinyNet()
    load_pretrained(model, tmp_path / "last.safetensors", TEN)
    assert bits(model) == bits(trainer.model)
