"""The command line: parses options and prints results. Everything is computed in the packages below.

Every error that the user can correct ends with one line on standard error and exit code 2, Ctrl-C with exit code 130,
SIGTERM in training with 143. MINIRES_DEBUG=1 shows the traceback instead.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from minires.cli import docs, gradients, lab, machine, networks, training
from minires.cli.shared import echo
from minires.errors import MiniResError
from minires.terminal import accept_all_characters
from minires.weights.messages import printable

HELP = "Residual networks on NumPy, small enough to read."
app = typer.Typer(add_completion=False, rich_markup_mode=None, help=HELP)  # rich would cut off long options
for _module in (training, networks, gradients, machine, lab, docs):  # the order of commands in the help
    app.add_typer(_module.commands)

MAX_ERROR_LENGTH = 600  # characters of an error's line; a longer one loses its middle


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `minires` with these arguments (by default those of the process) and return the exit code."""
    accept_all_characters(sys.stdout)
    accept_all_characters(sys.stderr)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        code = _exit_code(list(sys.argv[1:] if arguments is None else arguments))
    try:
        sys.stdout.flush()
    except OSError as error:
        _discard_output()
        if isinstance(error, BrokenPipeError):
            return 141
        return code or _fail(f"cannot write the output: {error.strerror}")  # a command that failed has said why
    return code


def _exit_code(arguments: list[str]) -> int:
    """Run `minires`; whatever the user can correct is one line on standard error."""
    try:
        _run(arguments)
    except typer.Exit as exit_:
        return int(exit_.exit_code)
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        _discard_output()
        return 141
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "interrupted", 128 + getattr(stop, "signal", signal.SIGINT))
    except MiniResError as error:
        return _fail(str(error))
    except MemoryError as error:
        return _fail(f"not enough memory ({error}): try a smaller batch or image")
    except OSError as error:
        return _fail(str(error))
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's usage errors have it, in every version
            raise
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "minires"
        return _fail(f"{error.format_message()} (see {command} --help)")
    return 0


def _discard_output() -> None:
    """Send what is still in the buffer of standard output to the null device: Python writes it out when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as one line, without the place in the source code."""
    sys.stderr.write(f"minires: warning: {printable(' '.join(str(message).split()))}\n")


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

        echo(f"minires {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _minires(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        echo(context.get_help())
