"""The command that starts others in several processes: launch. And how `train` runs in one of them."""

from __future__ import annotations

import signal
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from minires.cli.shared import example
from minires.errors import MiniResError

if TYPE_CHECKING:
    from minires.distributed import Communicator


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=example("minires launch -n 4 --restarts 2 train --model resnet20 --data cifar10 --out runs/resnet20"),
)
@click.option("-n", "--ranks", type=click.IntRange(1), required=True, help="Number of processes.")
@click.option("--restarts", type=click.IntRange(0), default=0, help="How often to go on after a failure.")
@click.option(
    "--hostfile",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Machines to start on, one a line, for mpiexec.",
)
@click.option("--mpiexec", metavar="PATH", help="The mpiexec to use; default: that of this environment, or the PATH's.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def launch(
    context: click.Context,
    /,
    *,
    ranks: int,
    restarts: int,
    hostfile: Path | None,
    mpiexec: str | None,
    command: tuple[str, ...],
) -> None:
    """Start training, or your own program, in several processes.

    COMMAND is `train` with its options, or any other command: python program.py. If a rank fails, all end; --restarts
    starts them again, and `train` then resumes from its last checkpoint.
    """
    from minires.distributed import launch as launching

    context.exit(launching.launch(command, ranks=ranks, restarts=restarts, hostfile=hostfile, mpiexec=mpiexec))


def communicator(is_distributed: bool, command: str = "train … --distributed") -> Communicator | None:
    """The communicator of a command with an option for several processes, the last word of `command`; else None.

    Raises MiniResError where the option and the number of processes do not fit each other.
    """
    from minires.distributed.start import init, launched_ranks

    ranks, option = launched_ranks(), command.split()[-1]
    if not is_distributed:
        if ranks > 1:
            raise MiniResError(
                f"{ranks} processes were started, and each would do the same work: give {option}, or start one"
            )
        return None
    if ranks == 1:
        raise MiniResError(
            f"{option} needs several processes: mpiexec -n 4 minires {command}; minires launch -n 4 train … adds "
            "--distributed itself"
        )
    comm = init()
    if comm.rank:
        warnings.simplefilter("ignore")  # rank 0 shows them
    return comm


@contextmanager
def failing_together(comm: Communicator | None) -> Iterator[None]:
    """A block whose errors end all ranks: one line for what the user can correct, otherwise the traceback."""
    if comm is None:
        yield
        return
    from minires.distributed.start import fail

    try:
        yield
    except KeyboardInterrupt as stop:  # a Trainer has stopped all ranks after the same step, and rank 0 writes its log
        fail(comm, str(stop) or "interrupted", 128 + getattr(stop, "signal", signal.SIGINT), later=10.0)
    except click.exceptions.Exit:
        raise
    except (MiniResError, MemoryError, OSError) as error:
        fail(comm, " ".join(str(error).split()) or type(error).__name__, 2)
    except BaseException as error:
        lines = "".join(traceback.format_exception(error))
        fail(comm, f"this rank has failed, and all ranks end\n{lines.rstrip()}", 1)
