"""The history of a run on disk: log.jsonl for programs, curves.png for people.

Both files are rewritten atomically from the whole history each time, so no line is repeated, missing or cut after a
crash and a resume.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from minires.files import atomic_write
from minires.training.metrics import EpochRecord


def write_log(path: Path, history: Sequence[EpochRecord]) -> None:
    """Write one JSON object per epoch and line. NaN and infinities, which JSON lacks, become null."""
    with atomic_write(path, "w") as file:
        for record in history:
            values = {key: _json_number(value) for key, value in asdict(record).items()}
            file.write(json.dumps(values, allow_nan=False) + "\n")


def _json_number(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _json_number(number) for name, number in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def draw_curves(path: Path, history: Sequence[EpochRecord]) -> None:
    """Write a PNG of loss, accuracy (or, with a loss of one's own, the metrics) and learning rate over the epochs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure  # not pyplot: its current figure belongs to the user

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    loss, accuracy, rate = figure.subplots(1, 3)
    epochs = [record.epoch for record in history]
    mark = "o" if len(epochs) < 40 else ""
    for axes, quantity in ((loss, "loss"), (accuracy, "accuracy")):
        for part in ("train", "validation"):
            values = [getattr(record, f"{part}_{quantity}") for record in history]
            if any(value is not None for value in values):
                axes.plot(epochs, values, label=part, marker=mark, markersize=3)
    loss.set(title="loss")
    is_classification = any(record.train_accuracy is not None for record in history)
    accuracy.set(title="accuracy (%)" if is_classification else "metrics")
    if not is_classification:
        for part in ("train_metrics", "validation_metrics"):
            for name in getattr(history[-1], part):
                values = [getattr(record, part).get(name) for record in history]
                accuracy.plot(epochs, values, label=f"{part.split('_')[0]} {name}", marker=mark, markersize=3)
    for axes in (loss, accuracy):
        if axes.lines:
            axes.legend()
    rate.plot(epochs, [record.learning_rate for record in history], color="tab:gray", marker=mark, markersize=3)
    rate.set(title="learning rate at the end of the epoch")
    if all(record.train_loss > 0 for record in history):
        loss.set_yscale("log")
    for axes in (loss, accuracy, rate):
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=100)
