"""The networks of the residual papers, by name.

`resnet18 … resnet152` are the ImageNet networks, with torchvision's structure and parameter names, and so are
`resnext50_32x4d`, `resnext101_32x8d`, `resnext101_64x4d`, `wide_resnet50_2` and `wide_resnet101_2`. `resnet20 …
resnet1202` are the CIFAR networks of depth 6n + 2, with option-A shortcuts (He et al. 2015). Each ResNet has a twin
without shortcuts: `plain18`, `plain20`, … All take `num_classes=`, `weights=`, `in_channels=`, `shortcut=` and
`zero_init_residual=`, as `ResNet` does. `convnet8` is a small network without shortcuts that learns CIFAR-10 quickly.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from minires.errors import WeightsError
from minires.models.convnet import NAME as CONVNET
from minires.models.convnet import ConvNet
from minires.models.names import IMAGENET, VARIANTS, available, is_cifar_depth, kind_and_depth
from minires.models.resnet import BasicBlock, BlockClass, Bottleneck, ResNet, make_shortcut
from minires.nn import Module

Network = TypeVar("Network", bound=Module)

__all__ = [
    "BasicBlock",
    "BlockClass",
    "Bottleneck",
    "ConvNet",
    "ResNet",
    "available",
    "build",
    "cifar_resnet",
    "convnet8",
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
    return _trained(f"resnet{depth}", partial(ResNet, block, blocks), num_classes, options)


def cifar_resnet(depth: int, num_classes: int = 10, **options: Any) -> ResNet:
    """The CIFAR network of depth 6n + 2, else ValueError: three stages of n basic blocks; shortcut "A" by default.

    weights: None, or the data set of trained weights that MiniRes brings along, such as "digits" (`pretrained`).
    """
    if not is_cifar_depth(depth):
        raise ValueError(f"cifar_resnet: depth {depth} must be 6n + 2: 8, 14, 20, 32, …")
    make = partial(ResNet, BasicBlock, ((depth - 2) // 6,) * 3, stem="cifar")
    return _trained(f"resnet{depth}", make, num_classes, {"shortcut": "A", **options})


def build(name: str, num_classes: int | None = None, **options: Any) -> ResNet | ConvNet:
    """The network called `name`, for example "resnet18" or "plain20"; any CIFAR depth 6n + 2 works, also "resnet8".

    num_classes: the number of outputs; None for the usual 1000 or 10. Raises ValueError for an unknown name, and
    WeightsError for `weights=` that there are not (`pretrained`).
    """
    kind, depth = kind_and_depth(name)
    if kind == "plain":
        if options.get("shortcut") is not None:
            raise ValueError(f"{name} has no shortcuts, so shortcut={options['shortcut']!r} must be left out")
        options["shortcut"] = None
    if num_classes is not None:
        options["num_classes"] = num_classes
    if name == CONVNET:
        return convnet8(**options)
    if name in VARIANTS:
        return _variant(name, **options)
    return imagenet_resnet(depth, **options) if depth in IMAGENET else cifar_resnet(depth, **options)


def image_size(name: str) -> int:
    """The image size in pixels, 224 or 32, for which the network `name` is designed. Raises ValueError if unknown."""
    return 224 if kind_and_depth(name)[1] in IMAGENET else 32


def _variant(name: str, num_classes: int = 1000, **options: Any) -> ResNet:
    depth, own = VARIANTS[name]
    block, blocks = IMAGENET[depth]
    return _trained(name, partial(ResNet, block, blocks), num_classes, {**own, **options})


def _trained(name: str, make: Callable[..., Network], num_classes: int, options: dict[str, Any]) -> Network:
    """make(num_classes, **options) without weights; with the option `weights`, a network with those.

    Trained weights are of one network: `num_classes` is theirs, and so is in_channels unless it is given. Raises
    TypeError for torchvision's old option `pretrained`, WeightsError for weights that there are not, or that do not
    fit.
    """
    if "pretrained" in options:
        raise TypeError('pretrained= is torchvision\'s of old: weights="imagenet", or model.load_state_dict(weights)')
    weights = options.pop("weights", None)
    if weights is None:
        return make(num_classes, **options)
    from minires.models import pretrained
    from minires.models.checkpoints import network_options
    from minires.nn.init import no_draws

    if options.get("shortcut", "") is None:
        raise WeightsError(f"there are no trained weights of plain networks: {name} without shortcuts is one")
    arrays = pretrained.load(name, weights)
    found = network_options(name, arrays)
    if num_classes != found["num_classes"]:
        raise WeightsError(
            f"the weights {weights!r} of {name} are for {found['num_classes']} classes, not {num_classes}"
        )
    with no_draws():
        model = make(num_classes, **{"in_channels": found["in_channels"], **options})
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
    return _trained(CONVNET, ConvNet, num_classes, options)


def __getattr__(name: str) -> Any:
    """`plain18`, `plain20`, …: the twin of each network without shortcuts."""
    if name.startswith("plain") and name in available():
        return lambda *args, **options: build(name, *args, **options)
    raise AttributeError(f"module 'minires.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *available()})
