"""`minires lab`: classic mistakes to find, and a mark for a student's own op."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minires.cli.shared import Json, echo, example, print_json

commands = typer.Typer()

lab = typer.Typer(
    add_completion=False, rich_markup_mode=None, help="Break the engine on purpose, and see what notices."
)
commands.add_typer(lab, name="lab")


@lab.callback(invoke_without_command=True)
def mistakes(context: typer.Context) -> None:
    """Break the engine on purpose, and see what notices.

    Without a command it lists the mistakes; docs/lab has an exercise on each.
    """
    if context.invoked_subcommand is None:
        from minires.lab.commands import list_mistakes

        echo(list_mistakes())


@lab.command(epilog=example("minires lab show overwrite-instead-of-accumulate"))
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The mistake's name, as `minires lab` lists it.")],
) -> None:
    """Show a mistake's code, its symptom and the check that notices."""
    from minires.lab.commands import describe_mistake

    echo(describe_mistake(name))


@lab.command(epilog=example("minires lab grade my_relu.py"))
def grade(
    file: Annotated[Path, typer.Argument(metavar="FILE.py", help="Has a Function with the name of an op, as ReLU.")],
    time_limit: Annotated[float, typer.Option(min=1.0, help="Seconds the file may take.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Mark a student's own op: its values, its gradient, and how sharp the gradient check was.

    The file runs in a process of its own. Exit code 1 where the mark is not full.
    """
    from minires.lab import FULL_MARK
    from minires.lab import grade as graded

    found = graded(file, time_limit)
    if as_json:
        print_json(found.as_dict())
    else:
        echo(str(found))
    if found.mark < FULL_MARK:
        raise typer.Exit(1)
