"""`minires convert`: weights from one kind of file into another."""

from __future__ import annotations

import warnings
from pathlib import Path

import click

from minires.cli import shared
from minires.cli.shared import OUTPUT_FILE, example
from minires.errors import MiniResError


@click.command(epilog=example("minires convert resnet18-f37072fd.pth resnet18.safetensors"))
@click.argument("source", metavar="FROM", type=click.Path(path_type=Path))
@click.argument("target", metavar="TO", **OUTPUT_FILE)
@click.option("--without-metadata", is_flag=True, help="Leave out what a checkpoint of `minires train` says besides.")
def convert(source: Path, target: Path, without_metadata: bool) -> None:
    """Write weights as another kind of file.

    Its suffix says which: .safetensors, .pth, .pt or .npz.

    FROM may be an ONNX file, too: its tensors have the names that `minires.onnx.load` gives them. For an ONNX file as
    the result, which contains a network, there is `minires export`.
    """
    from minires import weights

    if shared.is_onnx(str(target)):
        raise MiniResError(
            f"{target} would need the network, not weights alone: minires export MODEL --weights {source}"
        )
    if shared.is_onnx(str(source)):
        from minires.cli.onnx_files import METADATA, load_network

        network = load_network(str(source))
        arrays = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
        lost = ["the network itself"] + ["classes and preprocessing"] * (METADATA in network.metadata)
    else:
        from minires.training import checkpoint_metadata

        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # what is not read would be lost
            try:
                arrays = weights.load(source, strip_prefix=False)
            except UserWarning as warning:
                raise MiniResError(str(warning)) from None
        lost = sorted(checkpoint_metadata(source))
    if lost and not without_metadata:
        raise MiniResError(f"{target} cannot hold {', '.join(lost)}: give --without-metadata to leave that out")
    weights.save(target, arrays)
    shared.echo(f"{len(arrays)} arrays: {target}")
