"""The command that shows the documentation, which an installation brings along."""

from __future__ import annotations

from pathlib import Path

import click

from minires.cli.shared import example
from minires.errors import MiniResError

_PACKAGE = Path(__file__).resolve().parent.parent
PLACES = (_PACKAGE / "docs", _PACKAGE.parent / "docs")  # in an installation; in a checkout


def pages() -> dict[str, Path]:
    """{name: file} of the pages, such as "gradcheck" and "lab/README". Raises MiniResError if there are none."""
    for folder in PLACES:
        found = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.md"))}
        if found:
            return found
    raise MiniResError(
        f"the documentation is missing, looked for in {PLACES[0]} and {PLACES[1]}: install MiniRes again"
    )


@click.command(epilog=example("minires docs gradcheck"))
@click.argument("page", default="", metavar="[PAGE]")
def docs(page: str) -> None:
    """Show the documentation.

    Without PAGE, the pages are listed.
    """
    found = pages()
    if page:
        if page not in found:
            raise MiniResError(f"no page is called {page!r}; there are {', '.join(found)}")
        click.echo(found[page].read_text("utf-8"))
        return
    for name, path in found.items():
        with path.open(encoding="utf-8") as file:  # a lesson has settings before its title
            title = next((line for line in file if line.startswith("# ")), "").lstrip("# ").strip()
        click.echo(f"{name:<20} {title}")
    click.echo(f"\nminires docs PAGE prints one; they are in {next(iter(found.values())).parent}")
