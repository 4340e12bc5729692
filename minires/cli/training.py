"""Commands that train networks: demo, train."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from minires.cli import shared
from minires.cli.shared import checked_by, example
from minires.errors import MiniResError
from minires.training.settings import OPTIMIZERS, SCHEDULES, TrainSettings

Command = TypeVar("Command", bound=Callable[..., Any])


@click.command(epilog=example("minires demo --out demo-out"))
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", default="demo-out", help="The folder for report.html."
)
@click.option("--depth", type=int, default=32, help="Layers of both networks, 6n + 2.")
@click.option("--epochs", type=int, default=8, help="Passes over the digits.")
@click.option("--seed", type=int, default=0, help="Seed of the initial weights and the order of the images.")
@shared.device_option
def demo(out: Path, depth: int, epochs: int, seed: int, device: str) -> None:
    """Train on handwritten digits, check gradients, write a report.

    A residual network and its plain twin learn to read digits. This takes about a minute and needs no internet.
    """
    from minires import __version__
    from minires.demo import DemoConfig, run

    result = run(out, DemoConfig(depth=depth, epochs=epochs, seed=seed, device=device), version=__version__)
    if not all(check.passed for check in result.findings.checks):
        raise click.exceptions.Exit(1)


def _setting(name: str, description: str, **options: Any) -> Callable[[Command], Command]:
    """An option whose default is that of the setting of the same name."""
    default = getattr(TrainSettings, name)
    options = {"type": type(default), "default": default, "help": description} | options
    return click.option(f"--{name.replace('_', '-')}", **options)


@click.command(
    epilog=example("minires train --model resnet20 --data cifar10 --epochs 10 --schedule onecycle --out runs/resnet20")
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    required=True,
    help="The folder for checkpoints, log and curves.",
)
@shared.model_option
@click.option("--data", metavar="NAME|FOLDER", help="Training data, as for `minires evaluate`.")
@shared.data_dir_option
@_setting("epochs", "Passes over the data.")
@_setting("batch_size", "Images per step.")
@_setting("optimizer", "The optimiser.", metavar="|".join(OPTIMIZERS))
@_setting("lr", "Learning rate; for onecycle its peak.")
@_setting("momentum", "Momentum of sgd.")
@_setting("weight_decay", "Weight decay of all parameters.")
@_setting("schedule", "Learning-rate schedule.", metavar="|".join(SCHEDULES))
@click.option(
    "--milestones",
    metavar="N,N",
    default="",
    callback=checked_by(shared.milestones_of),
    help="Epochs at which multistep divides by ten.",
)
@_setting("warmup_epochs", "Epochs of a linear rise before the schedule.", type=float)
@_setting("label_smoothing", "Label smoothing of the training loss.")
@click.option("--clip-norm", type=float, help="Largest common norm of all gradients.")
@click.option("--patience", type=int, help="Stop after this many epochs without improvement.")
@click.option("--augment/--no-augment", default=TrainSettings.augment, help="Use random crops and flips.")
@click.option("--image-size", type=int, help="Input size for a folder of images; default 224.")
@shared.normalize_option
@_setting("seed", "Seed of weights, order and augmentation.")
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    callback=checked_by(shared.weight_file),
    metavar="FILE",
    help="Fine-tune from these weights; a classifier of other classes is replaced.",
)
@click.option("--freeze", is_flag=True, default=TrainSettings.freeze, help="Train the classifier alone.")
@click.option("--resume", is_flag=True, help="Continue the run in --out, with its settings.")
@shared.workers_option
@click.option(
    "--checkpoint-seconds",
    type=float,
    default=300.0,
    callback=checked_by(shared.seconds),
    help="Seconds between checkpoints within an epoch.",
)
@shared.download_option
@shared.device_option
@click.option(
    "--graph", is_flag=True, help="With --device cuda: replay the step as a CUDA graph; fast for small networks."
)
@click.option("--distributed", is_flag=True, help="Train in the processes that mpiexec or srun has started.")
@click.option(
    "--batch-norm",
    type=click.Choice(["sync", "local"]),
    default=TrainSettings.batch_norm,
    help="With --distributed: statistics of the whole batch, or of each process's share.",
)
@click.option(
    "--compression",
    type=click.Choice(["float16", "bfloat16"]),
    help="With --distributed: send gradients in half the bytes, rounded.",
)
@click.pass_context
def train(
    context: click.Context,
    /,
    *,
    out: Path,
    data_dir: Path | None,
    resume: bool,
    workers: int,
    checkpoint_seconds: float,
    download: bool,
    device: str,
    graph: bool,
    distributed: bool,
    **_: Any,
) -> None:
    """Train a network, from scratch or from given weights.

    Ctrl-C and SIGTERM save the run. --resume continues it, to the same weights as without the interruption. With more
    --epochs it goes on beyond its end, if the schedule does not depend on their number. If --weights names a
    checkpoint of a training run, --model may be left out.
    """
    from minires import models
    from minires.cli.distributed import communicator, failing_together
    from minires.training import run

    if not distributed:
        shared.refuse_options(context, ["batch_norm", "compression"], "they are of runs with --distributed")
    comm = communicator(distributed)
    with failing_together(comm):
        settings = _train_settings(context, out, resume)
        _refuse_unused(context, settings)
        history = run.train(
            settings,
            models.build,
            out=out,
            data_dir=data_dir,
            resume=resume,
            device=device,
            workers=workers,
            download=download,
            checkpoint_seconds=checkpoint_seconds,
            graph=graph,
            comm=comm,
        )
    if comm is not None and comm.rank:
        return
    best = max(history, key=lambda record: record.validation_accuracy or 0.0)
    shared.echo(f"best: epoch {best.epoch}, {best.validation_accuracy:.2f} % right: {out / 'best.safetensors'}")


def _train_settings(context: click.Context, out: Path, resume: bool) -> TrainSettings:
    """The settings from the options; in a resumed run the stored ones, overridden by the options that were given."""
    from minires.models.checkpoints import stored_name
    from minires.training import checkpoint_metadata
    from minires.training.run import stored_settings

    names = {field.name for field in fields(TrainSettings)} & context.params.keys()
    if resume:
        names = {name for name in names if shared.was_given(context, name)}
    asked = {name: context.params[name] for name in names}
    if asked.get("weights") is not None:
        asked["weights"] = str(asked["weights"])
    if resume:
        return replace(stored_settings(out), **asked)
    if asked["model"] is None and asked["weights"] is not None:
        asked["model"] = stored_name(checkpoint_metadata(asked["weights"]), asked["weights"])
    if asked["model"] is None or asked["data"] is None:
        raise MiniResError("a new run needs --model and --data; --resume continues the one in --out")
    return TrainSettings(**asked)


def _refuse_unused(context: click.Context, settings: TrainSettings) -> None:
    """Raise MiniResError for given options that these settings make no use of; warn of milestones never reached."""
    from minires.training.preprocessing import PREPROCESSINGS

    if settings.optimizer != "sgd":
        why = f"it is the momentum of sgd, and --optimizer is {settings.optimizer}"
        shared.refuse_options(context, ["momentum"], why)
    usual = PREPROCESSINGS.get(settings.data)
    if settings.augment and usual is not None and not (usual.padding or usual.flip):
        shared.refuse_options(context, ["augment"], f"the images of {settings.data} are neither cropped nor flipped")
    shared.check_data_dir(context, settings.data)
    late = [milestone for milestone in settings.milestones if milestone >= settings.epochs]
    if late:
        warnings.warn(f"milestones {late} are never reached in {settings.epochs} epochs", stacklevel=2)
