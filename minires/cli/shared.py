"""Options that several commands share, and functions that print results."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minires import terminal
from minires.errors import MiniResError

if TYPE_CHECKING:
    from rich.console import Console

# -- what was given ---------------------------------------------------------------------------------------------------


def was_given(context: click.Context, name: str) -> bool:
    """Whether an option was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def refuse_options(context: click.Context, names: Iterable[str], why: str) -> None:
    """Raise MiniResError, with the reason, if one of these options was given: it would change nothing."""
    given = [f"--{_OPTIONS.get(name, name).replace('_', '-')}" for name in names if was_given(context, name)]
    if given:
        raise MiniResError(f"{', '.join(given)} would change nothing: {why}")


_OPTIONS = {"image": "input"}  # the names of options where those of the arguments differ


def check_data_dir(context: click.Context, data: str) -> None:
    """Raise MiniResError if --data-dir was given for data that are not looked for there."""
    from minires.data.catalogue import PUBLISHED

    if data == "digits" or data not in PUBLISHED:
        why = "the digits are part of MiniRes" if data == "digits" else f"--data {data} is a folder of its own"
        refuse_options(context, ["data_dir"], f"{why}; it is the folder of published data sets")


# -- arguments --------------------------------------------------------------------------------------------------------


def _device(value: str) -> str:
    from minires import cuda

    if not re.fullmatch(r"cpu|cuda(:\d+)?", value):
        raise click.BadParameter(f"{value!r} is not cpu, cuda or cuda:N")
    if value != "cpu":
        cuda.require(cuda.device_index(value))
    return value


def is_onnx(model: str | None) -> bool:
    """Whether a network is named by an ONNX file."""
    return model is not None and model.endswith(".onnx")


def model_name(value: str | None) -> str | None:
    """Validate a network's name; an ONNX file is validated when it is read."""
    from minires import models

    if value is not None and not is_onnx(value):
        try:
            models.image_size(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    return value


def weight_file(value: str | None) -> Path | str | None:
    """Validate the name of a weight file: it is not empty. An address stays text, since a Path has no double slash."""
    from minires.weights.fetching import is_address

    if value is None:
        return None
    if not value:
        raise click.BadParameter("name a weight file")
    return value if is_address(value) else Path(value)


def seconds(value: float) -> float:
    """Validate a duration: 0 seconds or more."""
    if not value >= 0:  # NaN too
        raise click.BadParameter(f"{value} is not 0 seconds or more")
    return value


def output_file(value: Path | None) -> Path | None:
    """Validate the name of an output file: its folder exists."""
    if value is not None and (value.is_dir() or not value.absolute().parent.is_dir()):
        raise click.BadParameter(f"{value} cannot be written: name a file in a folder that exists")
    return value


def input_shape(value: str) -> tuple[int, ...]:
    """Parse "3x224x224" as (3, 224, 224)."""
    if not re.fullmatch(r"\d{1,6}[x×]\d{1,6}[x×]\d{1,6}", value):
        raise click.BadParameter(f"{value!r} is not CHANNELSxHEIGHTxWIDTH, as in 3x224x224")
    return tuple(map(int, re.split("[x×]", value)))


def milestones_of(value: str) -> tuple[int, ...]:
    """Parse "30,60" as (30, 60)."""
    if not re.fullmatch(r"(\d{1,9}(,\d{1,9})*)?", value):
        raise click.BadParameter(f"{value!r} is not a list of epochs, as in 30,60,80")
    return tuple(int(epoch) for epoch in value.split(",") if epoch)


# -- options ----------------------------------------------------------------------------------------------------------


def checked_by(check: Callable[[Any], Any]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback for click: the value is what `check` makes of it."""
    return lambda context, parameter, value: check(value)


PRESETS = "imagenet, cifar10, mnist, fashion-mnist, digits or none"
OUTPUT_FILE: dict[str, Any] = {"type": click.Path(path_type=Path), "callback": checked_by(output_file)}

device_option = click.option(
    "--device", callback=checked_by(_device), metavar="cpu|cuda", default="cpu", help="The device to compute on."
)
model_option = click.option(
    "--model",
    callback=checked_by(model_name),
    metavar="NAME|FILE.onnx",
    help="The network, e.g. resnet18, resnet20, plain20, or an ONNX file.",
)
weights_option = click.option(
    "--weights",
    callback=checked_by(weight_file),
    metavar="FILE|NAME",
    help="A .pth, .pt, .th, .safetensors or .npz file of PyTorch or MiniRes; or cifar10, digits, imagenet, "
    "timm/resnet18.a1_in1k, …; or https://…#sha256=…. An ONNX file has its own.",
)
data_option = click.option(
    "--data",
    metavar="NAME|FOLDER",
    required=True,
    help="digits, mnist, fashion-mnist, cifar10, or a folder of images by class.",
)
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder of published data sets, also for downloads; default: the user's cache.",
)
download_option = click.option("--download/--no-download", default=True, help="Download a missing data set.")
normalize_option = click.option(
    "--normalize",
    metavar="NAME",
    help=f"Normalise images as {PRESETS}; default: as the weights say, else as usual.",
)
workers_option = click.option(
    "--workers", type=click.IntRange(0), default=2, help="Number of threads that prepare images."
)
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

# -- results ----------------------------------------------------------------------------------------------------------


def console() -> Console:
    """Standard output; if that is not a terminal, wide enough for all tables."""
    width = None if terminal.is_interactive(sys.stdout) else 200
    return terminal.console(highlight=False, width=width)


def echo(text: str) -> None:
    """Print text on standard output. (click.echo would write UTF-8 into a stream of another encoding.)"""
    sys.stdout.write(f"{text}\n")


def print_json(value: Any) -> None:
    """Print JSON on standard output, with escapes for characters that are not printable or that its encoding lacks."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    shown = (c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)  # "\u009b"
    sys.stdout.write("".join(shown) + "\n")


def save_array(path: Path, array: Any) -> None:
    """Write a .npy file atomically."""
    import numpy as np

    from minires.files import atomic_write

    with atomic_write(path) as file:
        np.save(file, array)


def example(command: str) -> str:
    """The example at the end of a command's help."""
    return f"\b\nExample:\n  {command}"  # \b: do not wrap
