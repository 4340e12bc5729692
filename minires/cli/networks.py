"""Commands that use a network: evaluate, predict, summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minires.cli import shared
from minires.cli.shared import OUTPUT_FILE, checked_by, example
from minires.weights.messages import printable

if TYPE_CHECKING:
    from minires.inference.classifier import Classifier, Prediction
    from minires.inspection.summary import Summary
    from minires.nn import Module
    from minires.training import Evaluation

FEW_IMAGES = 24  # compiling a network takes as long as it saves on about so many


@click.command(
    epilog=example("minires evaluate --model resnet20 --weights resnet20.th --data cifar10 --normalize imagenet")
)
@shared.weights_option
@shared.data_option
@shared.model_option
@shared.data_dir_option
@shared.normalize_option
@click.option("--predictions", **OUTPUT_FILE, metavar="OUT.npy", help="Save the predicted classes, int64 (images,).")
@shared.as_json_option
@click.option("--batch-size", type=click.IntRange(1), default=64, help="Images per batch.")
@click.option(
    "--flip-tta", is_flag=True, help="Also measure with each image and its mirror image averaged; printed apart."
)
@shared.workers_option
@shared.download_option
@shared.device_option
@click.pass_context
def evaluate(
    context: click.Context,
    weights: Path | str | None,
    data: str,
    model: str | None,
    data_dir: Path | None,
    normalize: str | None,
    predictions: Path | None,
    as_json: bool,
    batch_size: int,
    flip_tta: bool,
    workers: int,
    download: bool,
    device: str,
) -> None:
    """Measure top-1, top-5 and loss on the test images of a data set.

    A checkpoint of `minires train` contains its network's name, classes and normalisation: --model may be left out.
    """
    shared.check_data_dir(context, data)
    network = _load(model, weights, normalize, device, mapped=False, download=download)
    dataset = network.test_set(data, data_dir, download)
    result = network.evaluate(dataset, batch_size=batch_size, workers=workers, progress=True)
    both = None
    if flip_tta:
        both = network.evaluate(dataset, batch_size=batch_size, workers=workers, progress=True, flip_tta=True)
    if predictions is not None:
        shared.save_array(predictions, result.predictions)
    if as_json:
        shared.print_json(
            {"model": network.name, **_numbers(result), **({} if both is None else {"flip_tta": _numbers(both)})}
        )
    else:
        _print_evaluation(network.name, dataset.name, result)
        if both is not None:
            shared.echo(
                f"apart from that, with the logits of each image and its mirror image averaged: {both.top1:.2f} % "
                f"right ({both.correct:,}), loss {both.loss:.4f}"
            )


def _numbers(result: Evaluation) -> dict[str, Any]:
    """What JSON shows of an evaluation."""
    return {key: value for key, value in vars(result).items() if key not in ("predictions", "metrics")}


def _load(
    model: str | None,
    weights: Path | str | None,
    normalize: str | None,
    device: str,
    mapped: bool,
    download: bool = True,
) -> Classifier:
    """The network of a weight file; or of an ONNX file, which has weights and may get those of a checkpoint."""
    if shared.is_onnx(model):
        from minires.cli.onnx_files import load_classifier

        return load_classifier(str(model), weights, normalize, device)
    if weights is None:
        raise click.UsageError("Missing option '--weights'.")
    from minires.inference import classifier

    return classifier.load(model, weights, normalize=normalize, device=device, mapped=mapped, download=download)


def _print_evaluation(model: str, data: str, result: Evaluation) -> None:
    shared.echo(
        f"{model} on {data}: {result.top1:.2f} % right ({result.correct:,} of {result.n:,}), {result.top5:.2f} % among "
        f"the five likeliest, loss {result.loss:.4f}; {result.images_per_second:.0f} images/s"
    )


@click.command(epilog=example("minires predict --model resnet18 --weights resnet18-f37072fd.pth dog.jpg"))
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path))
@shared.weights_option
@shared.model_option
@click.option("--top", type=click.IntRange(1), default=5, help="Number of classes to show.")
@shared.normalize_option
@click.option("--logits", **OUTPUT_FILE, metavar="OUT.npy", help="Save the logits, float32 (images, classes).")
@shared.as_json_option
@shared.device_option
def predict(
    images: tuple[Path, ...],
    weights: Path | str | None,
    model: str | None,
    top: int,
    normalize: str | None,
    logits: Path | None,
    as_json: bool,
    device: str,
) -> None:
    """Classify photographs."""
    network = _load(model, weights, normalize, device, mapped=True)
    found = network.predict(images, compiled=len(images) > FEW_IMAGES)
    if logits is not None:
        import numpy as np

        shared.save_array(logits, np.stack([each.logits for each in found]))
    if as_json:
        shared.print_json(
            [
                {
                    "image": each.image,
                    "orientation": each.orientation,
                    "classes": [asdict(guess) for guess in each.top(top)],
                }
                for each in found
            ]
        )
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
    shared.console().print(table)
    for each in found:
        if each.orientation != 1:
            shared.console().print(
                Text(f"{printable(each.image)} was turned upright, as its EXIF says (orientation {each.orientation})")
            )


@click.command(epilog=example("minires summary resnet18 --input 3x224x224 --level 1"))
@click.argument("model", callback=checked_by(shared.model_name))
@click.option(
    "--input",
    "image",
    metavar="CxHxW",
    help="Shape of the image; default: 3x224x224, or 3x32x32 for CIFAR networks.",
)
@click.option("--classes", type=click.IntRange(1), help="Number of outputs; default: the network's usual number.")
@click.option("--level", type=click.IntRange(0), help="Depth of nesting to show: 1 for stages, 2 for blocks.")
@shared.device_option
@click.pass_context
def summary(
    context: click.Context, model: str, image: str | None, classes: int | None, level: int | None, device: str
) -> None:
    """List a network's layers: shape, parameters, cost, field. MODEL is a network's name or an ONNX file.

    The cost is the number of multiply-adds in convolutions and linear layers for one image, as the papers count it. The
    last column is the receptive field: the part of the image on which an output depends, as if the image had no edges.
    """
    from minires.inspection.summary import summarize

    shape = None if image is None else shared.input_shape(image)
    if shared.is_onnx(model):
        from minires.cli import onnx_files

        shared.refuse_options(context, ["classes"], "the file has a classifier of its own")
        imported = onnx_files.load_network(model)
        network: Module = imported.to(device)
        shape = shape or onnx_files.image_shape(imported)
    else:
        from minires import models

        shape = shape or (3, models.image_size(model), models.image_size(model))
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
    table.add_column("field", justify="right")
    table.show_footer = True
    for row in found.layers(level):
        shape = "×".join(map(str, row.output_shape))
        counts = (f"{count:,}" if count else "" for count in (row.parameters, row.multiply_adds))
        table.add_row(row.name, row.kind, shape, *counts, str(row.receptive_field))
    screen = shared.console()
    screen.print(table)
    screen.print(f"{found.parameters:,} parameters, {_scaled(found.multiply_adds)} multiply-adds")


def _scaled(count: int) -> str:
    """A count in the units of the papers: "1.814 ×10⁹", "40.6 ×10⁶"."""
    return f"{count / 1e9:.3f} ×10⁹" if count >= 1e9 else f"{count / 1e6:.1f} ×10⁶"
