"""What recipes are made of computes the same in several processes as in one: every setting that changes the numbers.

Each run has a batch that does not divide evenly, and a last one that is smaller. All is computed in float64. "Same" is
within 1e-8 of the largest number of each array.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from minires import weights
from minires.training import load_checkpoint

AUGMENTED = {"flip": "alternating", "translate": 1, "padding": "reflect", "cutout": 3, "hold_out": 30}
SGD = {"nesterov": True, "decay_norms": False, "weight_decay": 1e-3, "label_smoothing": 0.1, "schedule": "linear"}
CIFAR94 = {**AUGMENTED, **SGD, "ema": 0.9, "whiten": True}
MUON = {**AUGMENTED, "optimizer": "muon", "lr": 0.02, "sgd_lr": 0.01, "weight_decay": 1e-3, "ema": 0.9}


def trained(run, folder, ranks, settings, *options):
    """(arrays of the last checkpoint, its history) of a run, which is in `folder`."""
    run(ranks, "-m", "tests.distributed.recipe", folder, json.dumps(settings), *options)
    last = folder / "last.safetensors"
    return weights.load(last), load_checkpoint(last)


def assert_same(one, other, tolerance=1e-8):
    (arrays, checkpoint), (others, found) = one, other
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        scale = max(float(np.abs(array).max()), 1e-300) if array.size else 1.0
        assert float(np.abs(array - others[name]).max()) <= tolerance * scale, name
    assert checkpoint.compatibility == found.compatibility
    for record, same in zip(checkpoint.history, found.history, strict=True):
        assert same.train_loss == pytest.approx(record.train_loss, rel=tolerance)
        assert same.validation_loss == pytest.approx(record.validation_loss, rel=tolerance)
        assert same.validation_accuracy == record.validation_accuracy


def test_the_parts_of_cifar94_on_three_ranks(run, tmp_path):
    """Whitening, alternating flips, an average of the weights, held-out images, Nesterov's momentum."""
    one, three = (trained(run, tmp_path / str(ranks), ranks, CIFAR94) for ranks in (1, 3))
    assert_same(one, three)
    averaged, weights_of_steps = three[1].model, three[1].trained
    assert any((averaged[name] != weights_of_steps[name]).any() for name in averaged)  # the average is what is saved


def test_muon_beside_sgd_on_two_ranks(run, tmp_path):
    assert_same(*(trained(run, tmp_path / str(ranks), ranks, MUON) for ranks in (1, 2)))


@pytest.mark.slow  # three jobs, of one, two and three processes
def test_an_average_goes_on_in_another_number_of_ranks(run, tmp_path):
    settings = {**CIFAR94, "schedule": "constant"}
    whole = trained(run, tmp_path / "whole", 1, settings)
    trained(run, tmp_path / "parted", 2, {**settings, "epochs": 1})
    assert_same(whole, trained(run, tmp_path / "parted", 3, settings, "float64", "resume"))


@pytest.mark.slow  # two jobs more, of one process and of two
def test_an_average_with_local_statistics_is_the_same_on_all_ranks(run, tmp_path):
    """Its statistics are the means of the ranks': those of the shares, so near those of one process, not equal."""
    settings = {**CIFAR94, "batch_norm": "local"}
    (one, _), (two, _) = (trained(run, tmp_path / str(ranks), ranks, settings) for ranks in (1, 2))
    means = [name for name in one if name.endswith("running_mean")]
    assert all(0 < np.abs(one[name] - two[name]).max() < 0.5 * np.abs(one[name]).max() for name in means)


def test_onnx_batch_statistics_of_one_share_are_refused(tmp_path, monkeypatch):
    """The layers of a file are made synchronous; an operator that has training_mode=1 cannot be, and would differ."""
    onnx = pytest.importorskip("onnx")
    from minires import Tensor
    from minires.core import ranks
    from minires.errors import ShapeError
    from minires.onnx import load

    helper, names = onnx.helper, ("weight", "bias", "mean", "var")
    node = helper.make_node("BatchNormalization", ["x", *names], ["y", "m", "v"], training_mode=1)
    inputs, output = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 2]) for name in ("x", "y"))
    initialisers = [onnx.numpy_helper.from_array(np.ones(2, np.float32), name) for name in names]
    graph = helper.make_graph([node], "g", [inputs], [output], initialisers)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "norm.onnx")
    model, x = load(tmp_path / "norm.onnx"), Tensor(np.arange(6, dtype=np.float32).reshape(3, 2))
    np.testing.assert_allclose(model(x).numpy().mean(0), 1, rtol=1e-6)
    two = ranks._Alone()
    two.size = 2
    monkeypatch.setattr(ranks, "_default", two)
    with pytest.raises(ShapeError, match="each process has a share only: start one process"):
        model(x)


def test_stochastic_depth_drops_the_same_blocks_on_all_ranks(run, tmp_path):
    """A rank that left out a block would not take part in its batch norms, and the others would wait for it."""
    settings = {"model": "resnet8:survival=0.5,shortcut_dropout=0.1", "ema": 0.9, "epochs": 1}
    _, checkpoint = trained(run, tmp_path / "run", 2, settings)
    assert np.isfinite(checkpoint.history[0].validation_loss)
