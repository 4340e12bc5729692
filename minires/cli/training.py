"""Commands that train networks: demo, train."""

from __future__ import annotations

import warnings
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated

import typer

from minires.cli import shared
from minires.cli.shared import example
from minires.errors import MiniResError
from minires.training.settings import OPTIMIZERS, SCHEDULES, TrainSettings

commands = typer.Typer()


@commands.command(epilog=example("minires demo --out demo-out"))
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder for report.html.")] = Path("demo-out"),
    depth: Annotated[int, typer.Option(help="Layers of both networks, 6n + 2.")] = 32,
    epochs: Annotated[int, typer.Option(help="Passes over the digits.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the initial weights and the order of the images.")] = 0,
    device: shared.Device = "cpu",
) -> None:
    """Train on handwritten digits, check gradients, write a report.

    A residual network and its plain twin learn to read digits. This takes about a minute and needs no internet.
    """
    from minires import __version__
    from minires.demo import DemoConfig, run

    result = run(out, DemoConfig(depth=depth, epochs=epochs, seed=seed, device=device), version=__version__)
    if not all(check.passed for check in result.findings.checks):
        raise typer.Exit(1)


@commands.command(
    epilog=example("minires train --model resnet20 --data cifar10 --epochs 10 --schedule onecycle --out runs/resnet20")
)
def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder for checkpoints, log and curves.")],
    model: shared.Model = None,
    data: Annotated[
        str | None, typer.Option(metavar="NAME|FOLDER", help="Training data, as for `minires evaluate`.")
    ] = None,
    data_dir: shared.DataDir = None,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = TrainSettings.epochs,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = TrainSettings.batch_size,
    optimizer: Annotated[
        str, typer.Option(metavar="|".join(OPTIMIZERS), help="The optimiser.")
    ] = TrainSettings.optimizer,
    lr: Annotated[float, typer.Option(help="Learning rate; for onecycle its peak.")] = TrainSettings.lr,
    momentum: Annotated[float, typer.Option(help="Momentum of sgd.")] = TrainSettings.momentum,
    weight_decay: Annotated[float, typer.Option(help="Weight decay of all parameters.")] = TrainSettings.weight_decay,
    schedule: Annotated[
        str, typer.Option(metavar="|".join(SCHEDULES), help="Learning-rate schedule.")
    ] = TrainSettings.schedule,
    milestones: Annotated[
        str,
        typer.Option(metavar="N,N", callback=shared.milestones_of, help="Epochs at which multistep divides by ten."),
    ] = "",
    warmup_epochs: Annotated[
        float, typer.Option(help="Epochs of a linear rise before the schedule.")
    ] = TrainSettings.warmup_epochs,
    label_smoothing: Annotated[
        float, typer.Option(help="Label smoothing of the training loss.")
    ] = TrainSettings.label_smoothing,
    clip_norm: Annotated[float | None, typer.Option(help="Largest common norm of all gradients.")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after this many epochs without improvement.")] = None,
    augment: Annotated[bool, typer.Option(help="Use random crops and flips.")] = TrainSettings.augment,
    image_size: Annotated[int | None, typer.Option(help="Input size for a folder of images; default 224.")] = None,
    normalize: shared.Normalize = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and augmentation.")] = TrainSettings.seed,
    weights: Annotated[
        Path | None,
        typer.Option(
            callback=shared.weight_file,
            metavar="FILE",
            help="Fine-tune from these weights; a classifier of other classes is replaced.",
        ),
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="Train the classifier alone.")] = TrainSettings.freeze,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out, with its settings.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Number of threads that prepare images.")] = 2,
    checkpoint_seconds: Annotated[
        float, typer.Option(callback=shared.seconds, help="Seconds between checkpoints within an epoch.")
    ] = 300.0,
    download: shared.Download = True,
    device: shared.Device = "cpu",
    graph: Annotated[
        bool,
        typer.Option("--graph", help="With --device cuda: replay the step as a CUDA graph; fast for small networks."),
    ] = False,
) -> None:
    """Train a network, from scratch or from given weights.

    Ctrl-C and SIGTERM save the run. --resume continues it, to the same weights as without the interruption. With more
    --epochs it goes on beyond its end, if the schedule does not depend on their number. If --weights names a
    checkpoint of a training run, --model may be left out.
    """
    from minires import models
    from minires.training import run

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
    )
    best = max(history, key=lambda record: record.validation_accuracy or 0.0)
    shared.echo(f"best: epoch {best.epoch}, {best.validation_accuracy:.2f} % right: {out / 'best.safetensors'}")


def _train_settings(context: typer.Context, out: Path, resume: bool) -> TrainSettings:
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


def _refuse_unused(context: typer.Context, settings: TrainSettings) -> None:
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
