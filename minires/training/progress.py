"""The progress of a run: bars on a terminal or in a notebook, plain lines in a log, nothing when switched off."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from minires.terminal import console, is_interactive, is_notebook
from minires.training.metrics import EpochRecord, Totals

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

HEADER = (
    f"{'epoch':>9}  {'loss':>7} {'acc %':>6}  {'val loss':>8} {'acc %':>6}  {'lr':>8}  {'images/s':>8} {'seconds':>8}"
)


def format_row(record: EpochRecord, epochs: int) -> str:
    """One line for an epoch, aligned with HEADER; metrics follow after it, of training and (validation)."""
    loss, accuracy = (
        "-" if value is None else f"{value:.{digits}f}"
        for value, digits in ((record.validation_loss, 4), (record.validation_accuracy, 2))
    )
    train_accuracy = "-" if record.train_accuracy is None else f"{record.train_accuracy:.2f}"
    validated = {name: f" ({value:.4g})" for name, value in record.validation_metrics.items()}
    metrics = [f"{name} {value:.4g}{validated.get(name, '')}" for name, value in record.train_metrics.items()]
    return "  ".join(
        [
            f"{f'{record.epoch}/{epochs}':>9}  {record.train_loss:7.4f} {train_accuracy:>6}  {loss:>8} {accuracy:>6}  "
            f"{record.learning_rate:8.2g}  {record.images_per_second:8.0f} {record.seconds:8.1f}",
            *metrics,
        ]
    )


class ProgressDisplay:
    """Prints a table on standard output, one line an epoch; on a terminal or in a notebook, two progress bars below it.

    One bar is for the epoch and one for the whole run. Each shows the time left and the current metrics.

    Args:
        shown: False prints nothing.
        epochs: the number of epochs of the run.
        steps: the number of steps per epoch.
    """

    def __init__(self, shown: bool, epochs: int, steps: int) -> None:
        self.shown, self.epochs, self.steps = shown, epochs, steps
        self.bars: Any = None  # rich's Progress, or NotebookBars with the same methods
        self.console: Console | None = None
        if shown and not is_notebook():  # there, rich would show each line as a box of its own
            with suppress(ModuleNotFoundError):  # without rich there are the lines, but no bars
                self.console = console(highlight=False, soft_wrap=True)

    def __enter__(self) -> ProgressDisplay:
        if self.shown and is_notebook():
            from minires.training.notebook_bars import NotebookBars

            self.bars = NotebookBars()
        elif self.console is not None and is_interactive(self.console.file):
            self.bars = _two_bars(self.console)
        if self.bars is not None:
            self.epoch_bar = self.bars.add_task("epoch", total=self.steps, metrics="")
            self.run_bar = self.bars.add_task("all epochs", total=self.epochs * self.steps, metrics="")
            self.bars.start()
        self.print(HEADER)
        return self

    def show_resumed(self, history: Sequence[EpochRecord], epoch: int, step: int, *, over: bool) -> None:
        """Show a resumed run: its finished epochs, and the batch `step` of epoch `epoch` (from 0) where it continues.

        `over`: the run is complete, and does not continue.
        """
        for record in history:
            self.show_epoch(record)
        self.print("this run is complete" if over else f"resumed after step {step} of epoch {epoch + 1}")
        if self.bars is not None:
            self.bars.reset(self.run_bar, completed=epoch * self.steps + step)

    def __exit__(self, *exception: object) -> None:
        if self.bars is not None:
            self.bars.stop()
            self.bars = None

    def print(self, text: str) -> None:
        """Print a line above the bars."""
        if self.console is not None:
            self.console.print(text, markup=False)
        elif self.shown:
            sys.stdout.write(f"{text}\n")

    def show_step(self, epoch: int, step: int, totals: Totals) -> None:
        """Update the bars after `step` batches of epoch `epoch` (from 0)."""
        if self.bars is None:
            return
        metrics = f"loss {totals.mean_loss:.4f}" + (
            f"  acc {totals.accuracy:.2f} %" if totals.accuracy is not None else ""
        )
        pace = f"lr {totals.learning_rate:.2g}  {totals.images_per_second:.0f} images/s"
        name = f"epoch {epoch + 1}/{self.epochs}"
        self.bars.update(self.epoch_bar, description=name, completed=step, total=self.steps, metrics=metrics)
        self.bars.update(self.run_bar, completed=epoch * self.steps + step, metrics=pace)

    def show_validation(self, batches: int, total: int) -> None:
        """Update the epoch's bar after `batches` of the `total` batches of the validation set."""
        if self.bars is not None:
            self.bars.update(self.epoch_bar, description="validating", completed=batches, total=total)

    def show_epoch(self, record: EpochRecord) -> None:
        """Print the line of a finished epoch."""
        self.print(format_row(record, self.epochs))


def _two_bars(screen: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description:>12}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[metrics]}"),
        console=screen,
        transient=True,
        refresh_per_second=5,
    )


@contextmanager
def progress_bar(description: str, *, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A bar in a notebook, or on standard error if that is a terminal and rich is there.

    Yields `update(done, total)`, which moves it.
    """
    if shown and is_notebook():
        from minires.training.notebook_bars import NotebookBars

        bar = NotebookBars()
        number = bar.add_task(description, total=1)
        bar.start()
        try:
            yield lambda done, total: bar.update(number, completed=done, total=total)
        finally:
            bar.stop()
        return
    if not (shown and is_interactive(sys.stderr) and find_spec("rich")):
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bars:
        task = bars.add_task(description, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
