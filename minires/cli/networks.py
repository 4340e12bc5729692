"""Commands that compute with a network: demo, train, evaluate, predict, summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minires.cli.shared import (
    Data,
    DataDir,
    Device,
    Download,
    Json,
    Model,
    Normalize,
    Weights,
    console,
    example,
    input_shape,
    milestones_of,
    model_name,
    output_file,
    print_json,
    save_array,
    seconds,
    weight_file,
)
from minires.errors import MiniResError
from minires.training.settings import OPTIMIZERS, SCHEDULES, TrainSettings
from minires.weights.messages import printable

if TYPE_CHECKING:
    from minires.inference.classifier import Prediction
    from minires.inspection.summary import Summary
    from minires.training import Evaluation

commands = typer.Typer()


@commands.command(epilog=example("minires demo --out demo-out"))
def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write report.html.")] = Path("demo-out"),
    depth: Annotated[int, typer.Option(help="Layers of both networks: 6n + 2.")] = 32,
    epochs: Annotated[int, typer.Option(help="Passes over the digits.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the starting weights and the order of the images.")] = 0,
    device: Device = "cpu",
) -> None:
    """Train on handwritten digits, check gradients, write a report.

    A residual network and its plain twin learn to read digits; takes about a minute, and needs no network connection.
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
    out: Annotated[Path, typer.Option(metavar="DIR", help="A folder for checkpoints, log and curves.")],
    model: Model = None,
    data: Annotated[str | None, typer.Option(metavar="NAME|FOLDER", help="As for `minires evaluate`.")] = None,
    data_dir: DataDir = None,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = TrainSettings.epochs,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = TrainSettings.batch_size,
    optimizer: Annotated[str, typer.Option(metavar="|".join(OPTIMIZERS))] = TrainSettings.optimizer,
    lr: Annotated[float, typer.Option(help="Learning rate; of onecycle the peak.")] = TrainSettings.lr,
    momentum: Annotated[float, typer.Option(help="Of sgd.")] = TrainSettings.momentum,
    weight_decay: Annotated[float, typer.Option(help="Of all parameters.")] = TrainSettings.weight_decay,
    schedule: Annotated[str, typer.Option(metavar="|".join(SCHEDULES))] = TrainSettings.schedule,
    milestones: Annotated[
        str, typer.Option(metavar="N,N", callback=milestones_of, help="Epochs at which multistep divides by ten.")
    ] = "",
    warmup_epochs: Annotated[
        float, typer.Option(help="A linear rise before the schedule.")
    ] = TrainSettings.warmup_epochs,
    label_smoothing: Annotated[float, typer.Option(help="Of the training loss.")] = TrainSettings.label_smoothing,
    clip_norm: Annotated[float | None, typer.Option(help="Largest norm of the gradients together.")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after so many epochs without improvement.")] = None,
    augment: Annotated[bool, typer.Option(help="Random crops and flips.")] = TrainSettings.augment,
    image_size: Annotated[int | None, typer.Option(help="Of a folder's images; default 224.")] = None,
    normalize: Normalize = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = TrainSettings.seed,
    weights: Annotated[
        Path | None,
        typer.Option(
            callback=weight_file, metavar="FILE", help="Fine-tune from these; a classifier of other classes is new."
        ),
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="Train the classifier alone.")] = TrainSettings.freeze,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, with its settings.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Threads that prepare images.")] = 2,
    checkpoint_seconds: Annotated[
        float, typer.Option(callback=seconds, help="Save that often within an epoch.")
    ] = 300.0,
    download: Download = True,
    device: Device = "cpu",
    graph: Annotated[
        bool, typer.Option("--graph", help="With --device cuda: replay the step as a CUDA graph; small nets gain most.")
    ] = False,
) -> None:
    """Train a network, from scratch or from given weights.

    Ctrl-C saves the run, and --resume goes on with it to the same weights as if it had not been stopped. With --weights
    that a training run wrote, --model may be left out.
    """
    from minires import models
    from minires.training import run

    settings = _train_settings(context, out, resume)
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
    typer.echo(f"best: epoch {best.epoch}, {best.validation_accuracy:.2f} % right: {out / 'best.safetensors'}")


def _train_settings(context: typer.Context, out: Path, resume: bool) -> TrainSettings:
    """What was asked for; in a resumed run, the stored settings and what was given again."""
    from minires.inference.classifier import stored_model
    from minires.training import checkpoint_metadata
    from minires.training.run import stored_settings

    names = {field.name for field in fields(TrainSettings)} & context.params.keys()
    if resume:
        names = {name for name in names if _was_given(context, name)}
    asked = {name: context.params[name] for name in names}
    if asked.get("weights") is not None:
        asked["weights"] = str(asked["weights"])
    if resume:
        return replace(stored_settings(out), **asked)
    if asked["model"] is None and asked["weights"] is not None:
        asked["model"] = stored_model(checkpoint_metadata(asked["weights"]), asked["weights"])
    if asked["model"] is None or asked["data"] is None:
        raise MiniResError("a new run needs --model and --data; --resume goes on with the one in --out")
    return TrainSettings(**asked)


def _was_given(context: typer.Context, name: str) -> bool:
    """Whether an option was on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


@commands.command(
    epilog=example("minires evaluate --model resnet20 --weights resnet20.th --data cifar10 --normalize imagenet")
)
def evaluate(
    weights: Weights,
    data: Data,
    model: Model = None,
    data_dir: DataDir = None,
    normalize: Normalize = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="OUT.npy", callback=output_file, help="Save each image's class, int64.")
    ] = None,
    as_json: Json = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 64,
    workers: Annotated[int, typer.Option(min=0, help="Threads that prepare images.")] = 2,
    download: Download = True,
    device: Device = "cpu",
) -> None:
    """Measure top-1, top-5 and loss on the test images of a data set.

    A checkpoint of `minires train` knows its network, classes and normalisation: then --model may be left out.
    """
    from minires.inference import classifier

    network = classifier.load(model, weights, normalize=normalize, device=device)
    dataset = network.test_set(data, data_dir, download)
    result = network.evaluate(dataset, batch_size=batch_size, workers=workers, progress=True)
    if predictions is not None:
        save_array(predictions, result.predictions)
    if as_json:
        numbers = {key: value for key, value in vars(result).items() if key != "predictions"}
        print_json({"model": network.name, **numbers})
    else:
        _print_evaluation(network.name, dataset.name, result)


def _print_evaluation(model: str, data: str, result: Evaluation) -> None:
    typer.echo(
        f"{model} on {data}: {result.top1:.2f} % right ({result.correct:,} of {result.n:,}), {result.top5:.2f} % among "
        f"the five likeliest, loss {result.loss:.4f}; {result.images_per_second:.0f} images/s"
    )


@commands.command(epilog=example("minires predict --model resnet18 --weights resnet18-f37072fd.pth dog.jpg"))
def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", show_default=False)],
    weights: Weights,
    model: Model = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 5,
    normalize: Normalize = None,
    logits: Annotated[
        Path | None,
        typer.Option(metavar="OUT.npy", callback=output_file, help="Save the outputs, float32 (images, classes)."),
    ] = None,
    as_json: Json = False,
    device: Device = "cpu",
) -> None:
    """Say what is in photographs."""
    from minires.inference import classifier

    found = classifier.load(model, weights, normalize=normalize, device=device).predict(images)
    if logits is not None:
        import numpy as np

        save_array(logits, np.stack([each.logits for each in found]))
    if as_json:
        print_json([{"image": each.image, "classes": [asdict(guess) for guess in each.top(top)]} for each in found])
    else:
        _print_predictions(found, top)


def _print_predictions(found: Sequence[Prediction], top: int) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("image")
    table.add_column("index", justify="right")
    table.add_column("class")
    table.add_column("probability", justify="right")
    for each in found:
        for rank, guess in enumerate(each.top(top)):
            cells = str(guess.index), printable(guess.name), f"{100 * guess.probability:.2f} %"
            table.add_row(Text("" if rank else printable(each.image)), *map(Text, cells), style="" if rank else "bold")
        table.add_section()
    console().print(table)


@commands.command(epilog=example("minires summary resnet18 --input 3x224x224 --level 1"))
def summary(
    model: Annotated[str, typer.Argument(callback=model_name, metavar="MODEL", help="As resnet18 or plain20.")],
    image: Annotated[
        str | None,
        typer.Option(
            "--input", metavar="CxHxW", help="The image; default: 3x224x224, or 3x32x32 for CIFAR's networks."
        ),
    ] = None,
    classes: Annotated[int | None, typer.Option(min=1, help="Outputs; default: the network's usual number.")] = None,
    level: Annotated[
        int | None, typer.Option(min=0, help="Fold what is nested deeper: 1 shows stages, 2 blocks.")
    ] = None,
    device: Device = "cpu",
) -> None:
    """List a network's layers: shape, parameters, cost, field.

    The cost is in multiply-adds, the last column is the receptive field: how much of the image a number depends on, as
    if the image had no edges. Multiply-adds are those of convolutions and linear layers, for one image, as the papers
    count them.
    """
    from minires import models
    from minires.inspection.summary import summarize

    shape = input_shape(image) if image is not None else (3, models.image_size(model), models.image_size(model))
    network = models.build(model, num_classes=classes, in_channels=max(shape[0], 1)).to(device)
    _print_summary(model, summarize(network, shape), level)


def _print_summary(model: str, found: Summary, level: int | None) -> None:
    from rich.table import Table

    table = Table(title=f"{model}, one image of {'×'.join(map(str, found.input_shape))}", title_justify="left")
    table.add_column("layer", footer="total")
    table.add_column("kind")
    table.add_column("output", justify="right")
    table.add_column("parameters", justify="right", footer=f"{found.parameters:,}")
    table.add_column("multiply-adds", justify="right", footer=f"{found.multiply_adds:,}")
    table.add_column("sees", justify="right")
    table.show_footer = True
    for row in found.layers(level):
        shape = "×".join(map(str, row.output_shape))
        counts = (f"{count:,}" if count else "" for count in (row.parameters, row.multiply_adds))
        table.add_row(row.name, row.kind, shape, *counts, str(row.receptive_field))
    screen = console()
    screen.print(table)
    screen.print(f"{found.parameters:,} parameters, {_scaled(found.multiply_adds)} multiply-adds")


def _scaled(count: int) -> str:
    """In the units of the papers: 1.814 ×10⁹, 40.6 ×10⁶."""
    return f"{count / 1e9:.3f} ×10⁹" if count >= 1e9 else f"{count / 1e6:.1f} ×10⁶"
