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
from importlib import import_module

import click

from minires.cli.shared import echo
from minires.errors import MiniResError
from minires.terminal import accept_all_characters
from minires.weights.messages import printable

# Each command and the module that has it, in the order of the help. Only the one that is called is imported.
COMMANDS = {
    "demo": "training",
    "train": "training",
    "evaluate": "networks",
    "predict": "networks",
    "summary": "networks",
    "launch": "distributed",
    "gradcheck": "gradients",
    "export": "onnx_files",
    "convert": "convert",
    "info": "machine",
    "bench": "machine",
    "lab": "lab",
    "study": "studies",
    "explore": "explorer",
    "docs": "docs",
}

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
    except click.exceptions.Exit as exit_:
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
    except click.ClickException as error:
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
    with minires.make_context("minires", arguments) as context:
        minires.invoke(context)


def _fail(message: str, code: int = 2) -> int:
    if os.environ.get("MINIRES_DEBUG"):
        raise
    line = printable(" ".join(message.split()))
    if len(line) > MAX_ERROR_LENGTH:
        line = f"{line[: MAX_ERROR_LENGTH - 200]} … {line[-200:]}"
    sys.stderr.write(f"minires: {line}\n")
    return code


# -- `minires` itself -------------------------------------------------------------------------------------------------


class Commands(click.Group):
    """The commands of `COMMANDS`, each imported when it is called or listed."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"minires.cli.{COMMANDS[name]}"), name)
        return command


def _show_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from minires import __version__

        echo(f"minires {__version__}")
        context.exit()


@click.group(cls=Commands, invoke_without_command=True, context_settings={"show_default": True})
@click.option(
    "--version", is_flag=True, callback=_show_version, is_eager=True, expose_value=False, help="Print the version."
)
@click.pass_context
def minires(context: click.Context) -> None:
    """Residual networks on NumPy, small enough to read."""
    if context.invoked_subcommand is None:
        echo(context.get_help())
