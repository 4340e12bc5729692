"""ONNX files where a command takes a network, `--model net.onnx`; and `minires export`, which writes one."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minires.cli import shared
from minires.cli.shared import OUTPUT_FILE, checked_by, example
from minires.errors import DataError, MiniResError, WeightsError

if TYPE_CHECKING:
    from minires.core.tensor import Tensor
    from minires.inference.classifier import Classifier
    from minires.nn import Module
    from minires.onnx import OnnxModel
    from minires.training.preprocessing import Preprocessing

METADATA = "minires"  # the key of what `minires export` stores: classes and preprocessing, as JSON
USUAL_SIZE = 224


def load_network(path: str) -> OnnxModel:
    """The network of a file, for images of any size that its operators take."""
    from minires import onnx

    return onnx.load(path, dynamic=True)


def image_shape(network: OnnxModel) -> tuple[int, int, int]:
    """(C, H, W) of an image, as the file declares it; 3 channels and 224 pixels where it leaves them open.

    Raises DataError for a network that does not take one batch of images.
    """
    if len(network.inputs) != 1 or (network.inputs[0].shape is not None and len(network.inputs[0].shape) != 4):
        declared = ", ".join(map(str, network.inputs))
        raise DataError(f"{network.source} takes {declared}: this command needs one input (N, C, H, W)")
    _, channels, height, width = network.inputs[0].shape or (None, None, None, None)
    return channels or 3, height or USUAL_SIZE, width or USUAL_SIZE


def build(name: str, *, num_classes: int, in_channels: int) -> Module:
    """The network of the ONNX file `name` for training, with the weights of the file.

    A classifier of other classes is replaced by a new one, with a warning. Raises MiniResError if the file's network
    reads images of another kind.
    """
    network = load_network(name)
    channels = image_shape(network)[0]
    if channels != in_channels:
        raise MiniResError(f"{name} reads images of {channels} channels, and those of the data have {in_channels}")
    _fit_classifier(network, num_classes, "a new one is trained")
    return network.train()


def _fit_classifier(network: OnnxModel, classes: int, outcome: str) -> None:
    """Replace the last linear layer by a new one, if it has another number of outputs; a warning says so."""
    from minires import nn
    from minires.training.finetune import classifier_of

    name, layer = classifier_of(network)
    if layer.out_features != classes:
        warnings.warn(
            f"{network.source}: the classifier {name!r} has {layer.out_features} outputs, not {classes}: {outcome}",
            stacklevel=2,
        )
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, nn.Linear(layer.in_features, classes, layer.bias is not None))


def load_classifier(path: str, weights: Path | str | None, normalize: str | None, device: str) -> Classifier:
    """The network of an ONNX file as a Classifier, with the weights of a checkpoint instead of its own if one is named.

    Images are prepared as the checkpoint or the file says, else as for ImageNet, at the size that the file declares.
    """
    import numpy as np

    from minires.core.modes import no_grad
    from minires.core.tensor import Tensor
    from minires.inference import classifier
    from minires.models import pretrained
    from minires.training import checkpoint_metadata
    from minires.training.preprocessing import published_preprocessing, stored_preprocessing

    network = load_network(path)
    channels, height, width = image_shape(network)
    if weights is not None:
        weights = pretrained.find(None, weights)[1]
    stored = checkpoint_metadata(weights) if weights is not None else _metadata(network)
    if weights is not None:
        _load_weights(network, weights, path)
    preprocessing = stored_preprocessing(stored)
    if preprocessing is None and weights is not None:
        preprocessing = published_preprocessing(weights)
    preprocessing = preprocessing or _usual(channels, height, width, path)
    model = _in_batches(network)
    size = preprocessing.size
    with no_grad():
        outputs = model(Tensor(np.zeros((1, channels, size, size), np.float32)))
    if not isinstance(outputs, Tensor) or outputs.ndim != 2:
        raise DataError(f"{path} is no classifier: of one image it must give logits (1, classes)")
    known = stored.get("classes")
    if known is not None and len(known) != outputs.shape[1]:
        raise DataError(f"{path} names {len(known)} classes, but has {outputs.shape[1]} outputs")
    if normalize is not None:
        preprocessing.normalized_as(normalize)  # raises for an unknown name
    return classifier.Classifier(
        name=network.source,
        model=model.eval().to(device),
        names=tuple(known) if known is not None else classifier._usual_names(outputs.shape[1], channels),
        names_are_known=known is not None,
        preprocessing=preprocessing,
        normalize=normalize,
        in_channels=channels,
        trained_on=stored.get("settings", {}).get("data"),
    )


def _load_weights(network: OnnxModel, weights: Path, path: str) -> None:
    from minires import weights as weight_files
    from minires.training.finetune import classifier_of
    from minires.weights.foreign_names import as_torchvision

    arrays = as_torchvision(weight_files.load(weights))
    bias = arrays.get(f"{classifier_of(network)[0]}.bias")
    if bias is not None and bias.ndim == 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the checkpoint has the weights of the new classifier
            _fit_classifier(network, bias.shape[0], "")
    try:
        network.load_state_dict(arrays)
    except WeightsError as error:
        raise WeightsError(f"{weights} as {path}: {error}") from error


def _metadata(network: OnnxModel) -> dict[str, Any]:
    """What `minires export` has stored in a file: {} for another program's file. Raises DataError if it is damaged."""
    text = network.metadata.get(METADATA)
    if text is None:
        return {}
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.get("classes", [])):
            raise ValueError("it is no list of names")
        return found
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{network.source}: what is stored in it of classes and images is damaged: {error}") from None


def _usual(channels: int, height: int, width: int, path: str) -> Preprocessing:
    """ImageNet's preprocessing at the size of the images that the file declares, or CIFAR-10's for small ones."""
    from minires.training.preprocessing import IMAGENET_PREPROCESSING, MAX_IMAGE_SIZE, PREPROCESSINGS

    if height != width or height > MAX_IMAGE_SIZE:
        raise DataError(f"{path} reads images of {height}×{width} pixels: MiniRes prepares square ones")
    usual = IMAGENET_PREPROCESSING
    if height <= 64:
        usual = replace(PREPROCESSINGS["cifar10"], size=height, resize=height)
    elif height != usual.size:
        usual = replace(usual, size=height, resize=round(height * 8 / 7))
    return usual if channels == 3 else usual.normalized_as("none")


def _in_batches(network: OnnxModel) -> Module:
    """The network; or, if the file declares a fixed number of images, one that takes any number, so many at a time."""
    from minires import functional as F
    from minires import nn

    shape = network.inputs[0].shape
    count = None if shape is None else shape[0]
    if count is None:
        return network

    images = int(count)

    class InBatches(nn.Module):
        """The network of a file with a fixed number of images; what is missing of the last images are copies of it."""

        def __init__(self) -> None:
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            missing = -x.shape[0] % images
            padded = F.cat([x, *[x[-1:]] * missing]) if missing else x
            parts = [self.network(padded[k : k + images]) for k in range(0, padded.shape[0], images)]
            return F.cat(parts)[: x.shape[0]]

    return InBatches()


@click.command(epilog=example("minires export resnet18 --weights resnet18-f37072fd.pth --out resnet18.onnx"))
@click.argument("model", required=False, callback=checked_by(shared.model_name))
@click.option(
    "--weights",
    callback=checked_by(shared.weight_file),
    metavar="FILE|NAME",
    required=True,
    help="The weights: a .pth, .pt, .th, .safetensors or .npz file of PyTorch or MiniRes, or a name as for predict.",
)
@click.option("--out", **OUTPUT_FILE, metavar="FILE.onnx", required=True, help="The file to write.")
@click.option("--opset", type=click.Choice(["17", "18"]), default="17", help="Version of the operators.")
@click.option("--batch", type=click.IntRange(1), help="Number of images; default: any number.")
@click.option(
    "--size", type=click.IntRange(1, 2048), help="Height and width of an image; default: as the network is used."
)
@shared.normalize_option
def export(
    model: str | None,
    weights: Path | str,
    out: Path,
    opset: str,
    batch: int | None,
    size: int | None,
    normalize: str | None,
) -> None:
    """Write a network with its weights as an ONNX file.

    The class names, and how images are prepared, are stored in it; `minires predict --model FILE.onnx` reads them. A
    checkpoint of `minires train` contains the network's name: MODEL may be left out.
    """
    write(model, weights, out, opset=int(opset), batch=batch, size=size, normalize=normalize)


def write(
    model: str | None,
    weights: Path | str,
    out: Path,
    *,
    opset: int = 17,
    batch: int | None = None,
    size: int | None = None,
    normalize: str | None = None,
) -> None:
    """Write a network with its weights as an ONNX file, as `export` says."""
    import numpy as np

    from minires import onnx
    from minires.inference import classifier

    if shared.is_onnx(model):
        raise MiniResError(f"{model} is an ONNX file already: name one of MiniRes's networks")
    found = classifier.load(model, weights, normalize=normalize)
    preprocessing = found.preprocessing or classifier._usual_preprocessing(found.name, found.in_channels)
    preprocessing = preprocessing if normalize is None else preprocessing.normalized_as(normalize)
    if size is not None:
        resize = None if preprocessing.resize is None else round(preprocessing.resize * size / preprocessing.size)
        preprocessing = replace(preprocessing, size=size, resize=resize)
    facts = {"model": found.name, "classes": list(found.names), "recipe": preprocessing.to_dict()}
    shape = batch or 1, found.in_channels, preprocessing.size, preprocessing.size
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    metadata = {METADATA: json.dumps(facts)}
    onnx.save(out, found.model, images, dynamic_batch=batch is None, opset=opset, metadata=metadata)
    shared.echo(f"{found.name}, opset {opset}, {out.stat().st_size / 2**20:.1f} MiB: {out}")
