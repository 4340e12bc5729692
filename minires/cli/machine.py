"""Commands that measure this machine: info, bench."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from minires.cli.shared import as_json_option, checked_by, console, echo, example, model_name, print_json

if TYPE_CHECKING:
    from minires.inspection.machine import Speed
    from minires.inspection.timing import Timing


@click.command(epilog=example("minires info --json"))
@as_json_option
def info(as_json: bool) -> None:
    """Describe this machine and its speed: kernels, threads, memory.

    Measures a matrix product of 1024 × 1024, by the kernels and by NumPy, and a copy; each is the best of several runs.
    """
    from minires import __version__
    from minires.inspection import machine

    found, speed = machine.describe(), machine.measure()
    if as_json:
        print_json({"minires": __version__, **asdict(found), "gflops": asdict(speed)})
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
        "GPU": "; ".join(
            f"{gpu.name}, compute capability {gpu.capability}, {gpu.memory / 2**30:.0f} GiB; driver for CUDA "
            f"{gpu.driver}, CuPy {gpu.cupy} for CUDA {gpu.cuda}"
            for gpu in found.gpus
        )
        or f"none: {found.no_gpu}",
        "cache": "" if kernels is None else f"at most {kernels.cache_limit >> 20} MiB of freed arrays are kept",
        "product": ("" if speed.kernels is None else f"{speed.kernels:.0f} GFLOP/s by the kernels, ")
        + f"{speed.numpy:.0f} GFLOP/s by NumPy (1024³, float32)",
        "copy": f"{speed.copy:.0f} GB/s, read and written",
    }
    for name, text in lines.items():
        if text:
            echo(f"{name:<10} {text}")


@click.group()
def bench() -> None:
    """Measure parts of MiniRes on this machine."""


@bench.command(epilog=example("minires bench conv --model resnet18 --batch 1"))
@click.option(
    "--model",
    callback=checked_by(model_name),
    metavar="NAME",
    default="resnet18",
    help="The network with the convolutions.",
)
@click.option("--batch", type=click.IntRange(1), default=8, help="Images per batch.")
@click.option("--size", type=click.IntRange(8), help="Height and width of the images; default: the network's usual.")
@click.option("--train/--no-train", default=False, help="Time both gradients as well.")
@click.option("--threads", type=click.IntRange(1), help="Number of threads; default: all cores.")
@as_json_option
def conv(model: str, batch: int, size: int | None, train: bool, threads: int | None, as_json: bool) -> None:
    """Time every algorithm on every convolution of a network, and show which one is chosen, and why.

    GFLOP/s count the operations of the direct method, so an algorithm with fewer operations may exceed the machine's
    peak.
    """
    from minires import models, set_num_threads
    from minires.inspection import machine
    from minires.inspection.timing import convolutions, measure

    if threads is not None:
        set_num_threads(threads)
    side = models.image_size(model) if size is None else size
    found = convolutions(models.build(model), batch, side)
    timings = [timing for shape, count in found for timing in measure(shape, count, train)]
    if as_json:
        rows = [
            {
                **asdict(timing),
                "shape": [*timing.shape[:4], *timing.shape.window],
                "groups": timing.shape.groups,
                "operations": timing.operations,
                "fastest": timing.fastest,
                "loss": timing.loss,
            }
            for timing in timings
        ]
        print_json({"model": model, "batch": batch, "timings": rows})
    else:
        _print_timings(timings, machine.measure(runs=3))


def _print_timings(timings: Sequence[Timing], speed: Speed) -> None:
    from rich.table import Table

    table = Table("kernel", "×", "convolution", "algorithm", "ms", "GFLOP/s", "of the product's", "chosen, and why")
    for timing in timings:
        s, ((kh, kw), stride, *_) = timing.shape, timing.shape.window
        window = f"{kh}×{kw}" + (f" /{stride[0]}" if stride != (1, 1) else "")
        window += f", {s.groups} groups" if s.groups > 1 else ""
        what = f"{s.channels}→{s.outputs}, {window}, to {s.output_size[0]}×{s.output_size[1]}"
        for number, (name, seconds) in enumerate(timing.seconds.items()):
            rate = timing.operations / seconds / 1e9
            cells = (f"{1e3 * seconds:.2f}", f"{rate:.0f}", f"{100 * rate / (speed.kernels or rate):.0f} %")
            why = ""
            if name == timing.chosen:
                why = timing.reason + (f"; {100 * timing.loss:.0f} % slower" if timing.loss > 0.05 else "")
            first = (timing.kernel, str(timing.count), what) if number == 0 else ("", "", "")
            table.add_row(*first, name, *cells, why, style="bold" if name == timing.chosen else "")
        table.add_section()
    console().print(table)
