"""`minires study`: what the papers claim, as experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from minires.cli import shared
from minires.cli.distributed import communicator, failing_together
from minires.cli.shared import echo, example
from minires.errors import MiniResError


@click.command(epilog=example("minires study paths --out study-paths"))
@click.argument("name", default="", metavar="[NAME]")
@click.option("--preset", metavar="quick|full", default="quick", help="Minutes, or hours on CIFAR-10.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder for results.json, report.html and figures; default: study-NAME.",
)
@click.option("--seeds", type=click.IntRange(1), help="Runs of each configuration; default: the preset's.")
@click.option("--only", multiple=True, metavar="CONFIG", help="Run this configuration alone; may be repeated.")
@click.option("--resume", is_flag=True, help="Continue the study in --out, or start it there.")
@click.option("--jobs", type=click.IntRange(1), help="Processes at a time; default: one for each core, at most 8.")
@click.option("--farm", is_flag=True, help="Deal the runs out to the processes that mpiexec or srun has started.")
@click.option("--show", is_flag=True, help="Print the claims of the last run in --out.")
@shared.data_dir_option
@click.pass_context
def study(
    context: click.Context,
    /,
    *,
    name: str,
    preset: str,
    out: Path | None,
    seeds: int | None,
    only: tuple[str, ...],
    resume: bool,
    jobs: int | None,
    farm: bool,
    show: bool,
    data_dir: Path | None,
) -> None:
    """Test a claim about residual networks by experiment.

    NAME is a study; without it they are listed. A study trains networks, measures them, and writes a report with a
    verdict on each claim. After a kill at any moment, --resume continues it.
    """
    from minires import studies
    from minires.inspection import machine
    from minires.studies.listing import claims_text, list_studies

    if not name:
        options = [parameter for parameter in context.params if parameter != "name"]
        shared.refuse_options(context, options, "no study is named")
        echo(list_studies())
        return
    chosen = studies.get(name)
    folder = Path(f"study-{name}") if out is None else out
    if show:
        shared.refuse_options(
            context, ["preset", "seeds", "only", "resume", "jobs", "farm", "data_dir"], "--show runs nothing"
        )
        echo(claims_text(chosen, folder))
        return
    if folder.exists() and not folder.is_dir():
        raise MiniResError(f"{folder} is a file: name a folder with --out")
    how: dict[str, Any] = {
        "preset": preset, "out": folder, "seeds": seeds, "only": only, "resume": resume, "data_dir": data_dir
    }  # fmt: skip
    if farm:
        shared.refuse_options(context, ["jobs"], "with --farm each process that mpiexec has started works")
        if not _farmed(name, how):
            return
    else:
        communicator(False, "study … --farm")
        studies.run(name, jobs=min(machine.cores(), 8) if jobs is None else jobs, **how)
    echo(claims_text(chosen, folder))
    echo(f"The report: {folder / 'report.html'}")


def _farmed(name: str, options: dict[str, Any]) -> bool:
    """Run a study on the ranks of this job; returns whether this is rank 0, which has dealt out its tasks."""
    from minires import studies
    from minires.studies.farm import farming

    comm = communicator(True, "study … --farm")
    assert comm is not None
    with failing_together(comm), farming(comm) as executor:
        if executor is None:
            return False
        studies.run(name, jobs=comm.size - 1, executor=executor, **options)
    return True
