"""The progress messages of the demo in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from minires.demo.check import ArrayCheck, BlockCheck
from minires.demo.networks import Trained
from minires.extras import require
from minires.terminal import console

if TYPE_CHECKING:
    from rich.console import Console


class ConsoleReporter:
    """Prints progress and results to standard output, or nothing if not `shown`."""

    def __init__(self, shown: bool) -> None:
        self.console: Console | None = None
        if shown:
            require("rich", "the demo's output")
            self.console = console(highlight=False)

    def say(self, text: str) -> None:
        """Print a line in rich's markup."""
        if self.console is not None:
            self.console.print(text)

    def checks(self, checks: tuple[BlockCheck, ...]) -> None:
        """Print the tables of compared gradients."""
        if self.console is None:
            return
        from rich.table import Table

        for check in checks:
            headings = ("gradient of", "shape", "checked", "largest error", "verdict")
            table = Table(*headings, title=check.title, title_justify="left")
            for row in check.arrays:
                table.add_row(*_cells(row), "[green]agrees[/]" if row.passed else "[bold red]DIFFERS[/]")
            if (wrong := check.negative_control) is not None:
                table.add_section()
                table.add_row(*_cells(wrong), "[bold red]NOT CAUGHT[/]" if wrong.passed else "[green]caught[/]")
            self.console.print(table)

    def norms(self, residual: Trained, plain: Trained) -> None:
        """Print the gradient's norm at some of the convolutions, and the ratio of the first to the last."""
        if self.console is None:
            return
        from rich.table import Table

        table = Table("convolution", title="‖∂L/∂W‖ before training", title_justify="left")
        for network in (residual, plain):
            table.add_column(network.name, justify="right")
        count = len(residual.gradient_norms)
        chosen = sorted({round(i * (count - 1) / 6) for i in range(7)})
        for i in chosen:
            place = " (next to the image)" if i == 0 else " (next to the classifier)" if i == count - 1 else ""
            norms = (f"{network.gradient_norms[i]:.3g}" for network in (residual, plain))
            table.add_row(f"{i + 1}{place}", *norms)
        table.add_section()
        table.add_row("first / last", *(f"{network.growth:.3g}" for network in (residual, plain)))
        self.console.print(table)

    def results(self, residual: Trained, plain: Trained, report: Path, seconds: float) -> None:
        """Print the accuracy of both networks, and where the report is."""
        for network, what in ((residual, "with shortcuts"), (plain, "without")):
            name = f"{network.name}, {what}:"
            self.say(
                f"{name:26} [bold]{network.accuracy:.2f} %[/] of the held-out digits ({network.correct} of {network.n})"
            )
        if self.console is not None:
            self.console.print(f"The report, written in {seconds:.0f} seconds: {report}", soft_wrap=True, markup=False)


def _cells(row: ArrayCheck) -> tuple[str, str, str, str]:
    checked = f"{row.directions} direction{'s' * (row.directions > 1)}" if row.directions else "each number"
    return row.name, "×".join(map(str, row.shape)), checked, f"{row.error:.1e}"
