"""`minires lab`: classic mistakes to find, and a mark for a student's own op."""

from __future__ import annotations

from pathlib import Path

import click

from minires.cli.shared import as_json_option, echo, example, print_json


@click.group(invoke_without_command=True)
@click.pass_context
def lab(context: click.Context) -> None:
    """Break the engine on purpose, and see what notices.

    Without a command it lists the mistakes; `minires docs lab/NAME` prints the exercise on one.
    """
    if context.invoked_subcommand is None:
        from minires.lab.commands import list_mistakes

        echo(list_mistakes())


@lab.command(epilog=example("minires lab show overwrite-instead-of-accumulate"))
@click.argument("name")
def show(name: str) -> None:
    """Show a mistake's code, its symptom and the check that notices.

    NAME is the mistake's name, as `minires lab` lists it.
    """
    from minires.lab.commands import describe_mistake

    echo(describe_mistake(name))


@lab.command(epilog=example("minires lab grade my_relu.py"))
@click.argument("file", metavar="FILE.py", type=click.Path(path_type=Path))
@click.option("--time-limit", type=click.FloatRange(1.0), default=60.0, help="Seconds the file may take.")
@as_json_option
def grade(file: Path, time_limit: float, as_json: bool) -> None:
    """Mark a student's own op: its values, its gradient, and how sharp the gradient check was.

    FILE.py has a Function with the name of an op, such as ReLU. It runs in a process of its own. Exit code 1 where the
    mark is not full.
    """
    from minires.lab import FULL_MARK
    from minires.lab import grade as graded

    found = graded(file, time_limit)
    if as_json:
        print_json(found.as_dict())
    else:
        echo(str(found))
    if found.mark < FULL_MARK:
        raise click.exceptions.Exit(1)
