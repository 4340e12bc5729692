"""The folder of a run: what lies in it, and that no other run's is overwritten."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from minires.errors import MiniResError
from minires.training.checkpoint import Checkpoint, load_checkpoint
from minires.training.journal import draw_curves, write_log
from minires.training.records import EpochRecord

SECONDS_BETWEEN_DRAWINGS = 30.0  # a drawing takes half a second, an epoch on small data hardly more


def make_folders(path: Path) -> list[Path]:
    """Make `path` and the folders above it; returns those that were missing, the innermost first.

    Raises MiniResError where the file system refuses.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MiniResError(f"cannot make the folder {path}: {error.strerror}") from error
    return missing


def remove_folders(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first, as far as they are empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


class RunFolder:
    """Paths, and what is done with the files there.

    last: the checkpoint to resume from. best: the one of the highest validation accuracy. log: log.jsonl.
    curves: curves.png.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last, self.best = path / "last.safetensors", path / "best.safetensors"
        self.log, self.curves = path / "log.jsonl", path / "curves.png"
        self._drawn_at = time.monotonic()
        self._made: list[Path] | None = None  # by `claim`; None where it was not called

    def check(self, resume: bool) -> None:
        """Raise MiniResError if there is a run in the folder already, or with `resume` if there is none."""
        if resume:
            if not self.last.is_file():
                raise MiniResError(f"there is no run to resume in {self.path} ({self.last.name} is missing): start one")
            return
        found = [file.name for file in (self.last, self.best, self.log, self.curves) if file.exists()]
        if found:
            raise MiniResError(
                f"{self.path} already holds a run ({', '.join(found)}), and nothing is overwritten: go on with it "
                "(--resume, or fit(resume=True)), or choose another folder"
            )

    def claim(self) -> None:
        """Make the folder, for a run that starts. Raises MiniResError as `check` does."""
        self.check(resume=False)
        self._made = make_folders(self.path)
        self._sweep()

    def abandon(self) -> None:
        """Undo `claim`: the run came to nothing, and its first checkpoint would only be in the way of the next try."""
        if self._made is not None:
            self.last.unlink(missing_ok=True)
            remove_folders(self._made)

    def load(self) -> Checkpoint:
        """The checkpoint to go on from. Raises MiniResError as `check` does."""
        self.check(resume=True)
        self._sweep()
        return load_checkpoint(self.last)

    def _sweep(self) -> None:
        """Remove the temporary files of a writer that was killed."""
        for file in (self.last, self.best, self.log, self.curves):
            for leftover in self.path.glob(f".{file.name}.*.part"):
                leftover.unlink(missing_ok=True)

    def save(self, checkpoint: Checkpoint, best: bool) -> None:
        """Write last.safetensors, and before it best.safetensors if it is.

        In this order, because an epoch that last.safetensors knows of is not done again.
        """
        if best:
            checkpoint.save(self.best)
        checkpoint.save(self.last)

    def write_journal(self, history: Sequence[EpochRecord], over: bool) -> None:
        """Bring log.jsonl up to date; curves.png too if it has not been for a while, or the run is over."""
        write_log(self.log, history)
        now = time.monotonic()
        if history and (over or now - self._drawn_at >= SECONDS_BETWEEN_DRAWINGS):
            draw_curves(self.curves, history)
            self._drawn_at = now
