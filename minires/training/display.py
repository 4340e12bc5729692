"""What a run shows: bars on a terminal, plain lines in a log, nothing if told so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from minires.training.records import EpochRecord, Totals

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

HEADER = (
    f"{'epoch':>9}  {'loss':>7} {'acc %':>6}  {'val loss':>8} {'acc %':>6}  {'lr':>8}  {'images/s':>8} {'seconds':>8}"
)


def row(record: EpochRecord, epochs: int) -> str:
    """An epoch in one line, under HEADER."""
    validation = f"{'-':>8} {'-':>6}"
    if record.validation_loss is not None:
        validation = f"{record.validation_loss:8.4f} {record.validation_accuracy:6.2f}"
    return (
        f"{f'{record.epoch}/{epochs}':>9}  {record.train_loss:7.4f} {record.train_accuracy:6.2f}  {validation}  "
        f"{record.learning_rate:8.2g}  {record.images_per_second:8.0f} {record.seconds:8.1f}"
    )


class Display:
    """A table that grows by a line an epoch, on standard output; on a terminal, with two bars below it.

    One bar is the epoch's, the other the whole run's; each with the time left, and beside them the figures so far.
    """

    def __init__(self, shown: bool, epochs: int, steps: int) -> None:
        self.shown, self.epochs, self.steps = shown, epochs, steps
        self.bars: Progress | None = None
        if shown:
            from rich.console import Console

            self.console = Console(highlight=False, soft_wrap=True)

    def __enter__(self) -> Display:
        if self.shown and self.console.is_terminal:
            self.bars = _two_bars(self.console)
            self.epoch_bar = self.bars.add_task("epoch", total=self.steps, figures="")
            self.run_bar = self.bars.add_task("all epochs", total=self.epochs * self.steps, figures="")
            self.bars.start()
        self.note(HEADER)
        return self

    def resumed(self, history: Sequence[EpochRecord], epoch: int, step: int, *, over: bool) -> None:
        """The run goes on after `step` batches of epoch number `epoch` (from 0), unless it is over."""
        for record in history:
            self.epoch(record)
        self.note("this run is complete" if over else f"resumed after step {step} of epoch {epoch + 1}")
        if self.bars is not None:
            self.bars.reset(self.run_bar, completed=epoch * self.steps + step)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bars is not None:
            self.bars.stop()
            self.bars = None

    def note(self, text: str) -> None:
        """A line above the bars."""
        if self.shown:
            self.console.print(text, markup=False)

    def training(self, epoch: int, step: int, totals: Totals) -> None:
        """After `step` batches of epoch number `epoch` (from 0)."""
        if self.bars is None:
            return
        learned = f"loss {totals.mean_loss:.4f}  acc {totals.accuracy:.2f} %"
        pace = f"lr {totals.learning_rate:.2g}  {totals.images_per_second:.0f} images/s"
        name = f"epoch {epoch + 1}/{self.epochs}"
        self.bars.update(self.epoch_bar, description=name, completed=step, total=self.steps, figures=learned)
        self.bars.update(self.run_bar, completed=epoch * self.steps + step, figures=pace)

    def validating(self, batches: int, total: int) -> None:
        """After so many batches of the validation set."""
        if self.bars is not None:
            self.bars.update(self.epoch_bar, description="validating", completed=batches, total=total)

    def epoch(self, record: EpochRecord) -> None:
        """An epoch is over."""
        self.note(row(record, self.epochs))


def _two_bars(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description:>12}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
        transient=True,
        refresh_per_second=5,
    )


@contextmanager
def bar_over(total: int, description: str, *, shown: bool) -> Iterator[Callable[[], None]]:
    """A bar on standard error, where a terminal is; yields the function that moves it by one."""
    if not shown:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(description, total=total)
        yield lambda: bars.advance(task)
