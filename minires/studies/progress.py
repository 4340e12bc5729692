"""The progress of a study: one bar over all its tasks and the time left; a line for each task that ends."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from minires.studies.form import Study, Task
from minires.terminal import console, is_interactive

if TYPE_CHECKING:
    from rich.console import Console


SECONDS_BETWEEN_LINES = 120.0  # where there is no terminal for a bar


class Progress:
    """Shows how much of a study is done. It may be told from several threads.

    The time left assumes that the rest costs as much time a unit of `Task.cost` as what was done in this run.

    Args:
        shown: False prints nothing.
        study: The study.
        tasks: All tasks of the run.
        left: Those that have no result yet.
    """

    def __init__(self, shown: bool, study: Study, tasks: list[Task], left: list[Task]) -> None:
        self.study, self.tasks, self.left = study, tasks, left
        self.total = sum(task.cost for task in left) or 1.0
        self.shares: dict[str, float] = {}
        self.started = self._printed_at = time.monotonic()
        self._began: dict[str, float] = {}
        self._lock = threading.Lock()
        self.console: Console | None = None
        self.bar: Any = None
        if shown:
            with suppress(ModuleNotFoundError):
                self.console = console(highlight=False, soft_wrap=True)

    def __enter__(self) -> Progress:
        done = len(self.tasks) - len(self.left)
        again = f", {done} of them done before" if done else ""
        self._print(f"{self.study.name}: {self.study.question} {len(self.tasks)} tasks{again}")
        if self.console is not None and is_interactive(sys.stdout) and self.left:
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.description}"))
            self.bar = Bar(*columns, console=self.console)
            self.line = self.bar.add_task("", total=self.total)
            self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def start(self, task: Task) -> None:
        """A task begins, perhaps where a kill has interrupted it."""
        self._began[task.name] = time.monotonic()
        self.update(task, 0.0)

    def update(self, task: Task, share: float) -> None:
        """`share` of a task is done, from 0 to 1."""
        with self._lock:
            if share < self.shares.get(task.name, 0.0):
                return
            self.shares[task.name] = share
            if self.bar is not None:
                busy = " ".join(name for name, each in self.shares.items() if each < 1)
                self.bar.update(self.line, completed=self.done, description=f"{self._left()}  {busy}")
            elif 0 < share < 1 and time.monotonic() - self._printed_at >= SECONDS_BETWEEN_LINES:
                self._print(f"           {100 * self.done / self.total:.0f} % done   {self._left()}")

    def finish(self, task: Task) -> None:
        """A task has ended."""
        self.update(task, 1.0)
        ended = sum(share >= 1 for share in self.shares.values()) + len(self.tasks) - len(self.left)
        seconds = time.monotonic() - self._began[task.name]
        self._print(f"{ended:>4}/{len(self.tasks)}  {task.name:<40} {seconds:7.1f} s   {self._left()}")

    @property
    def done(self) -> float:
        """How much of the cost of all tasks is done."""
        costs = {task.name: task.cost for task in self.left}
        return sum(costs[name] * share for name, share in self.shares.items())

    def _left(self) -> str:
        """The time left as text; empty until something is done, and at the end."""
        done = self.done
        if done <= 0 or done >= self.total * (1 - 1e-9):
            return ""
        return f"{duration((self.total - done) * (time.monotonic() - self.started) / done)} left"

    def _print(self, text: str) -> None:
        self._printed_at = time.monotonic()
        if self.console is not None:
            self.console.print(text, markup=False)


def duration(seconds: float) -> str:
    """ "45 s", "12 min" or "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
