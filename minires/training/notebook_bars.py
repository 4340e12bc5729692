"""Progress bars in a notebook: HTML that changes while a cell runs, and is gone when it ends.

rich and tqdm have such bars with ipywidgets, which a fresh Jupyter lacks. What is needed here is a display that can be
replaced, and that is a part of every kernel. The methods are those of `rich.progress.Progress` that are used here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

PER_SECOND = 5  # how often the bars change at most


@dataclass(frozen=True)
class _Bar:
    description: str
    total: int
    metrics: str = ""
    completed: int = 0
    first: int = 0  # what was completed when it began
    began: float = field(default_factory=time.monotonic)


class NotebookBars:
    """Bars one below the other, each with its description, count, time left and metrics."""

    def __init__(self) -> None:
        self.bars: list[_Bar] = []
        self.display: Any = None
        self.shown_at = 0.0

    def add_task(self, description: str, total: int, metrics: str = "") -> int:
        """Add a bar; returns its number."""
        self.bars.append(_Bar(description, total, metrics))
        return len(self.bars) - 1

    def start(self) -> None:
        """Show the bars below what the cell has printed."""
        from IPython.display import HTML, display

        self.display = display(HTML(self.html()), display_id=True)

    def update(self, number: int, **changes: Any) -> None:
        """Change a bar; it begins anew, for the time left, where it moves backwards."""
        before = self.bars[number]
        bar = replace(before, **changes)
        if bar.completed < before.completed:
            bar = replace(bar, first=bar.completed, began=time.monotonic())
        self.bars[number] = bar
        if time.monotonic() - self.shown_at > 1 / PER_SECOND:
            self.refresh()

    def reset(self, number: int, completed: int) -> None:
        """Let a bar begin at `completed`."""
        self.update(number, completed=completed, first=completed, began=time.monotonic())

    def refresh(self) -> None:
        """Show the bars as they are now."""
        if self.display is not None:
            from IPython.display import HTML

            self.display.update(HTML(self.html()))
            self.shown_at = time.monotonic()

    def stop(self) -> None:
        """Remove the bars."""
        if self.display is not None:
            from IPython.display import HTML

            self.display.update(HTML(""))
            self.display = None

    def html(self) -> str:
        """The bars as HTML."""
        return f'<div style="font-family:monospace">{"".join(map(_row, self.bars))}</div>'


def _row(bar: _Bar) -> str:
    done, total, seconds = bar.completed, max(bar.total, 1), time.monotonic() - bar.began
    each = seconds / max(done - bar.first, 1)
    left = f"{each * (total - done):.0f} s left" if done > bar.first and seconds > 1 else ""
    text = "  ".join(filter(None, (f"{done}/{bar.total}", left, bar.metrics)))
    return (
        f"<div>{escape(bar.description)} "
        f'<progress value="{done}" max="{total}" style="width:12em"></progress> {escape(text)}</div>'
    )
