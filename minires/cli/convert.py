"""`minires convert`: weights from one kind of file into another, and under other names."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import click

from minires.cli import shared
from minires.cli.shared import OUTPUT_FILE, checked_by, example
from minires.errors import MiniResError
from minires.weights.foreign_names import STYLES, as_torchvision, named_as


@click.command(epilog=example("minires convert resnet18-f37072fd.pth resnet18.safetensors"))
@click.argument("source", metavar="FROM", callback=checked_by(shared.weight_file))
@click.argument("target", metavar="TO", **OUTPUT_FILE)
@click.option(
    "--names", type=click.Choice(STYLES), help="Name the arrays of a ResNet for ImageNet as this library does."
)
@click.option(
    "--model",
    callback=checked_by(shared.model_name),
    metavar="NAME",
    help="The network of the weights, for an ONNX file as the result.",
)
@click.option("--without-metadata", is_flag=True, help="Leave out what a checkpoint of `minires train` says besides.")
@click.pass_context
def convert(
    context: click.Context,
    source: Path | str,
    target: Path,
    names: str | None,
    model: str | None,
    without_metadata: bool,
) -> None:
    """Write weights as another kind of file.

    Its suffix says which: .safetensors, .pth, .pt, .npz; or .onnx, which contains a network: --model names it where the
    weights do not say it.

    FROM is a file, or a name or address as for `minires predict`. An ONNX file's tensors have the names that
    `minires.onnx.load` gives them. Parameters of the transformers library get torchvision's names with --names
    torchvision; timm's plain ResNets have the same. What would be lost is refused.
    """
    from minires import weights

    if shared.is_onnx(str(target)):
        shared.refuse_options(context, ["names", "without_metadata"], "the file holds a network with names of its own")
        _write_network(model, source, target)
        return
    shared.refuse_options(context, ["model"], f"{target} holds weights alone, without a network")
    arrays, lost = _read(source, strip_prefix=names is not None)
    if lost and not without_metadata:
        raise MiniResError(f"{target} cannot hold {', '.join(lost)}: give --without-metadata to leave that out")
    if names is not None:
        arrays = _named_as(names, as_torchvision(arrays))
    weights.save(target, arrays)
    shared.echo(f"{len(arrays)} arrays: {target}")


def _named_as(style: str, arrays: dict[str, Any]) -> dict[str, Any]:
    """The arrays of a whole ResNet for ImageNet under another library's names, which must have that network."""
    from minires import models
    from minires.models.checkpoints import imagenet_network, network_options
    from minires.nn.init import no_draws

    renamed = named_as(style, arrays)
    name = imagenet_network(arrays)
    with no_draws():
        models.build(name, **network_options(name, arrays)).load_state_dict(arrays)
    if style == "transformers" and name.startswith(("resnext", "wide")):
        raise MiniResError(f"transformers has no {name}: its ResNets are neither wide nor grouped")
    return renamed


def _write_network(model: str | None, source: Path | str, target: Path) -> None:
    from minires.cli import onnx_files

    if shared.is_onnx(str(source)):
        raise MiniResError(f"{source} is an ONNX file already: copy it")
    onnx_files.write(model, source, target)


def _read(source: Path | str, strip_prefix: bool) -> tuple[dict[str, Any], list[str]]:
    """(the arrays of a file, what it holds besides)."""
    from minires import weights

    if shared.is_onnx(str(source)):
        from minires.cli.onnx_files import METADATA, load_network

        network = load_network(str(source))
        arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
        return arrays, ["the network itself"] + ["classes and preprocessing"] * (METADATA in network.metadata)
    from minires.models import pretrained
    from minires.training import checkpoint_metadata

    path = pretrained.find(None, source)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # what is not read would be lost
        try:
            return dict(weights.load(path, strip_prefix=strip_prefix)), sorted(checkpoint_metadata(path))
        except UserWarning as warning:
            raise MiniResError(str(warning)) from None
