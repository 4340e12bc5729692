"""The command line: parses options and prints results. Everything is computed in the packages below.

Every error that the user can correct ends with one line on standard error and exit code 2, Ctrl-C with exit code 130,
SIGTERM in training with 143. MINIRES_DEBUG=1 shows the traceback instead.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from minires.cli import gradients, lab, machine, networks, training
from minires.errors import MiniResError
from minires.weights.messages import printable

HELP = "Residual networks on NumPy, small enough to read."
app = typer.Typer(add_completion=False, rich_markup_mode=None, help=HELP)  # rich would cut off long options
for _module in (training, networks, gradients, machine, lab):  # the order of commands in the help
    app.add_typer(_module.commands)

MAX_ERROR_LENGTH = 600  # characters of an error's line; a longer one loses its middle


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `minires` with these arguments (by default those of the process) and return the exit code."""
    try:
        _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except typer.Exit as exit_:
        return int(exit_.exit_code)
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "interrupted", 128 + getattr(stop, "signal", signal.SIGINT))
    except MiniResError as error:
        return _fail(str(error))
    except MemoryError as error:
        return _fail(f"not enough memory ({error}): try a smaller batch or image")
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's usage errors have it, in every version
            raise
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "minires"
        return _fail(f"{error.format_message()} (see {command} --help)")
    return 0


def _run(arguments: list[str]) -> None:
    command = typer.main.get_command(app)
    with command.make_context("minires", arguments) as context:
        command.invoke(context)


def _fail(message: str, code: int = 2) -> int:
    if os.environ.get("MINIRES_DEBUG"):
        raise
    line = printable(" ".join(message.split()))
    if len(line) > MAX_ERROR_LENGTH:
        line = f"{line[: MAX_ERROR_LENGTH - 200]} … {line[-200:]}"
    sys.stderr.write(f"minires: {line}\n")
    return code


# -- options of `minires` itself ----------------------------------------------------------------------------


def _show_version(wanted: bool) -> None:
    if wanted:
        from minires import __version__

        typer.echo(f"minires {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _minires(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
