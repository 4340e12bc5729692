"""The folder of a run: its files, and the guarantee that no other run is overwritten."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from minires.errors import MiniResError
from minires.extras import require
from minires.files import remove_leftovers
from minires.training.checkpoint import Checkpoint, load_checkpoint
from minires.training.history_log import draw_curves, write_log
from minires.training.metrics import EpochRecord

CURVES = "drawing a run's curves (curves.png)"
SECONDS_BETWEEN_DRAWINGS = 30.0  # drawing takes half a second, an epoch on small data hardly more


def make_folders(path: Path) -> list[Path]:
    """Make `path` and the folders above it; returns those that were missing, the innermost first.

    Raises MiniResError if the file system refuses.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MiniResError(f"cannot make the folder {path}: {error.strerror}") from error
    return missing


def remove_folders(folders: Sequence[Path]) -> None:
    """Remove folders in the given order, innermost first, up to the first that is not empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


class RunFolder:
    """The files of a run.

    Attributes:
        last: the checkpoint to resume from, last.safetensors.
        best: the checkpoint of the highest validation accuracy, best.safetensors.
        log: log.jsonl.
        curves: curves.png.
        draws_curves: whether curves.png is drawn.
    """

    draws_curves = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last, self.best = path / "last.safetensors", path / "best.safetensors"
        self.log, self.curves = path / "log.jsonl", path / "curves.png"
        self._files = (self.last, self.best, self.log, self.curves)
        self._drawn_at = time.monotonic()
        self._made: list[Path] | None = None  # the folders that `claim` made; None before it is called

    def check(self, resume: bool) -> None:
        """Raise MiniResError if the folder already holds a run, or with `resume` if it holds none."""
        if resume:
            if not self.last.is_file():
                raise MiniResError(f"there is no run to resume in {self.path} ({self.last.name} is missing): start one")
            return
        found = [file.name for file in self._files if file.exists()]
        if found:
            raise MiniResError(
                f"{self.path} already holds a run ({', '.join(found)}), and nothing is overwritten: resume it "
                "(--resume, or fit(resume=True)), or choose another folder"
            )

    def claim(self) -> None:
        """Make the folder for a new run. Raises MiniResError as `check` does."""
        self.check(resume=False)
        require("matplotlib", CURVES)
        self._made = make_folders(self.path)
        self._remove_leftovers()

    def abandon(self) -> None:
        """Undo `claim` for a run that failed before its first step, so that the same command can be tried again."""
        if self._made is not None:
            self.last.unlink(missing_ok=True)
            remove_folders(self._made)

    def load(self) -> Checkpoint:
        """The checkpoint to resume from. Raises MiniResError as `check` does."""
        self.check(resume=True)
        require("matplotlib", CURVES)
        self._remove_leftovers()
        return load_checkpoint(self.last)

    def _remove_leftovers(self) -> None:
        for file in self._files:
            remove_leftovers(file)

    def save(self, checkpoint: Checkpoint, best: bool) -> None:
        """Write last.safetensors, preceded by best.safetensors if `best`.

        The order matters: a resumed run does not repeat an epoch that last.safetensors contains.
        """
        if best:
            checkpoint.save(self.best)
        checkpoint.save(self.last)

    def write_history(self, history: Sequence[EpochRecord], over: bool, hurry: bool = False) -> None:
        """Rewrite log.jsonl; curves.png too, if it is 30 s old or the run is over, but not in a `hurry`."""
        write_log(self.log, history)
        now = time.monotonic()
        if self.draws_curves and history and not hurry and (over or now - self._drawn_at >= SECONDS_BETWEEN_DRAWINGS):
            draw_curves(self.curves, history)
            self._drawn_at = now
