"""Which network a checkpoint belongs to, according to its metadata and the shapes of its arrays.

A checkpoint may come from a stranger and claim anything. A shape is used only if it fits the network otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minires.errors import WeightsError
from minires.models.blocks import Bottleneck
from minires.models.catalogue import BLOCKS, IMAGENET, VARIANTS, Name, kind_and_depth, parse
from minires.models.convnet import NAME as CONVNET
from minires.models.convnet import STEM, WIDTHS

MAX_OPTION = 1024  # of a width, an image or groups in a name
MAX_OUTPUTS, MAX_CHANNELS = 100_000, 64  # accepted from a weight file; all of ImageNet has 21,841 classes


def stored_name(metadata: Mapping[str, Any], source: str) -> str | None:
    """The network that the metadata of the checkpoint `source` names under "model"; None if it names none.

    Raises WeightsError if there is no network of that name.
    """
    name: str | None = metadata.get("model")
    if name is not None:
        try:
            kind_and_depth(name)
        except ValueError:
            shown = repr(name[:60]) + "..." * (len(name) > 60)
            raise WeightsError(f"{source} is of {shown}, which is none of our networks") from None
    return name


def network_name(asked: str | None, metadata: Mapping[str, Any], arrays: Mapping[str, Any], source: str) -> str:
    """The network to build for the checkpoint `source`: the one in its metadata, else the one that was `asked` for.

    The two must agree, because a plain network has the same parameters as its residual twin: a wrong name could load
    and give wrong answers.

    Raises WeightsError if there is no name, if the names differ, or if the arrays are too few for the stored one.
    """
    stored = stored_name(metadata, source)
    if stored is not None and len(arrays) < kind_and_depth(stored)[1]:
        raise WeightsError(f"{source} says that it is of {stored}, but holds only {len(arrays)} arrays")
    if stored is not None:
        _check_sizes(stored, arrays, source)
    if asked is None and stored is None:
        raise WeightsError(f"{source} does not say which network it is of: name it with --model")
    if asked is not None and stored is not None and asked != stored:
        raise WeightsError(f"{source} is a checkpoint of {stored}, not of {asked}: use --model {stored}")
    return str(asked or stored)


def _check_sizes(name: str, arrays: Mapping[str, Any], source: str) -> None:
    """Raise WeightsError if the options in a name ask for another size than the file's.

    The network is built before it is loaded: a file of a few bytes must not make us allocate a million channels.
    """
    network = parse(name)
    sizes = {
        key: value for key, value in network.options.items() if key in ("width", "image", "groups", "width_per_group")
    }
    if not sizes:
        return
    first = arrays.get("first.weight" if network.kind == "dense_highway" else "conv1.weight")
    shape = tuple(getattr(first, "shape", ()))
    numbers = all(isinstance(value, int) and 1 <= value <= MAX_OPTION for value in sizes.values())
    fits = numbers and len(shape) > 1 and sizes.get("width", shape[0]) == shape[0]
    if not fits or shape[1] % sizes.get("image", 1) ** 2:
        raise WeightsError(f"{source} says that it is of {name[:200]}, but its arrays have other sizes")


def network_options(name: str, arrays: Mapping[str, Any]) -> dict[str, int]:
    """The `num_classes` and `in_channels` of `models.build(name)` that fit {parameter name: array}.

    An option is left out if the array that shows it is missing, or has a shape that the network cannot have. The
    network then gets its usual size, and `load_state_dict` refuses the arrays. Raises ValueError for an unknown name.
    """
    network = parse(name)
    if network.kind == "dense_highway":
        return _dense_options(network, arrays)
    features, width, kernel = _sizes(network)
    shapes = {key: tuple(array.shape) for key, array in arrays.items()}
    found = {}
    for classifier in ("fc", "linear"):
        outputs = shapes.get(f"{classifier}.bias", ())
        fits = len(outputs) == 1 and shapes.get(f"{classifier}.weight") == (*outputs, features)
        if fits and 1 <= outputs[0] <= MAX_OUTPUTS:
            found["num_classes"] = int(outputs[0])
    channels = shapes.get("conv1.weight", ())[1:2]
    if shapes.get("conv1.weight") == (width, *channels, kernel, kernel) and 1 <= channels[0] <= MAX_CHANNELS:
        found["in_channels"] = int(channels[0])
    return found


def imagenet_network(arrays: Mapping[str, Any]) -> str:
    """The ResNet for ImageNet that {parameter name: array} seem to be of, by its blocks and the width of the first.

    Raises WeightsError if there is none. `load_state_dict` compares the other shapes.
    """
    parts = {tuple(name.split(".")[:2]) for name in arrays if name.startswith("layer")}
    counts = tuple(len([part for part in parts if part[0] == f"layer{stage}"]) for stage in (1, 2, 3, 4))
    inner = tuple(getattr(arrays.get("layer1.0.conv2.weight"), "shape", ()))[:2]
    bottleneck = "layer1.0.conv3.weight" in arrays
    usual: dict[str, tuple[int, dict[str, int]]] = {f"resnet{depth}": (depth, {}) for depth in IMAGENET}
    for name, (depth, options) in {**usual, **VARIANTS}.items():
        block, blocks = IMAGENET[depth]
        groups, width = options.get("groups", 1), options.get("width_per_group", 64)
        if (counts, bottleneck, inner) == (blocks, block is Bottleneck, (groups * width, width)):
            return name
    raise WeightsError("these are not the arrays of a whole ResNet for ImageNet, such as resnet18 or resnext50_32x4d")


def _sizes(network: Name) -> tuple[int, int, int]:
    """(inputs of the classifier, width and kernel of the first convolution) of a network with convolutions."""
    if network.kind == CONVNET:
        return WIDTHS[-1], STEM, 2
    usual, kernel = (64, 7) if network.is_imagenet else (16, 3)
    width = network.options.get("width", usual)
    if network.is_imagenet:
        return 8 * width * IMAGENET[network.depth][0].expansion, width, kernel
    return 4 * width * BLOCKS[network.block][0].expansion, width, kernel


def _dense_options(network: Name, arrays: Mapping[str, Any]) -> dict[str, int]:
    """As `network_options`, of a dense highway network."""
    width, pixels = network.options.get("width", 50), network.options.get("image", 28) ** 2
    shapes = {key: tuple(array.shape) for key, array in arrays.items()}
    found = {}
    outputs = shapes.get("fc.bias", ())
    if len(outputs) == 1 and shapes.get("fc.weight") == (*outputs, width) and 1 <= outputs[0] <= MAX_OUTPUTS:
        found["num_classes"] = int(outputs[0])
    inputs = shapes.get("first.weight", ())[1:2]
    if shapes.get("first.weight") == (width, *inputs):
        channels, rest = divmod(inputs[0], pixels)
        if not rest and 1 <= channels <= MAX_CHANNELS:
            found["in_channels"] = int(channels)
    return found
