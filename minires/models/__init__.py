"""The networks of the residual papers, by name.

`resnet18 … resnet152` are the ImageNet networks, with torchvision's structure and parameter names, and so are
`resnext50_32x4d`, `resnext101_32x8d`, `resnext101_64x4d`, `wide_resnet50_2` and `wide_resnet101_2`. `resnet20 …
resnet1202` are the CIFAR networks of depth 6n + 2, with option-A shortcuts (He et al. 2015). Each ResNet has a twin
without shortcuts: `plain18`, `plain20`, … `preact20`, `preact164`, … have the order of full pre-activation (He et al.
2016), `highway20` and `dense_highway10`, … gates (Srivastava et al. 2015). All take `num_classes=` and `in_channels=`,
and all but the dense ones `weights=` and the other options of `ResNet`. `convnet8` is a small network without shortcuts
that learns CIFAR-10 quickly.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from minires.errors import ModelError, WeightsError
from minires.models.catalogue import BLOCKS, IMAGENET, VARIANTS, Name, available, blocks_in_a_stage, parse, usual_block
from minires.models.catalogue import kind_and_depth as kind_and_depth
from minires.models.convnet import NAME as CONVNET
from minires.models.convnet import ConvNet
from minires.models.highway import Carry, DenseHighway
from minires.models.resnet import BasicBlock, BlockClass, Bottleneck, ResNet, SingleBlock, make_shortcut
from minires.nn import Module

Network = TypeVar("Network", bound=Module)

__all__ = [
    "BasicBlock",
    "BlockClass",
    "Bottleneck",
    "ConvNet",
    "DenseHighway",
    "ResNet",
    "SingleBlock",
    "available",
    "build",
    "cifar_resnet",
    "convnet8",
    "highway",
    "image_size",
    "imagenet_resnet",
    "make_shortcut",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet110",
    "resnet152",
    "resnet1202",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
]


def imagenet_resnet(depth: int, num_classes: int = 1000, **options: Any) -> ResNet:
    """The ImageNet network of 18, 34, 50, 101 or 152 layers, else ValueError; `options` are those of `ResNet`.

    weights: None, or "imagenet" for torchvision's trained weights, which are downloaded once (`pretrained`).
    """
    if depth not in IMAGENET:
        raise ValueError(f"imagenet_resnet: depth {depth} must be one of {', '.join(map(str, IMAGENET))}")
    block, blocks = IMAGENET[depth]
    return _trained(f"resnet{depth}", partial(ResNet, block, blocks), num_classes, {"shortcut": "B"}, options)


def cifar_resnet(depth: int, num_classes: int = 10, *, block: str | None = None, **options: Any) -> ResNet:
    """The CIFAR network of depth 6n + 2, else ValueError: three stages of n basic blocks; `options` of `ResNet`.

    block: "basic"; "bottleneck" for depth 9n + 2, usual for 164 and 1001 layers; "single" for 3n + 2. The usual
    `shortcut` is "A", and "B" of bottlenecks.

    weights: None, or the data set of trained weights that MiniRes brings along, such as "digits" (`pretrained`).
    """
    block = block or usual_block(depth)
    try:
        count = blocks_in_a_stage(block, depth)
    except ValueError as error:
        raise ValueError(f"cifar_resnet: {error}") from None
    usual = {"stem": "cifar", "shortcut": "B" if block == "bottleneck" else "A"}
    name = f"resnet{depth}" if block == usual_block(depth) else f"resnet{depth}:block={block}"
    return _trained(name, partial(ResNet, BLOCKS[block][0], (count,) * 3), num_classes, usual, options)


def highway(
    depth: int,
    num_classes: int = 10,
    *,
    dense: bool = False,
    carry: Carry = "coupled",
    gate_bias: float = -2.0,
    **options: Any,
) -> ResNet | DenseHighway:
    """A highway network (Srivastava et al. 2015, arXiv 1505.00387): y = T·H(x) + C·x in every layer.

    Args:
        depth: 3n + 2 for a convolutional network, whose layers are single 3×3 convolutions in three stages; with
            `dense` the number of fully connected layers.
        num_classes: outputs of the classifier.
        dense: a `DenseHighway` instead of a `ResNet`.
        carry: "coupled" for C = 1 − T, "own" for a gate of its own.
        gate_bias: b_T at the start.
        options: of `DenseHighway` or `cifar_resnet`. The convolutional gates are 3×3 convolutions (gate_form), there is
            no normalisation (norm), and where sizes change x is subsampled and padded with zeros (shortcut "A").

    Raises ValueError for other values, TypeError for an unknown option.
    """
    if options.get("weights") is not None:
        raise WeightsError(
            f"there are no trained weights of highway networks: leave out weights={options['weights']!r}"
        )
    options.pop("weights", None)
    if dense:
        return DenseHighway(depth, num_classes, carry=carry, gate_bias=gate_bias, **options)
    if carry not in ("coupled", "own"):
        raise ValueError(f"highway: carry {carry!r} must be 'coupled' or 'own'")
    gate = "exclusive" if carry == "coupled" else "highway"
    usual = {"block": "single", "order": "relu_before_add", "norm": "none", "gate": gate, "gate_form": "conv3x3"}
    return cifar_resnet(depth, num_classes, gate_bias=gate_bias, **{**usual, **options})


def build(name: str, num_classes: int | None = None, **options: Any) -> ResNet | DenseHighway | ConvNet:
    """The network called `name`: "resnet18", "plain20", "preact164", "highway20", "dense_highway10", …

    Any CIFAR depth 6n + 2 works, also "resnet8". Options may also stand in the name:
    "resnet20:gate=exclusive,gate_bias=-6".

    num_classes: the number of outputs; None for the usual 1000 or 10. Raises ValueError for an unknown name or value,
    ModelError (a ValueError) for options in the name that cannot be, TypeError for an unknown argument.
    """
    found = parse(name)
    twice = sorted(options.keys() & found.options.keys())
    if twice:
        raise ValueError(f"build: {', '.join(twice)} of {name} is given twice, in the name and as an argument")
    options |= found.options
    if num_classes is not None:
        options["num_classes"] = num_classes
    try:
        return _built(name, found, options)
    except (TypeError, ValueError) as error:
        if found.options:  # they come from a command line or a file, so the message must do without a traceback
            raise ModelError(f"{name}: {error}") from error
        raise


def _built(name: str, found: Name, options: dict[str, Any]) -> ResNet | DenseHighway | ConvNet:
    if found.kind == "plain":
        if options.get("shortcut") is not None:
            raise ValueError(f"{name} has no shortcuts, so shortcut={options['shortcut']!r} must be left out")
        options["shortcut"] = None
    if found.kind == "preact":
        options.setdefault("order", "full")
    if found.kind in VARIANTS:
        return _variant(found.kind, **options)
    if found.kind == CONVNET:
        return convnet8(**options)
    if found.kind == "dense_highway":
        _refuse_weights(options)
        return DenseHighway(found.depth, **options)
    if found.kind == "highway":
        return highway(found.depth, **options)
    return imagenet_resnet(found.depth, **options) if found.is_imagenet else cifar_resnet(found.depth, **options)


def image_size(name: str) -> int:
    """The image size in pixels for which the network `name` is designed, as 224 or 32. Raises ValueError if unknown."""
    found = parse(name)
    if found.kind == "dense_highway":
        return int(found.options.get("image", 28))
    return 224 if found.is_imagenet else 32


def _variant(name: str, num_classes: int = 1000, **options: Any) -> ResNet:
    depth, own = VARIANTS[name]
    block, blocks = IMAGENET[depth]
    return _trained(name, partial(ResNet, block, blocks), num_classes, {"shortcut": "B", **own}, options)


def _refuse_weights(options: dict[str, Any]) -> None:
    """Take `weights` out of the options of a highway network. Raises WeightsError if it is not None."""
    weights = options.pop("weights", None)
    if weights is not None:
        raise WeightsError(f"there are no trained weights of highway networks: leave out weights={weights!r}")


def _trained(
    name: str, make: Callable[..., Network], num_classes: int, usual: dict[str, Any], options: dict[str, Any]
) -> Network:
    """make(num_classes, …) with the `usual` options and the given ones; with the option `weights`, with those weights.

    Trained weights are of the usual network: `num_classes` is theirs, and so is in_channels unless it is given. Raises
    TypeError for torchvision's old option `pretrained`, WeightsError for weights that there are not, or that do not
    fit.
    """
    if "pretrained" in options:
        raise TypeError('pretrained= is torchvision\'s of old: weights="imagenet", or model.load_state_dict(weights)')
    weights = options.pop("weights", None)
    if weights is None:
        return make(num_classes, **{**usual, **options})
    from minires.models import pretrained
    from minires.models.checkpoints import network_options
    from minires.nn.init import no_draws

    if options.get("shortcut", "") in (None, "none"):
        raise WeightsError(f"there are no trained weights of plain networks: {name} without shortcuts is one")
    other = sorted(key for key in options.keys() - {"in_channels"} if key not in usual or usual[key] != options[key])
    if other:
        raise WeightsError(f"the weights {weights!r} are of the usual {name}: leave out {', '.join(other)}")
    arrays = pretrained.load(name, weights)
    found = network_options(name, arrays)
    if num_classes != found["num_classes"]:
        raise WeightsError(
            f"the weights {weights!r} of {name} are for {found['num_classes']} classes, not {num_classes}"
        )
    with no_draws():
        model = make(num_classes, **{"in_channels": found["in_channels"], **usual, **options})
    model.load_state_dict(arrays)
    return model


def resnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-18: 11.7 M parameters, 1.8 G multiply-adds at 224×224."""
    return imagenet_resnet(18, num_classes, **options)


def resnet34(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-34: 21.8 M parameters."""
    return imagenet_resnet(34, num_classes, **options)


def resnet50(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-50 v1.5: 25.6 M parameters; the stride is on the 3×3 convolution, as in torchvision."""
    return imagenet_resnet(50, num_classes, **options)


def resnet101(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-101 v1.5: 44.5 M parameters."""
    return imagenet_resnet(101, num_classes, **options)


def resnet152(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-152 v1.5: 60.2 M parameters."""
    return imagenet_resnet(152, num_classes, **options)


def resnext50_32x4d(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNeXt-50 32×4d: 25.0 M parameters; its 3×3 convolutions have 32 groups of 4, 8, 16 and 32 channels."""
    return _variant("resnext50_32x4d", num_classes, **options)


def resnext101_32x8d(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNeXt-101 32×8d: 88.8 M parameters."""
    return _variant("resnext101_32x8d", num_classes, **options)


def resnext101_64x4d(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNeXt-101 64×4d: 83.5 M parameters."""
    return _variant("resnext101_64x4d", num_classes, **options)


def wide_resnet50_2(num_classes: int = 1000, **options: Any) -> ResNet:
    """Wide ResNet-50-2: 68.9 M parameters; its 3×3 convolutions have twice the channels of ResNet-50's."""
    return _variant("wide_resnet50_2", num_classes, **options)


def wide_resnet101_2(num_classes: int = 1000, **options: Any) -> ResNet:
    """Wide ResNet-101-2: 126.9 M parameters."""
    return _variant("wide_resnet101_2", num_classes, **options)


def resnet20(num_classes: int = 10, **options: Any) -> ResNet:
    """CIFAR ResNet-20: 0.27 M parameters."""
    return cifar_resnet(20, num_classes, **options)


def resnet32(num_classes: int = 10, **options: Any) -> ResNet:
    """CIFAR ResNet-32: 0.46 M parameters."""
    return cifar_resnet(32, num_classes, **options)


def resnet44(num_classes: int = 10, **options: Any) -> ResNet:
    """CIFAR ResNet-44: 0.66 M parameters."""
    return cifar_resnet(44, num_classes, **options)


def resnet56(num_classes: int = 10, **options: Any) -> ResNet:
    """CIFAR ResNet-56: 0.85 M parameters."""
    return cifar_resnet(56, num_classes, **options)


def resnet110(num_classes: int = 10, **options: Any) -> ResNet:
    """CIFAR ResNet-110: 1.7 M parameters."""
    return cifar_resnet(110, num_classes, **options)


def resnet1202(num_classes: int = 10, **options: Any) -> ResNet:
    """CIFAR ResNet-1202: 19.4 M parameters."""
    return cifar_resnet(1202, num_classes, **options)


def convnet8(num_classes: int = 10, **options: Any) -> ConvNet:
    """Eight layers without shortcuts, for CIFAR-10 in ten epochs: 2.0 M parameters."""
    return _trained(CONVNET, ConvNet, num_classes, {}, options)


def __getattr__(name: str) -> Any:
    """`plain18`, `plain20`, …: the twin of each network without shortcuts; `preact164`, `dense_highway10`, …"""
    if name.startswith(("plain", "preact", "highway", "dense_highway")) and name in available():
        return lambda *args, **options: build(name, *args, **options)
    raise AttributeError(f"module 'minires.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *available()})
