"""What the demo says in the terminal while it works."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from minires.demo.check import BlockCheck
from minires.demo.networks import Trained

if TYPE_CHECKING:
    from rich.console import Console


class Narrator:
    """Writes to standard output, unless told not to."""

    def __init__(self, shown: bool) -> None:
        self.console: Console | None = None
        if shown:
            from rich.console import Console

            self.console = Console(highlight=False)

    def say(self, text: str) -> None:
        """A line, in rich's markup."""
        if self.console is not None:
            self.console.print(text)

    def checks(self, checks: tuple[BlockCheck, ...]) -> None:
        """The table of compared gradients."""
        if self.console is None:
            return
        from rich.table import Table

        for check in checks:
            table = Table("gradient of", "shape", "largest error", "verdict", title=check.title, title_justify="left")
            for row in check.arrays:
                verdict = "[green]agrees[/]" if row.passed else "[bold red]DIFFERS[/]"
                table.add_row(row.name, "×".join(map(str, row.shape)), f"{row.error:.1e}", verdict)
            if (wrong := check.forgetful) is not None:
                verdict = "[bold red]NOT CAUGHT[/]" if wrong.passed else "[green]caught[/]"
                table.add_section()
                table.add_row(wrong.name, "×".join(map(str, wrong.shape)), f"{wrong.error:.1e}", verdict)
            self.console.print(table)

    def norms(self, residual: Trained, plain: Trained) -> None:
        """The gradient's norm at some of the convolutions, and what happens to it from the last to the first."""
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
        """The end: how both did, and where the page is."""
        for network, what in ((residual, "with shortcuts"), (plain, "without")):
            name = f"{network.name}, {what}:"
            self.say(
                f"{name:26} [bold]{network.accuracy:.2f} %[/] of the held-out digits ({network.correct} of {network.n})"
            )
        if self.console is not None:
            self.console.print(f"The report, written in {seconds:.0f} seconds: {report}", soft_wrap=True, markup=False)
