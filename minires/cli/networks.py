"""Commands that use a network: evaluate, predict, summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minires.cli import shared
from minires.cli.shared import example
from minires.weights.messages import printable

if TYPE_CHECKING:
    from minires.inference.classifier import Prediction
    from minires.inspection.summary import Summary
    from minires.training import Evaluation

commands = typer.Typer()


@commands.command(
    epilog=example("minires evaluate --model resnet20 --weights resnet20.th --data cifar10 --normalize imagenet")
)
def evaluate(
    context: typer.Context,
    weights: shared.Weights,
    data: shared.Data,
    model: shared.Model = None,
    data_dir: shared.DataDir = None,
    normalize: shared.Normalize = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.npy", callback=shared.output_file, help="Save the predicted classes, int64 (images,)."
        ),
    ] = None,
    as_json: shared.Json = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per batch.")] = 64,
    workers: Annotated[int, typer.Option(min=0, help="Number of threads that prepare images.")] = 2,
    download: shared.Download = True,
    device: shared.Device = "cpu",
) -> None:
    """Measure top-1, top-5 and loss on the test images of a data set.

    A checkpoint of `minires train` contains its network's name, classes and normalisation: --model may be left out.
    """
    from minires.inference import classifier

    shared.check_data_dir(context, data)
    network = classifier.load(model, weights, normalize=normalize, device=device)
    dataset = network.test_set(data, data_dir, download)
    result = network.evaluate(dataset, batch_size=batch_size, workers=workers, progress=True)
    if predictions is not None:
        shared.save_array(predictions, result.predictions)
    if as_json:
        numbers = {key: value for key, value in vars(result).items() if key not in ("predictions", "metrics")}
        shared.print_json({"model": network.name, **numbers})
    else:
        _print_evaluation(network.name, dataset.name, result)


def _print_evaluation(model: str, data: str, result: Evaluation) -> None:
    shared.echo(
        f"{model} on {data}: {result.top1:.2f} % right ({result.correct:,} of {result.n:,}), {result.top5:.2f} % among "
        f"the five likeliest, loss {result.loss:.4f}; {result.images_per_second:.0f} images/s"
    )


@commands.command(epilog=example("minires predict --model resnet18 --weights resnet18-f37072fd.pth dog.jpg"))
def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", show_default=False, help="Image files.")],
    weights: shared.Weights,
    model: shared.Model = None,
    top: Annotated[int, typer.Option(min=1, help="Number of classes to show.")] = 5,
    normalize: shared.Normalize = None,
    logits: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.npy", callback=shared.output_file, help="Save the logits, float32 (images, classes)."
        ),
    ] = None,
    as_json: shared.Json = False,
    device: shared.Device = "cpu",
) -> None:
    """Classify photographs."""
    from minires.inference import classifier

    found = classifier.load(model, weights, normalize=normalize, device=device).predict(images)
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


@commands.command(epilog=example("minires summary resnet18 --input 3x224x224 --level 1"))
def summary(
    model: Annotated[
        str, typer.Argument(callback=shared.model_name, metavar="MODEL", help="The network, e.g. resnet18 or plain20.")
    ],
    image: Annotated[
        str | None,
        typer.Option(
            "--input", metavar="CxHxW", help="Shape of the image; default: 3x224x224, or 3x32x32 for CIFAR networks."
        ),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=1, help="Number of outputs; default: the network's usual number.")
    ] = None,
    level: Annotated[
        int | None, typer.Option(min=0, help="Depth of nesting to show: 1 for stages, 2 for blocks.")
    ] = None,
    device: shared.Device = "cpu",
) -> None:
    """List a network's layers: shape, parameters, cost, field.

    The cost is the number of multiply-adds in convolutions and linear layers for one image, as the papers count it. The
    last column is the receptive field: the part of the image on which an output depends, as if the image had no edges.
    """
    from minires import models
    from minires.inspection.summary import summarize

    shape = shared.input_shape(image) if image is not None else (3, models.image_size(model), models.image_size(model))
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
