"""`minires gradcheck`: the gradient check of an op, of all ops, or of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minires.cli.shared import (
    OUTPUT_FILE,
    as_json_option,
    checked_by,
    echo,
    example,
    input_shape,
    is_onnx,
    model_name,
    print_json,
    refuse_options,
    was_given,
)
from minires.errors import MiniResError
from minires.training.progress import progress_bar

if TYPE_CHECKING:
    from minires.gradcheck import Audit, Report
    from minires.gradcheck.catalogue import Example
    from minires.nn import Module

DTYPES = ("float64", "float32")


@click.command(epilog=example("minires gradcheck resnet18 --input 3x32x32 --batch 8 --html gradients.html"))
@click.argument("model", required=False, callback=checked_by(model_name))
@click.option("--op", metavar="NAME", help="Check an op, e.g. conv2d.")
@click.option("--all-ops", is_flag=True, help="Check every op.")
@click.option("--audit", is_flag=True, help="Break each op's backward in every classic way: does the check notice?")
@click.option("--input", "image", metavar="CxHxW", default="3x32x32", help="Shape of an image.")
@click.option("--batch", type=click.IntRange(1), default=8, help="Number of images.")
@click.option("--classes", type=click.IntRange(1), default=10, help="Number of classes of the network.")
@click.option("--order", type=click.IntRange(1, 2), default=1, help="2: check the gradient of the gradient as well.")
@click.option("--dtype", type=click.Choice(DTYPES), default="float64", help="Dtype of f.")
@click.option("--provider", metavar="NAME", help="Check the float32 gradients of these kernels, e.g. cpu.")
@click.option("--method", metavar="NAME", default="auto", help="Method of numerical differentiation.")
@click.option("--fast", is_flag=True, help="Check along random directions only.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Seed of weights, images, cotangents and directions.")
@click.option("--html", **OUTPUT_FILE, metavar="FILE", help="Write the report as a page as well.")
@as_json_option
@click.pass_context
def gradcheck(
    context: click.Context,
    model: str | None,
    op: str | None,
    all_ops: bool,
    audit: bool,
    image: str | None,
    batch: int,
    classes: int,
    order: int,
    dtype: str,
    provider: str | None,
    method: str,
    fast: bool,
    seed: int,
    html: Path | None,
    as_json: bool,
) -> None:
    """Check gradients against differences and complex steps.

    They are those of the network MODEL (a name or an ONNX file), of an op, or of all ops. The exit code is 1 if
    something is WRONG, or VACUOUS: zero whatever the backward pass does.
    """
    if sum((model is not None, op is not None, all_ops)) != 1:
        raise MiniResError("gradcheck: name a network, or --op NAME, or --all-ops: one of the three")
    if html is not None and (all_ops or audit):
        raise MiniResError("gradcheck: --html is for one report: not with --all-ops or --audit")
    if model is None:
        refuse_options(context, ["image", "batch", "classes"], "it is for a network, and ops bring their own inputs")
    if provider is not None and dtype == "float64":
        refuse_options(context, ["dtype"], "--provider checks float32 gradients against the reference in float64")
    options = {"order": order, "method": method, "provider": provider, "fast_mode": fast, "seed": seed}
    if is_onnx(model):
        refuse_options(context, ["classes"], "the file has a classifier of its own")
        image = image if was_given(context, "image") else None
    subjects = [_network(model, image, batch, classes, seed, dtype)] if model is not None else _ops(op, dtype, seed)
    results: Sequence[Any] = _results(audit, subjects, options, as_json)
    if html is not None:
        results[0].to_html(html)
    if as_json:
        found = [each.as_dict() for each in results]
        print_json(found[0] if len(found) == 1 else found)
    elif len(results) > 1:
        bad = [title for (title, _, _), result in zip(subjects, results, strict=True) if not result]
        echo(f"{len(results) - len(bad)} of {len(results)} pass" + (f"; not: {', '.join(bad)}" if bad else ""))
    if not all(results):
        raise click.exceptions.Exit(1)


Subject = tuple[str, Callable[..., Any], Any]  # (title, f, inputs)


def _network(name: str, image: str | None, batch: int, classes: int, seed: int, dtype: str) -> Subject:
    from minires.core.drawn import randn
    from minires.core.random import manual_seed

    manual_seed(seed)
    if is_onnx(name):
        from minires.cli import onnx_files

        imported = onnx_files.load_network(name)
        shape = onnx_files.image_shape(imported) if image is None else input_shape(image)
        network: Module = imported.to(dtype=dtype)
    else:
        from minires import models

        shape = input_shape(image or "3x32x32")
        network = models.build(name, num_classes=classes, in_channels=max(shape[0], 1)).to(dtype=dtype)
    return name, network, randn(batch, *shape).astype(dtype)


def _ops(name: str | None, dtype: str, seed: int) -> list[Subject]:
    from minires.gradcheck import catalogue

    examples: Sequence[Example] = catalogue.EXAMPLES if name is None else catalogue.find(name)
    if not examples:
        raise MiniResError(f"gradcheck: no op {name!r}; there are {', '.join(catalogue.names())}")
    return [(each.name, each.f, each.tensors(seed, dtype)) for each in examples]


def _results(audit: bool, subjects: list[Subject], options: dict[str, Any], quiet: bool) -> list[Report] | list[Audit]:
    """The report or audit of each subject, printed when it is done; of several, those that pass in one line each."""
    from minires import gradcheck as checks

    check: Callable[..., Any] = checks.audit if audit else checks.gradcheck
    results = []
    for title, f, inputs in subjects:
        with progress_bar(title) as tell:
            result = check(f, inputs, progress=tell, **options).titled(title)
        results.append(result)
        if not quiet:
            brief = len(subjects) > 1 and not audit and result
            echo(str(result).partition("\n")[0] if brief else str(result))
    return results
