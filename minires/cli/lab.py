"""`minires lab`: classic mistakes to find, and a mark for a student's own op."""

from __future__ import annotations

from pathlib import Path

import click

from minires.cli.shared import as_json_option, echo, example, print_json
from minires.errors import MiniResError


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


@lab.command(epilog=example("minires lab grade my_relu.py\n  minires lab grade --all handed-in --csv marks.csv"))
@click.argument("file", metavar="[FILE.py]", type=click.Path(path_type=Path), required=False)
@click.option("--all", "folder", metavar="FOLDER", type=click.Path(path_type=Path), help="Mark every file of a class.")
@click.option("--csv", "csv_file", metavar="FILE", type=click.Path(path_type=Path), help="With --all: write a table.")
@click.option("--jobs", type=click.IntRange(1), help="With --all: how many at once; by default one a processor.")
@click.option("--time-limit", type=click.FloatRange(1.0), default=60.0, help="Seconds a file may take.")
@as_json_option
def grade(
    file: Path | None, folder: Path | None, csv_file: Path | None, jobs: int | None, time_limit: float, as_json: bool
) -> None:
    """Mark a student's own op: its values, its gradient, and how sharp the gradient check was.

    FILE.py has a Function with the name of an op, such as ReLU. It runs in a process of its own. Exit code 1 where the
    mark is not full. With --all, every Python file in FOLDER and its subfolders is marked, and the exit code is 0.
    """
    if (file is None) == (folder is None):
        raise MiniResError("lab grade: name one FILE.py, or a whole folder with --all FOLDER")
    if folder is not None:
        _grade_all(folder, csv_file, jobs, time_limit, as_json)
        return
    if csv_file is not None or jobs is not None:
        raise MiniResError("lab grade: --csv and --jobs go with --all FOLDER")
    from minires.lab import grade as graded

    assert file is not None
    found = graded(file, time_limit)
    if as_json:
        print_json(found.as_dict())
    else:
        echo(str(found))
    if not found.is_full:
        raise click.exceptions.Exit(1)


def _grade_all(folder: Path, csv_file: Path | None, jobs: int | None, time_limit: float, as_json: bool) -> None:
    from minires.lab import marking
    from minires.training.progress import progress_bar

    if csv_file is not None and not csv_file.resolve().parent.is_dir():
        raise MiniResError(f"lab grade: there is no folder for {csv_file}")  # before the work, not after it
    with progress_bar("grading") as update:
        grades = marking.grade_all(folder, time_limit, jobs, update)
    if csv_file is not None:
        marking.write_csv(grades, folder, csv_file)
    if as_json:
        print_json([found.as_dict() for found in grades])
    else:
        echo(marking.as_table(grades, folder))
