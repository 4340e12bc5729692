"""Commands that train networks: demo, train."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from minires.cli import shared
from minires.cli.shared import checked_by, example
from minires.data.augment import FLIPS, PADDINGS
from minires.errors import MiniResError
from minires.training.recipes import NAMES as RECIPES
from minires.training.settings import OPTIMIZERS, SCHEDULES, TrainSettings

if TYPE_CHECKING:
    from minires.training import EpochRecord
    from minires.training.recipes import Recipe

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
    from minires.explorer.bundle import block_page

    config = DemoConfig(depth=depth, epochs=epochs, seed=seed, device=device)
    result = run(out, config, version=__version__, explorer=block_page())
    if not all(check.passed for check in result.findings.checks):
        raise click.exceptions.Exit(1)


def _setting(name: str, description: str, **options: Any) -> Callable[[Command], Command]:
    """An option whose default is that of the setting of the same name."""
    default = getattr(TrainSettings, name)
    options = {"type": type(default), "default": default, "help": description} | options
    return click.option(f"--{name.replace('_', '-')}", **options)


def _switch(name: str, description: str) -> Callable[[Command], Command]:
    """An option --name/--no-name, likewise."""
    dashed = name.replace("_", "-")
    return click.option(f"--{dashed}/--no-{dashed}", default=getattr(TrainSettings, name), help=description)


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
@click.option("--recipe", metavar="NAME", help=f"Settings that belong together: {', '.join(RECIPES)}.")
@shared.model_option
@click.option("--data", metavar="NAME|FOLDER", help="Training data, as for `minires evaluate`.")
@shared.data_dir_option
@_setting("epochs", "Passes over the data.")
@_setting("batch_size", "Images per step.")
@_setting("optimizer", "The optimiser.", metavar="|".join(OPTIMIZERS))
@_setting("lr", "Learning rate; for onecycle its peak.")
@_setting("momentum", "Momentum of sgd and muon.")
@_switch("nesterov", "Use Nesterov's momentum in sgd.")
@_setting("sgd_lr", "With muon: learning rate of all that is no convolution.", type=float)
@_setting("weight_decay", "Weight decay of all parameters.")
@_switch("decay_norms", "Decay biases and batch norm's weights too.")
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
@_setting("ema", "Decay per step of an average of the weights, which is what is saved.", type=float)
@_switch("augment", "Use random crops and flips.")
@_setting("flip", "Mirror images; default: as usual for the data.", type=str, metavar="|".join(FLIPS))
@_setting("translate", "Largest shift in pixels; default: as usual for the data.", type=int)
@_setting("padding", "What shifted images are filled up with.", metavar="|".join(PADDINGS))
@_setting("cutout", "Side in pixels of a square to cut out.")
@_switch("whiten", "Let the first convolution whiten the images' patches, and freeze it.")
@_setting("hold_out", "Validate on so many training images; test images are not read.")
@click.option("--image-size", type=int, help="Input size for a folder of images; default 224.")
@shared.normalize_option
@_setting("seed", "Seed of weights, order and augmentation.")
@click.option(
    "--weights",
    callback=checked_by(shared.weight_file),
    metavar="FILE|NAME",
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
    from minires.cli import onnx_files
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
            onnx_files.build if shared.is_onnx(settings.model) else models.build,
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
    if comm is None or comm.rank == 0:
        _print_result(history, out)


def _print_result(history: Sequence[EpochRecord], out: Path) -> None:
    """The last epoch, which is the result, and the best one, which the images chose that it is measured on."""
    last, best = history[-1], max(history, key=lambda record: record.validation_accuracy or 0.0)
    shared.echo(f"last: epoch {last.epoch}, {last.validation_accuracy:.2f} % right: {out / 'last.safetensors'}")
    shared.echo(f"best: epoch {best.epoch}, {best.validation_accuracy:.2f} % right: {out / 'best.safetensors'}")


def _train_settings(context: click.Context, out: Path, resume: bool) -> TrainSettings:
    """The settings from the options; in a resumed run the stored ones, overridden by the options that were given."""
    from minires.models.checkpoints import stored_name
    from minires.training import checkpoint_metadata, recipes
    from minires.training.run import stored_settings

    names = {field.name for field in fields(TrainSettings)} & context.params.keys()
    stored = stored_settings(out) if resume else None
    recipe = None if resume or context.params["recipe"] is None else recipes.load(context.params["recipe"])
    if stored is not None or recipe is not None:
        names = {name for name in names if shared.was_given(context, name)}
    asked = {name: context.params[name] for name in names}
    if asked.get("weights") is not None:
        usual = stored.model if stored is not None else recipe.settings["model"] if recipe is not None else None
        asked |= _located(asked, usual, context.params["download"])
    if stored is not None:
        return replace(stored, **asked)
    if recipe is not None:
        return _from_recipe(recipe, asked)
    if asked["model"] is None and asked["weights"] is not None:
        asked["model"] = stored_name(checkpoint_metadata(asked["weights"]), asked["weights"])
    if asked["model"] is None or asked["data"] is None:
        raise MiniResError("a new run needs --model and --data, or --recipe; --resume continues the one in --out")
    return TrainSettings(**asked)


def _located(asked: dict[str, Any], usual: str | None, download: bool) -> dict[str, Any]:
    """The weight file to start from; of weights with a name also the network, `usual` if none is asked for."""
    from minires.models import pretrained

    named = pretrained.is_name(asked["weights"])
    model, path = pretrained.find(asked.get("model") or usual if named else None, asked["weights"], download)
    return {"model": model, "weights": str(path)} if named else {"weights": str(path)}


def _from_recipe(recipe: Recipe, asked: dict[str, Any]) -> TrainSettings:
    """The settings of a recipe, overridden by the options that were given; prints both."""
    settings = TrainSettings(**{**recipe.settings, **asked})
    shared.echo(f"recipe {recipe.name}: {recipe.summary}")
    shared.echo(", ".join(f"{key} {value}" for key, value in recipe.settings.items() if key != "recipe"))
    changed = {key: value for key, value in asked.items() if recipe.settings.get(key, _default(key)) != value}
    if changed:
        given = (f"{key} {value} (recipe: {recipe.settings.get(key, _default(key))})" for key, value in changed.items())
        shared.echo(f"overridden: {', '.join(given)}")
    return settings


def _default(setting: str) -> Any:
    return getattr(TrainSettings, setting, None)


def _refuse_unused(context: click.Context, settings: TrainSettings) -> None:
    """Raise MiniResError for given options that these settings make no use of; warn of milestones never reached."""
    from minires.training.preprocessing import PREPROCESSINGS

    if settings.optimizer not in ("sgd", "muon"):
        why = f"it is the momentum of sgd and muon, and --optimizer is {settings.optimizer}"
        shared.refuse_options(context, ["momentum"], why)
    usual = PREPROCESSINGS.get(settings.data)
    chosen = settings.flip or settings.translate or settings.cutout
    if settings.augment and usual is not None and not (usual.padding or usual.flip or chosen):
        shared.refuse_options(context, ["augment"], f"the images of {settings.data} are neither cropped nor flipped")
    if usual is not None and not (usual.padding if settings.translate is None else settings.translate):
        shared.refuse_options(context, ["padding"], f"the images of {settings.data} are not shifted (--translate)")
    shared.check_data_dir(context, settings.data)
    late = [milestone for milestone in settings.milestones if milestone >= settings.epochs]
    if late:
        warnings.warn(f"milestones {late} are never reached in {settings.epochs} epochs", stacklevel=2)
