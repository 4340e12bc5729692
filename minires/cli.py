"""The command line: what was asked for, and what came out. How anything is computed stands on the floors below.

Whatever can be put right by whoever typed the command ends with one line on standard error and exit code 2; Ctrl-C with
130. MINIRES_DEBUG=1 shows the traceback instead.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minires.errors import MiniResError
from minires.training.settings import OPTIMIZERS, SCHEDULES, TrainSettings
from minires.weights.messages import printable

if TYPE_CHECKING:
    from rich.console import Console

    from minires.bench import Timing
    from minires.classifier import Prediction
    from minires.machine import Speed
    from minires.summary import Summary
    from minires.training import Evaluation

HELP = "Residual networks on NumPy, small enough to read."
app = typer.Typer(add_completion=False, rich_markup_mode=None, help=HELP)  # rich's help cuts off long options

LONGEST = 600  # characters of an error's one line; what stands in the middle of a longer one is left out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `minires` with these arguments (default: the process's) and return the exit code."""
    try:
        _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except typer.Exit as exit_:
        return int(exit_.exit_code)
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "interrupted", 130)
    except MemoryError as error:
        return _fail(f"not enough memory ({error}): try a smaller batch or image")
    except MiniResError as error:
        return _fail(str(error))
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's usage errors have it, wherever the version keeps its classes
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
    if len(line) > LONGEST:
        line = f"{line[: LONGEST - 200]} … {line[-200:]}"
    sys.stderr.write(f"minires: {line}\n")
    return code


# -- arguments that several commands share ----------------------------------------------------------------------------


def _device(value: str) -> str:
    from minires import cuda

    if not re.fullmatch(r"cpu|cuda(:\d+)?", value):
        raise typer.BadParameter(f"{value!r} is not cpu, cuda or cuda:N")
    if value != "cpu":
        cuda.require()
    return value


def _model_name(value: str | None) -> str | None:
    from minires import models

    if value is not None:
        try:
            models.image_size(value)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    return value


def _weight_file(value: Path | None) -> Path | None:
    if value == Path():  # what "" becomes
        raise typer.BadParameter("name a weight file")
    return value


def _seconds(value: float) -> float:
    if not value >= 0:  # NaN too
        raise typer.BadParameter(f"{value} is not 0 seconds or more")
    return value


def _output_file(value: Path | None) -> Path | None:
    if value is not None and (value.is_dir() or not value.absolute().parent.is_dir()):
        raise typer.BadParameter(f"{value} cannot be written: name a file in a folder that exists")
    return value


def _input_shape(value: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d{1,6}[x×]\d{1,6}[x×]\d{1,6}", value):
        raise typer.BadParameter(f"{value!r} is not CHANNELSxHEIGHTxWIDTH, as in 3x224x224")
    return tuple(map(int, re.split("[x×]", value)))


def _milestones(value: str) -> tuple[int, ...]:
    if not re.fullmatch(r"(\d{1,9}(,\d{1,9})*)?", value):
        raise typer.BadParameter(f"{value!r} is not a list of epochs, as in 30,60,80")
    return tuple(int(epoch) for epoch in value.split(",") if epoch)


PRESETS = "imagenet, cifar10, mnist, fashion-mnist, digits or none"
Device = Annotated[str, typer.Option(callback=_device, metavar="cpu|cuda", help="Where to compute.")]
Model = Annotated[
    str | None,
    typer.Option(callback=_model_name, metavar="NAME", help="The network, e.g. resnet18, resnet20, plain20."),
]
Weights = Annotated[
    Path,
    typer.Option(
        callback=_weight_file,
        metavar="FILE",
        help="Its weights: .pth, .pt, .th, .safetensors or .npz, PyTorch's or ours.",
    ),
]
Data = Annotated[
    str,
    typer.Option(metavar="NAME|FOLDER", help="digits, mnist, fashion-mnist, cifar10, or a folder of images by class."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where published data sets are, or are downloaded to; default: the user's cache."),
]
Download = Annotated[bool, typer.Option(help="Whether a data set that is missing may be downloaded.")]
Normalize = Annotated[
    str | None,
    typer.Option(metavar="NAME", help=f"Normalise images as {PRESETS}; default: as the weights say, or as is usual."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _console() -> Console:
    """Standard output; where that is no terminal, wide enough that no table is cut."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=200)


def _print_json(value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    shown = (c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)  # as \u009b, in strings alone
    sys.stdout.write("".join(shown) + "\n")


def _save_array(path: Path, array: Any) -> None:
    import numpy as np

    from minires.files import atomic_write

    with atomic_write(path) as file:
        np.save(file, array)


def _example(command: str) -> str:
    return f"\b\nExample:\n  {command}"  # \b: as it is, not wrapped


# -- commands ---------------------------------------------------------------------------------------------------------


def _show_version(wanted: bool) -> None:
    if wanted:
        from minires import __version__

        typer.echo(f"minires {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _minires(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(epilog=_example("minires demo --out demo-out"))
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
    from minires.demo import Lesson, run

    result = run(out, Lesson(depth=depth, epochs=epochs, seed=seed, device=device), version=__version__)
    if not all(check.passed for check in result.findings.checks):
        raise typer.Exit(1)


@app.command(
    epilog=_example("minires train --model resnet20 --data cifar10 --epochs 10 --schedule onecycle --out runs/resnet20")
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
        str, typer.Option(metavar="N,N", callback=_milestones, help="Epochs at which multistep divides by ten.")
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
            callback=_weight_file, metavar="FILE", help="Fine-tune from these; a classifier of other classes is new."
        ),
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="Train the classifier alone.")] = TrainSettings.freeze,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, with its settings.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Threads that prepare images.")] = 2,
    checkpoint_seconds: Annotated[
        float, typer.Option(callback=_seconds, help="Save that often within an epoch.")
    ] = 300.0,
    download: Download = True,
    device: Device = "cpu",
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
    )
    best = max(history, key=lambda record: record.validation_accuracy or 0.0)
    typer.echo(f"best: epoch {best.epoch}, {best.validation_accuracy:.2f} % right: {out / 'best.safetensors'}")


def _train_settings(context: typer.Context, out: Path, resume: bool) -> TrainSettings:
    """What was asked for; in a resumed run, the stored settings and what was given again."""
    from minires.classifier import stored_model
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


@app.command(
    epilog=_example("minires evaluate --model resnet20 --weights resnet20.th --data cifar10 --normalize imagenet")
)
def evaluate(
    weights: Weights,
    data: Data,
    model: Model = None,
    data_dir: DataDir = None,
    normalize: Normalize = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="OUT.npy", callback=_output_file, help="Save each image's class, int64.")
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
    from minires import classifier

    network = classifier.load(model, weights, normalize=normalize, device=device)
    dataset = network.test_set(data, data_dir, download)
    result = network.evaluate(dataset, batch_size=batch_size, workers=workers, progress=True)
    if predictions is not None:
        _save_array(predictions, result.predictions)
    if as_json:
        numbers = {key: value for key, value in vars(result).items() if key != "predictions"}
        _print_json({"model": network.name, **numbers})
    else:
        _print_evaluation(network.name, dataset.name, result)


def _print_evaluation(model: str, data: str, result: Evaluation) -> None:
    typer.echo(
        f"{model} on {data}: {result.top1:.2f} % right ({result.correct:,} of {result.n:,}), {result.top5:.2f} % among "
        f"the five likeliest, loss {result.loss:.4f}; {result.images_per_second:.0f} images/s"
    )


@app.command(epilog=_example("minires predict --model resnet18 --weights resnet18-f37072fd.pth dog.jpg"))
def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", show_default=False)],
    weights: Weights,
    model: Model = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 5,
    normalize: Normalize = None,
    logits: Annotated[
        Path | None,
        typer.Option(metavar="OUT.npy", callback=_output_file, help="Save the outputs, float32 (images, classes)."),
    ] = None,
    as_json: Json = False,
    device: Device = "cpu",
) -> None:
    """Say what is in photographs."""
    from minires import classifier

    found = classifier.load(model, weights, normalize=normalize, device=device).predict(images)
    if logits is not None:
        import numpy as np

        _save_array(logits, np.stack([each.logits for each in found]))
    if as_json:
        _print_json([{"image": each.image, "classes": [asdict(guess) for guess in each.top(top)]} for each in found])
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
    _console().print(table)


@app.command(epilog=_example("minires summary resnet18 --input 3x224x224 --level 1"))
def summary(
    model: Annotated[str, typer.Argument(callback=_model_name, metavar="MODEL", help="As resnet18 or plain20.")],
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
    from minires.summary import summarize

    shape = _input_shape(image) if image is not None else (3, models.image_size(model), models.image_size(model))
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
    console = _console()
    console.print(table)
    console.print(f"{found.parameters:,} parameters, {_scaled(found.multiply_adds)} multiply-adds")


def _scaled(count: int) -> str:
    """In the units of the papers: 1.814 ×10⁹, 40.6 ×10⁶."""
    return f"{count / 1e9:.3f} ×10⁹" if count >= 1e9 else f"{count / 1e6:.1f} ×10⁶"


@app.command(epilog=_example("minires info --json"))
def info(as_json: Json = False) -> None:
    """Say what computes here, and how fast: kernels, threads, memory.

    Measures a matrix product of 1024 × 1024, by the kernels and by NumPy, and a copy: the best of some runs.
    """
    from minires import __version__, machine

    found, speed = machine.describe(), machine.measure()
    if as_json:
        _print_json({"minires": __version__, **asdict(found), "gflops": asdict(speed)})
        return
    kernels = found.kernels
    lines = {
        "MiniRes": f"{__version__}, Python {found.python}, NumPy {found.numpy}",
        "machine": f"{found.processor}, {found.cores} cores for this process, {found.system}",
        "backends": f"{', '.join(found.backends)}; float32 arrays go to {found.backend}",
        "C kernels": machine.NOT_BUILT
        if kernels is None
        else f"{kernels.isa} (here also: {', '.join(kernels.available)}), by {kernels.compiler}",
        "threads": f"{found.threads} for the kernels; "
        + ", ".join(f"{threads} for {name}" for name, threads in found.blas.items())
        + ("" if found.omp_num_threads is None else f"; OMP_NUM_THREADS={found.omp_num_threads}"),
        "cache": "" if kernels is None else f"at most {kernels.cache_limit >> 20} MiB of freed arrays are kept",
        "product": ("" if speed.kernels is None else f"{speed.kernels:.0f} GFLOP/s by the kernels, ")
        + f"{speed.numpy:.0f} GFLOP/s by NumPy (1024³, float32)",
        "copy": f"{speed.copy:.0f} GB/s, read and written",
    }
    for name, text in lines.items():
        if text:
            typer.echo(f"{name:<10} {text}")


bench = typer.Typer(add_completion=False, rich_markup_mode=None, help="Measure parts of MiniRes on this machine.")
app.add_typer(bench, name="bench")


@bench.command(epilog=_example("minires bench conv --model resnet18 --batch 1"))
def conv(
    model: Annotated[str, typer.Option(callback=_model_name, metavar="M", help="Whose convolutions.")] = "resnet18",
    batch: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 8,
    size: Annotated[int | None, typer.Option(min=8, help="Height and width; default: the network's usual.")] = None,
    train: Annotated[bool, typer.Option(help="The two gradients as well.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads; default: all cores.")] = None,
    as_json: Json = False,
) -> None:
    """Time every algorithm on every convolution of a network, and show which one is chosen, and why.

    GFLOP/s are by the operations of the direct method, so an algorithm that needs fewer may exceed the machine's.
    """
    from minires import machine
    from minires import threads as threads_of
    from minires.bench import convolutions, measure

    if threads is not None:
        threads_of.set_num_threads(threads)
    timings = [timing for shape, count in convolutions(model, batch, size) for timing in measure(shape, count, train)]
    if as_json:
        rows = [
            {**asdict(timing), "operations": timing.operations, "fastest": timing.fastest, "loss": timing.loss}
            for timing in timings
        ]
        _print_json({"model": model, "batch": batch, "timings": rows})
    else:
        _print_timings(timings, machine.measure(runs=3))


def _print_timings(timings: Sequence[Timing], speed: Speed) -> None:
    from rich.table import Table

    table = Table("kernel", "×", "convolution", "algorithm", "ms", "GFLOP/s", "of the product's", "chosen, and why")
    for timing in timings:
        s = timing.shape
        window = f"{s.kernel[0]}×{s.kernel[1]}" + (f" /{s.stride[0]}" if s.stride != (1, 1) else "")
        what = f"{s.channels}→{s.outputs}, {window}, to {s.output[0]}×{s.output[1]}"
        for number, (name, seconds) in enumerate(timing.seconds.items()):
            rate = timing.operations / seconds / 1e9
            cells = (f"{1e3 * seconds:.2f}", f"{rate:.0f}", f"{100 * rate / (speed.kernels or rate):.0f} %")
            why = ""
            if name == timing.chosen:
                why = timing.reason + (f"; {100 * timing.loss:.0f} % slower" if timing.loss > 0.05 else "")
            first = (timing.kernel, str(timing.count), what) if number == 0 else ("", "", "")
            table.add_row(*first, name, *cells, why, style="bold" if name == timing.chosen else "")
        table.add_section()
    _console().print(table)
