"""The folder of a study: a file for each finished task, and what identifies the run.

    DIR/study.json          study, preset and settings: a resumed run must have the same
    DIR/tasks/NAME.json     the result of a task, written whole when the task has ended
    DIR/runs/NAME/          the checkpoints of a training in progress
    DIR/weights/NAME.safetensors    what a training has learnt, for the tasks after it
    DIR/results.json, DIR/report.html, DIR/figures/    written at the end

A kill at any moment loses the work since the last checkpoint of a training, and of a measurement that task.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minires.errors import MiniResError
from minires.files import atomic_write, remove_leftovers
from minires.studies.form import Task
from minires.training.run_folder import make_folders

SIGNIFICANT_DIGITS = 6  # of the stored numbers


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, whole or not at all."""
    with atomic_write(path, "w") as file:
        file.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def rounded(value: Any) -> Any:
    """Numbers rounded to six significant digits; NaN and infinities, which JSON lacks, become None."""
    if isinstance(value, Mapping):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    if isinstance(value, (bool, str, int)) or value is None:
        return value
    number = float(f"{float(value):.{SIGNIFICANT_DIGITS}g}")
    return number if abs(number) < float("inf") else None


class Store:
    """The files of one study in `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity, self.results, self.report = path / "study.json", path / "results.json", path / "report.html"
        self.figures = path / "figures"

    def begin(self, identity: Mapping[str, Any], resume: bool) -> None:
        """Make the folder, or check that the study in it is the same.

        Raises MiniResError if there is a study already and not `resume`, or one with other settings.
        """
        if self.identity.is_file():
            if not resume:
                raise MiniResError(
                    f"{self.path} already holds a study: continue it with --resume, or name another folder with --out"
                )
            stored = json.loads(self.identity.read_text("utf-8"))
            asked = json.loads(json.dumps(identity))
            if stored != asked:
                other = [key for key in {**stored, **asked} if stored.get(key) != asked.get(key)]
                raise MiniResError(
                    f"{self.path} holds {stored.get('study')} with other values of {', '.join(other)}: give the same, "
                    "or name another folder with --out"
                )
            for name in ("tasks", "runs", "weights"):
                for leftover in (self.path / name).glob(".*.part"):  # of killed writers
                    leftover.unlink(missing_ok=True)
        for name in ("tasks", "runs", "weights", "figures"):
            make_folders(self.path / name)
        for file in (self.identity, self.results, self.report):
            remove_leftovers(file)
        write_json(self.identity, identity)

    def result(self, task: str) -> dict[str, Any] | None:
        """The stored result of a finished task: {"seconds", "values"}; None if it has not ended."""
        file = self.path / "tasks" / f"{task}.json"
        return json.loads(file.read_text("utf-8")) if file.is_file() else None

    def finish(self, task: Task, seconds: float, values: Mapping[str, Any]) -> None:
        """Store a result, and remove the checkpoints of its training."""
        write_json(self.path / "tasks" / f"{task.name}.json", {"seconds": seconds, "values": rounded(values)})
        shutil.rmtree(self.run_folder(task.name), ignore_errors=True)

    def run_folder(self, task: str) -> Path:
        """The folder of the checkpoints of a training."""
        return self.path / "runs" / task

    def weights(self, task: str) -> Path:
        """The file of the weights that a training has learnt."""
        return self.path / "weights" / f"{task}.safetensors"
