"""Top-1, top-5 and loss, held against their definitions written out; modes put back; NaN never right."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minires import Tensor, data, nn, training
from minires.training.evaluation import ranks_of
from tests.training.tiny import TinyNet, graph_nodes, loaders


class Answers(nn.Module):
    """Gives prepared logits: the image's first pixel says which row."""

    def __init__(self, logits: np.ndarray) -> None:
        self.logits = logits

    def forward(self, x: Tensor) -> Tensor:
        return Tensor(self.logits[np.rint(x.numpy()[:, 0, 0, 0] * 255).astype(int)])


def loader_of(labels: list[int], classes: int, batch_size: int = 3) -> data.Loader:
    images = np.zeros((len(labels), 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = range(len(labels))
    names = [str(number) for number in range(classes)]
    return data.Loader(data.ArrayDataset(images, np.array(labels), names), batch_size, workers=0)


@given(
    logits=hnp.arrays(np.float64, st.tuples(st.just(7), st.integers(1, 8)), elements=st.integers(-3, 3).map(float)),
    seed=st.integers(0, 1000),
)
def test_against_the_definitions(logits, seed):
    classes = logits.shape[1]
    labels = np.random.default_rng(seed).integers(0, classes, 7)
    found = training.evaluate(Answers(logits), loader_of(labels.tolist(), classes))
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert (found.n, found.predictions.dtype, found.predictions.tolist()) == (7, np.int64, logits.argmax(1).tolist())
    assert found.correct == (logits.argmax(1) == labels).sum()
    assert found.top1 == pytest.approx(100 * found.correct / 7)
    firsts = [sorted(range(classes), key=lambda c: (-row[c], c))[:5] for row in logits]
    assert found.top5 == pytest.approx(
        100 * np.mean([label in first for label, first in zip(labels, firsts, strict=True)])
    )
    assert found.loss == pytest.approx(-log_p[np.arange(7), labels].mean())
    assert found.images_per_second > 0


def test_top5_as_pytorch_counts_it(torch):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 12)), rng.integers(0, 12, 200)
    found = training.evaluate(Answers(logits), loader_of(labels.tolist(), 12, batch_size=64))
    top = torch.from_numpy(logits).topk(5).indices
    assert found.top5 == pytest.approx(100 * (top == torch.from_numpy(labels)[:, None]).any(1).double().mean().item())


def test_five_classes_or_fewer_are_always_in_the_top_five():
    found = training.evaluate(Answers(np.eye(3)), loader_of([1, 2, 0], 3))
    assert (found.top1, found.top5) == (0.0, 100.0)


def test_nan_is_never_right():
    logits = np.array([[np.nan, 0.0, 1.0], [0.0, np.nan, 1.0], [np.nan] * 3])
    assert ranks_of(logits, np.array([0, 2, 0])).tolist() == [3, 1, 3]


def test_a_label_out_of_range_is_refused():
    with pytest.raises(ValueError, match="label 2 is out of range"):
        training.evaluate(Answers(np.eye(2)), loader_of([0, 2], 3))


@pytest.mark.parametrize("fails", [False, True])
def test_every_module_is_in_its_mode_again(fails):
    model = TinyNet().train()
    model.bn.eval()
    modes = [module.training for module in model.modules()]
    during = []

    def look(*_):
        during.extend(module.training for module in model.modules())
        if fails:
            raise RuntimeError("in the middle")

    model.conv.register_forward_hook(look)
    _, validation = loaders()
    if fails:
        with pytest.raises(RuntimeError, match="in the middle"):
            training.evaluate(model, validation)
    else:
        training.evaluate(model, validation)
    assert not any(during)
    assert [module.training for module in model.modules()] == modes


def test_it_is_repeatable_and_leaves_the_model_alone():
    model, (train, _) = TinyNet(), loaders()
    before = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    first, second = training.evaluate(model, train), training.evaluate(model, train)
    assert (first.loss, first.predictions.tolist()) == (second.loss, second.predictions.tolist())
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])


def test_nothing_is_recorded():
    kept, before = [], graph_nodes()
    model, (_, validation) = TinyNet(), loaders()
    model.register_forward_hook(lambda module, inputs, output: kept.append(output))
    training.evaluate(model, validation)
    assert kept
    assert all(output.node is None for output in kept)
    assert graph_nodes() == before


def test_the_models_dtype():
    model, (_, validation) = TinyNet().to(dtype=np.float64), loaders()
    single, double = TinyNet(), training.evaluate(model, validation)
    single.load_state_dict(model.state_dict())
    assert training.evaluate(single, validation).loss == pytest.approx(double.loss, rel=1e-5)


def test_the_bar_goes_to_standard_error(capsys, monkeypatch):
    model, (_, validation) = TinyNet(), loaders()
    training.evaluate(model, validation, progress=True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    training.evaluate(model, validation, progress=True)
    assert capsys.readouterr() == ("", "")  # no terminal, no bar
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    training.evaluate(model, validation, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "evaluating" in err
