"""The names of the networks, and the tables behind them."""

from __future__ import annotations

from minires.models.convnet import NAME as CONVNET
from minires.models.resnet import BasicBlock, Bottleneck

IMAGENET: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}
CIFAR = (20, 32, 44, 56, 110, 1202)
# Bottlenecks with groups or more channels: (depth, options of ResNet).
VARIANTS: dict[str, tuple[int, dict[str, int]]] = {
    "resnext50_32x4d": (50, {"groups": 32, "width_per_group": 4}),
    "resnext101_32x8d": (101, {"groups": 32, "width_per_group": 8}),
    "resnext101_64x4d": (101, {"groups": 64, "width_per_group": 4}),
    "wide_resnet50_2": (50, {"width_per_group": 128}),
    "wide_resnet101_2": (101, {"width_per_group": 128}),
}


def available() -> tuple[str, ...]:
    """The names of the networks in the papers; `build` accepts other CIFAR depths too."""
    by_depth = (f"{kind}{depth}" for kind in ("resnet", "plain") for depth in (*IMAGENET, *CIFAR))
    return (*by_depth, *VARIANTS, CONVNET)


def kind_and_depth(name: str) -> tuple[str, int]:
    """("resnet", 18) for "resnet18", ("resnext50_32x4d", 50) for that network.

    Raises ValueError, listing the networks, for an unknown name.
    """
    if name == CONVNET:
        return name, 8
    if name in VARIANTS:
        return name, VARIANTS[name][0]
    kind = name.rstrip("0123456789")
    depth = int(name[len(kind) :] or 0)
    if kind not in ("resnet", "plain") or not (depth in IMAGENET or is_cifar_depth(depth)):
        raise ValueError(
            f"no model {name!r}: known are {', '.join(available())}, and every CIFAR depth resnet{{6n+2}} and "
            "plain{6n+2}, such as resnet8"
        )
    return kind, depth


def is_cifar_depth(depth: int) -> bool:
    """Whether there is a CIFAR network of this depth, 6n + 2."""
    return depth >= 8 and depth % 6 == 2
