"""log.jsonl is JSON whatever happens, curves.png shows what it should."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from minires.training import EpochRecord, history_log, run_folder
from minires.training.metrics import Totals, best_epoch
from tests.training.tiny import make


def record(epoch: int, **changes) -> EpochRecord:
    figures = {"train_loss": 1 / epoch, "train_accuracy": 90.0, "validation_loss": 0.5, "validation_accuracy": 80.0}
    return EpochRecord(epoch, **{**figures, **changes}, learning_rate=0.1, images_per_second=10.0, seconds=1.0)


def test_a_validation_loss_that_overflowed_is_still_json(tmp_path):
    history_log.write_log(tmp_path / "log.jsonl", [record(1, validation_loss=float("inf")), record(2)])

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    lines = [json.loads(line, parse_constant=refuse) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["validation_loss"] for line in lines] == [None, 0.5]


def colours(path) -> set[tuple[int, ...]]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return set(map(tuple, np.asarray(image.convert("RGB")).reshape(-1, 3).tolist()))


BLUE, ORANGE = (31, 119, 180), (255, 127, 14)  # matplotlib's first and second line


@pytest.mark.parametrize("epochs", [1, 2, 100])
def test_curves_of_training_and_validation(tmp_path, epochs):
    history_log.draw_curves(tmp_path / "c.png", [record(epoch) for epoch in range(1, epochs + 1)])
    assert {BLUE, ORANGE} <= colours(tmp_path / "c.png")


def test_curves_without_validation(tmp_path):
    history = [record(epoch, validation_loss=None, validation_accuracy=None) for epoch in (1, 2)]
    history_log.draw_curves(tmp_path / "c.png", history)
    assert BLUE in colours(tmp_path / "c.png")
    assert ORANGE not in colours(tmp_path / "c.png")


@pytest.mark.parametrize("metrics", [{}, {"rmse": 0.5}])
def test_curves_of_a_regression(tmp_path, metrics):
    changes = {"train_accuracy": None, "validation_accuracy": None}
    history = [record(epoch, **changes, train_metrics=metrics, validation_metrics=metrics) for epoch in (1, 2)]
    history_log.draw_curves(tmp_path / "c.png", history)
    assert {BLUE, ORANGE} <= colours(tmp_path / "c.png")


def test_curves_of_what_no_logarithm_takes(tmp_path):
    history_log.draw_curves(tmp_path / "c.png", [record(1, train_loss=0.0), record(2, validation_loss=float("inf"))])
    assert BLUE in colours(tmp_path / "c.png")


def test_drawing_leaves_pyplot_alone(tmp_path):
    import sys

    from matplotlib import _pylab_helpers

    before = "matplotlib.pyplot" in sys.modules
    history_log.draw_curves(tmp_path / "c.png", [record(1)])
    assert ("matplotlib.pyplot" in sys.modules) == before
    assert not _pylab_helpers.Gcf.figs


def test_curves_are_drawn_at_the_end_and_now_and_then(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(run_folder, "draw_curves", lambda path, history: drawn.append(len(history)))
    make(tmp_path / "usual").fit()
    assert drawn == [3]
    monkeypatch.setattr(run_folder, "SECONDS_BETWEEN_DRAWINGS", 0.0)
    drawn.clear()
    make(tmp_path / "often").fit()
    assert drawn == [1, 2, 3]


def test_totals_go_on():
    whole, parts = Totals(), Totals()
    for totals, batches in ((whole, [(0.5, 3, 4), (0.25, 1, 2)]), (parts, [(0.5, 3, 4)])):
        for batch in batches:
            totals.add(*batch)
    taken_up = Totals(**vars(parts))
    taken_up.add(0.25, 1, 2)
    assert taken_up == whole
    assert whole.mean_loss == pytest.approx((0.5 * 4 + 0.25 * 2) / 6)
    assert whole.accuracy == pytest.approx(100 * 4 / 6)
    assert Totals().mean_loss == Totals().accuracy == Totals().images_per_second == 0.0


def test_the_best_epoch_is_the_first_of_equals():
    accuracies = [50.0, 70.0, None, 70.0, 60.0]
    history = [record(number, validation_accuracy=value) for number, value in enumerate(accuracies, start=1)]
    found = best_epoch(history)
    assert found is not None
    assert found.epoch == 2
    assert best_epoch([]) is None
    assert best_epoch([record(1, validation_accuracy=None)]) is None
