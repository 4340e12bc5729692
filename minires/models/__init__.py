"""Floor 4: the networks of the residual papers, by name.

`resnet18 … resnet152` are ImageNet's, with torchvision's structure and names; `resnet20 … resnet1202` are CIFAR's, of
depth 6n + 2, with the paper's option-A shortcuts. Each has a twin without shortcuts: `plain18`, `plain20`, …
All take `num_classes=`, `in_channels=`, `shortcut=` and `zero_init_residual=`.
"""

from __future__ import annotations

from typing import Any

from minires.models.resnet import BasicBlock, Bottleneck, ResNet

IMAGENET: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}
CIFAR = (20, 32, 44, 56, 110, 1202)


def imagenet_resnet(depth: int, num_classes: int = 1000, **options: Any) -> ResNet:
    """The ImageNet network of 18, 34, 50, 101 or 152 layers; shortcut "B" unless told otherwise."""
    if depth not in IMAGENET:
        raise ValueError(f"imagenet_resnet: depth {depth} must be one of {', '.join(map(str, IMAGENET))}")
    block, blocks = IMAGENET[depth]
    return ResNet(block, blocks, num_classes, **options)


def cifar_resnet(depth: int, num_classes: int = 10, **options: Any) -> ResNet:
    """The CIFAR network of depth 6n + 2: 3×3 stem, three stages of n basic blocks; shortcut "A" unless told so."""
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"cifar_resnet: depth {depth} must be 6n + 2: 8, 14, 20, 32, …")
    return ResNet(BasicBlock, ((depth - 2) // 6,) * 3, num_classes, stem="cifar", **{"shortcut": "A", **options})


def available() -> tuple[str, ...]:
    """Names that `build` knows."""
    return tuple(f"{kind}{depth}" for kind in ("resnet", "plain") for depth in (*IMAGENET, *CIFAR))


def build(name: str, num_classes: int | None = None, **options: Any) -> ResNet:
    """The network called `name`, e.g. "resnet18" or "plain20"; any CIFAR depth 6n + 2 works too, e.g. "resnet8"."""
    kind, depth = _kind_and_depth(name)
    if kind == "plain":
        options["shortcut"] = None
    if num_classes is not None:
        options["num_classes"] = num_classes
    return imagenet_resnet(depth, **options) if depth in IMAGENET else cifar_resnet(depth, **options)


def image_size(name: str) -> int:
    """Height and width in pixels of the images that the network called `name` was designed for: 224 or 32."""
    return 224 if _kind_and_depth(name)[1] in IMAGENET else 32


def _kind_and_depth(name: str) -> tuple[str, int]:
    """("resnet", 18) of "resnet18". Raises ValueError where there is no such network."""
    kind = name.rstrip("0123456789")
    depth = int(name[len(kind) :] or 0)
    if kind not in ("resnet", "plain") or not (depth in IMAGENET or (depth >= 8 and depth % 6 == 2)):
        raise ValueError(f"no model {name!r}: known are {', '.join(available())}")
    return kind, depth


def resnet18(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-18: 11.7 M parameters, 1.8 G multiply-adds at 224×224."""
    return imagenet_resnet(18, num_classes, **options)


def resnet34(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-34."""
    return imagenet_resnet(34, num_classes, **options)


def resnet50(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-50 v1.5: the stride is on the 3×3, as in torchvision."""
    return imagenet_resnet(50, num_classes, **options)


def resnet101(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-101 v1.5."""
    return imagenet_resnet(101, num_classes, **options)


def resnet152(num_classes: int = 1000, **options: Any) -> ResNet:
    """ResNet-152 v1.5."""
    return imagenet_resnet(152, num_classes, **options)


def resnet20(num_classes: int = 10, **options: Any) -> ResNet:
    """CIFAR ResNet-20: 0.27 M parameters."""
    return cifar_resnet(20, num_classes, **options)


def resnet32(num_classes: int = 10, **options: Any) -> ResNet:
    """CIFAR ResNet-32."""
    return cifar_resnet(32, num_classes, **options)


def resnet44(num_classes: int = 10, **options: Any) -> ResNet:
    """CIFAR ResNet-44."""
    return cifar_resnet(44, num_classes, **options)


def resnet56(num_classes: int = 10, **options: Any) -> ResNet:
    """CIFAR ResNet-56."""
    return cifar_resnet(56, num_classes, **options)


def resnet110(num_classes: int = 10, **options: Any) -> ResNet:
    """CIFAR ResNet-110."""
    return cifar_resnet(110, num_classes, **options)


def resnet1202(num_classes: int = 10, **options: Any) -> ResNet:
    """CIFAR ResNet-1202: 19.4 M parameters."""
    return cifar_resnet(1202, num_classes, **options)


def __getattr__(name: str) -> Any:
    """`plain18`, `plain20`, …: the twin of each network with its shortcuts removed."""
    if name.startswith("plain") and name in available():
        return lambda *args, **options: build(name, *args, **options)
    raise AttributeError(f"module 'minires.models' has no attribute {name!r}")
