"""Training with any loss, metrics, and inputs and targets of any form. The oracles are NumPy's least squares."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import minires as mr
from minires import data, nn, optim, training
from minires import functional as F
from minires.errors import DataError, DeviceError, MiniResError, ShapeError
from minires.training.cuda_graph import CapturedStep
from minires.training.metrics import best_epoch
from tests.training.test_history_log import record
from tests.training.tiny import bits

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 2)).astype(np.float32)
Y = (X @ np.float32([[1.5], [-0.7]]) + 0.3 + 0.1 * RNG.normal(size=(48, 1))).astype(np.float32)


class Linear(nn.Module):
    """Takes one input, two, or two by name."""

    def __init__(self):
        self.fc = nn.Linear(2, 1)

    def forward(self, a, b=None):
        return self.fc(a if b is None else F.cat([a, b], 1))


def trainer(dataset, *, model=None, out=None, epochs=40, validation=None, **options):
    mr.manual_seed(0)
    model = Linear() if model is None else model
    loader = data.Loader(dataset, 16, shuffle=True, workers=0)
    validation = None if validation is None else data.Loader(validation, 16, workers=0)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    options = {"loss": F.mse_loss, "progress": False, **options}
    return training.Trainer(model, optimizer, loader, validation, epochs=epochs, out=out, **options)


def rmse(outputs, targets):
    return ((outputs - targets) ** 2).mean() ** 0.5


@pytest.mark.parametrize(
    "samples",
    [
        data.TensorDataset(X, Y),
        data.TensorDataset(X.astype(np.float64), Y.astype(np.float64)),
        [(list(map(float, x)), [float(y)]) for x, (y,) in zip(X, Y, strict=True)],
        [((x[:1], x[1:]), y) for x, y in zip(X, Y, strict=True)],
        [({"b": x[1:], "a": x[:1]}, y) for x, y in zip(X, Y, strict=True)],
        [(mr.tensor(x), mr.tensor(y)) for x, y in zip(X, Y, strict=True)],
    ],
    ids=["float32", "float64", "lists", "tuples", "dicts", "Tensors"],
)
def test_a_regression_finds_the_least_squares(samples):
    run = trainer(samples)
    history = run.fit()
    solution = np.linalg.lstsq(np.hstack([X, np.ones((48, 1))]), Y, rcond=None)[0].ravel()
    found = [*run.model.fc.weight.numpy().ravel(), *run.model.fc.bias.numpy()]
    np.testing.assert_allclose(found, solution, atol=0.02)
    assert history[-1].train_accuracy is None
    assert history[-1].train_loss < 0.02


def test_metrics_are_means_over_the_samples(tmp_path):
    validation = data.TensorDataset(X[:20], Y[:20])  # batches of 16 and 4
    run = trainer(data.TensorDataset(X, Y), epochs=2, validation=validation, out=tmp_path / "run",
                  metrics={"rmse": rmse, "bias": lambda outputs, targets: (outputs - targets).mean()})  # fmt: skip
    last = run.fit()[-1]
    outputs = X @ run.model.fc.weight.numpy().T + run.model.fc.bias.numpy()
    errors = (outputs - Y)[:20]
    expected = (16 * math.sqrt((errors[:16] ** 2).mean()) + 4 * math.sqrt((errors[16:] ** 2).mean())) / 20
    assert last.validation_metrics == pytest.approx({"rmse": expected, "bias": errors.mean()}, rel=1e-4, abs=1e-6)
    assert last.validation_loss == pytest.approx((errors**2).mean(), rel=1e-4)
    assert list(last.train_metrics) == ["rmse", "bias"]
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert line["validation_metrics"] == last.validation_metrics
    assert line["train_accuracy"] is None
    measured = training.evaluate(run.model, run.validation_loader, loss=F.mse_loss, metrics={"rmse": rmse})
    assert type(measured) is training.Measurement
    assert (measured.n, measured.loss) == (20, last.validation_loss)
    assert measured.metrics["rmse"] == last.validation_metrics["rmse"]
    best = training.load_checkpoint(tmp_path / "run" / "best.safetensors")
    assert best.epoch == min(run.history, key=lambda each: each.validation_loss).epoch


def test_a_regression_is_resumed_bit_for_bit(tmp_path):
    options = {"metrics": {"rmse": rmse}, "validation": data.TensorDataset(X, Y)}
    whole = trainer(data.TensorDataset(X, Y), epochs=3, **options)
    whole.fit()

    stopped = trainer(data.TensorDataset(X, Y), epochs=3, out=tmp_path, checkpoint_steps=1, **options)
    left = [None] * 5

    def stop(*_):
        if stopped.model.training:
            left.pop()

    stopped.model.register_forward_hook(stop)
    with pytest.raises(IndexError):
        stopped.fit()
    resumed = trainer(data.TensorDataset(X, Y), epochs=3, out=tmp_path, **options)
    history = resumed.fit(resume=True)
    assert bits(resumed.model) == bits(whole.model)
    assert [each.train_metrics for each in history] == [each.train_metrics for each in whole.history]
    with pytest.raises(MiniResError, match=r"training loss: \"mse_loss\" in the checkpoint, nothing now"):
        trainer(data.TensorDataset(X, Y), epochs=3, out=tmp_path, **{**options, "loss": None}).fit(resume=True)


def test_an_autoencoder_and_a_classification_with_another_loss():
    narrow = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 2))
    history = trainer(data.TensorDataset(X, X), model=narrow, epochs=60).fit()
    rest = np.linalg.svd(X - X.mean(0))[1][1] ** 2 / X.size  # what the first principal component leaves
    assert history[-1].train_loss == pytest.approx(rest, rel=0.1)

    labels = (X[:, 0] > 0).astype(np.int64)
    soft = np.eye(2, dtype=np.float32)[labels]
    run = trainer(data.TensorDataset(X, soft), model=nn.Linear(2, 2), loss=F.cross_entropy, epochs=5)
    assert run.fit()[-1].train_loss < 0.3


def test_the_printed_line_of_a_regression(capsys):
    run = trainer(data.TensorDataset(X, Y), epochs=1, validation=data.TensorDataset(X, Y), progress=True,
                  metrics={"rmse": rmse})  # fmt: skip
    run.fit()
    line = capsys.readouterr().out.splitlines()[1]
    assert "1/1" in line
    assert f"rmse {run.history[0].train_metrics['rmse']:.4g} ({run.history[0].validation_metrics['rmse']:.4g})" in line


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"loss": "mse"}, TypeError, "loss must be a function .* as F.mse_loss is, not 'mse'"),
        ({"label_smoothing": 0.1}, ValueError, "label_smoothing belongs to the usual cross-entropy"),
        ({"metrics": [rmse]}, TypeError, "metrics must be"),
        ({"metrics": {"rmse": 3}}, TypeError, "the metric 'rmse' must be a function"),
        ({"graph": True}, DeviceError, "graph=True captures the usual loss alone"),
        ({"graph": True, "loss": None, "metrics": {"rmse": rmse}}, DeviceError, "leave out loss= and metrics="),
        ({"patience": 2}, ValueError, "give a validation_loader"),
    ],
)
def test_settings_that_cannot_be_honoured(options, error, message):
    with pytest.raises(error, match=message):
        trainer(data.TensorDataset(X, Y), **options)


def test_a_plateau_of_the_accuracy_needs_one():
    model = Linear()
    optimizer = optim.SGD(model.parameters(), 0.1)
    loader = data.Loader(data.TensorDataset(X, Y), 16, workers=0)
    for mode, ends in (("max", False), ("min", True)):

        def run(mode=mode):
            schedule = optim.ReduceOnPlateau(optimizer, mode=mode)
            return training.Trainer(model, optimizer, loader, epochs=1, schedule=schedule, schedule_per="epoch",
                                    loss=F.mse_loss, progress=False).fit()  # fmt: skip

        if ends:
            assert len(run()) == 1
        else:
            with pytest.raises(ValueError, match="watches the accuracy, which loss= lacks"):
                run()


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (lambda o, t: (o - t) ** 2, ShapeError, r"loss returned a Tensor of shape \(16, 1\): .* end with \.mean\(\)"),
        (lambda o, t: 0.5, TypeError, "loss returned a float, which has no gradient"),
        (lambda o, t: None, TypeError, "loss returned a NoneType"),
        (None, ShapeError, r"cross-entropy of logits \(B, classes\) and integer labels \(B,\), .* loss=F\.mse_loss"),
    ],
)
def test_a_loss_that_is_none(loss, error, message):
    with pytest.raises(error, match=message):
        trainer(data.TensorDataset(X, Y), loss=loss).fit()
    if loss is None:
        with pytest.raises(error, match=message):
            training.evaluate(Linear(), data.Loader(data.TensorDataset(X, Y), 16, workers=0))


@pytest.mark.parametrize("targets", [X[:, 0], (X[:, 0] > 0), np.zeros((48, 3), np.int64), [{"a": 1}] * 48])
def test_targets_that_are_no_class_labels(targets):
    samples = list(zip(X, targets, strict=True))
    with pytest.raises(ShapeError, match="give loss=, a function of outputs and targets"):
        trainer(samples, model=nn.Linear(2, 3), loss=None).fit()


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.int64])
def test_class_labels_of_any_integer_dtype(dtype):
    labels = (X[:, 0] > 0).astype(dtype)
    run = trainer(data.TensorDataset(X, labels), model=nn.Linear(2, 2), loss=None, epochs=5)
    assert run.fit()[-1].train_accuracy > 85
    assert training.evaluate(run.model, run.train_loader).top1 > 85


@pytest.mark.parametrize("label", [2, -1, 100])
def test_labels_outside_the_classes_are_named(label):
    labels = np.zeros(48, np.int64)
    labels[5] = label
    with pytest.raises(ShapeError, match=rf"label {label} is out of range: the network has classes 0 … 1"):
        trainer(data.TensorDataset(X, labels), model=nn.Linear(2, 2), loss=None).fit()


def test_ignored_labels_count_neither_as_right_nor_as_wrong():
    labels = np.where(np.arange(48) % 3 == 0, -100, (X[:, 0] > 0)).astype(np.int64)
    counted = labels >= 0
    model = nn.Linear(2, 2)
    for dataset in (data.TensorDataset(X, labels), data.TensorDataset(X[counted], labels[counted])):
        found = training.evaluate(model, data.Loader(dataset, 7, workers=0))
        logits = (X @ model.weight.numpy().T + model.bias.numpy())[counted].astype(np.float64)
        right = logits.argmax(1) == labels[counted]
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        assert (found.n, found.correct, found.top1) == (32, right.sum(), pytest.approx(100 * right.mean()))
        assert found.loss == pytest.approx(-np.log(p[np.arange(32), labels[counted]]).mean(), rel=1e-5)
        assert len(found.predictions) == len(dataset)
    run = trainer(data.TensorDataset(X, labels), model=nn.Linear(2, 2), loss=None, epochs=10)
    assert run.fit()[-1].train_accuracy > 85  # of those that count, which are two thirds


def test_ignored_labels_of_a_thousand_classes_are_no_class_either():
    """-100 as an index is class 900."""
    logits = np.zeros((4, 1000), np.float32)
    logits[:, 900] = 1.0
    loader = data.Loader(data.TensorDataset(logits, np.array([-100, 900, 900, 0])), 4, workers=0)
    found = training.evaluate(nn.Identity(), loader)
    assert (found.n, found.correct) == (3, 2)


@pytest.mark.parametrize(
    ("value", "message"),
    [(lambda o, t: o, r"'m' must return one number, not \(16, 1\)"), (lambda o, t: None, "not NoneType")],
)
def test_a_metric_that_is_no_number(value, message):
    with pytest.raises(TypeError, match=message):
        trainer(data.TensorDataset(X, Y), metrics={"m": value}).fit()


def test_a_metric_may_be_nan(tmp_path):
    run = trainer(data.TensorDataset(X, Y), epochs=1, out=tmp_path, metrics={"m": lambda o, t: float("nan")})
    assert math.isnan(run.fit()[-1].train_metrics["m"])
    assert json.loads((tmp_path / "log.jsonl").read_text())["train_metrics"] == {"m": None}


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (X, "this is one ndarray"),  # an array of two batches' length would unpack as a pair
        ([{"x": x} for x in X], "this is one dict"),
        ([(x, x, 0) for x in X], "this is a tuple of 3"),
    ],
)
def test_a_batch_that_is_no_pair(samples, message):
    with pytest.raises(DataError, match=rf"pair \(inputs, targets\), and {message}.*autoencoder"):
        trainer(samples).fit()


def test_a_validation_loss_of_nan_is_the_worst():
    history = [record(number, train_accuracy=None, validation_accuracy=None, validation_loss=loss)
               for number, loss in enumerate((math.nan, 3.0, 1.0, math.nan, 1.0), start=1)]  # fmt: skip
    assert best_epoch(history).epoch == 3
    assert best_epoch(history[:1]).epoch == 1


def test_inputs_that_no_graph_captures_are_told():
    step = object.__new__(CapturedStep)
    step.capture_error = ""
    assert step({"a": X}, Y, lambda inputs, targets: (1.0, None)) == (1.0, None)
    assert step.capture_error == "the inputs are a dict, and only one array can be captured"


def test_integer_inputs_stay_integers():
    class Embedding(nn.Module):
        def __init__(self):
            self.table = nn.Parameter(np.zeros((5, 1), np.float32))

        def forward(self, indices):
            return self.table[indices]

    indices = np.arange(5)
    run = trainer(data.TensorDataset(indices, indices[:, None] * 0.5), model=Embedding(), epochs=200)
    run.fit()
    np.testing.assert_allclose(run.model.table.numpy().ravel(), indices * 0.5, atol=0.01)


# -- parts that do not belong together --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 1.5}, ValueError, r"epochs must be 1 or more, not 1\.5"),
        ({"epochs": True}, ValueError, "epochs must be 1 or more, not True"),
        ({"clip_norm": -1.0}, ValueError, r"clip_norm must be a number, 0 or more, or None, not -1\.0"),
        ({"clip_norm": 0}, ValueError, "clip_norm 0 would make every gradient 0"),
        ({"checkpoint_seconds": -1}, ValueError, "checkpoint_seconds must be a number, 0 or more"),
        (
            {"schedule": optim.Cosine(optim.SGD(nn.Linear(1, 1).parameters(), 0.1), 9)},
            ValueError,
            "of another optimiser",
        ),
        ({"schedule": 0.1}, TypeError, "schedule must be one of minires.optim's, not a float"),
        ({"metadata": {"a": {1}}}, TypeError, "metadata and settings as JSON, which cannot hold this: .* set"),
    ],
)
def test_settings_of_the_wrong_kind(options, error, message):
    with pytest.raises(error, match=message):
        trainer(data.TensorDataset(X, Y), **options)


def test_parts_of_the_wrong_kind():
    model, other = Linear(), Linear()
    optimizer, loader = optim.SGD(model.parameters(), 0.1), data.Loader(data.TensorDataset(X, Y), 16)

    def make(*parts):
        return lambda: training.Trainer(*parts, epochs=1, loss=F.mse_loss)

    for wrong, error, message in (
        (make(other, optimizer, loader), ValueError, "holds no parameter of this model, so nothing would be learned"),
        (make(F.relu, optimizer, loader), TypeError, "model must be a .*Module, not a function"),
        (make(model, "sgd", loader), TypeError, "optimizer must be a .*Optimizer, not a str"),
        (make(model, optimizer, [(X, Y)]), TypeError, r"Trainer: needs a data\.Loader of the data set, not a list"),
        (make(model, optimizer, loader, [(X, Y)]), TypeError, r"needs a data\.Loader"),
        (lambda: training.evaluate(model, [(X, Y)]), TypeError, r"evaluate: needs a data\.Loader"),
        (lambda: training.Checkpoint.of([model], optimizer), TypeError, r"a list: put several into nn\.ModuleDict"),
    ):
        with pytest.raises(error, match=message):
            wrong()


def test_a_second_fit_is_no_silent_nothing():
    run = trainer(data.TensorDataset(X, Y), epochs=1)
    run.fit()
    with pytest.raises(MiniResError, match="fit was called before: make another Trainer"):
        run.fit()
