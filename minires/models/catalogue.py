"""The networks by name: "resnet18", "plain20", "preact164", "highway20", "dense_highway10", "resnext50_32x4d", …

A name may have options behind a colon, those of the network's function: "resnet110:gate=exclusive,gate_bias=-6". So a
command line, a run's settings and a checkpoint say which network they mean in one word.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

from minires.models.blocks import BasicBlock, Bottleneck, SingleBlock
from minires.models.convnet import NAME as CONVNET

IMAGENET: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}
CIFAR = (20, 32, 44, 56, 110, 1202)
CIFAR_BOTTLENECKS = (164, 1001)  # He et al. 2016: depth 9n + 2
PREACTIVATION = (20, 110, *CIFAR_BOTTLENECKS)
DENSE_HIGHWAYS = (10, 20, 50, 100)  # Srivastava et al. 2015, Fig. 1
# Bottlenecks with groups or more channels: (depth, options of ResNet).
VARIANTS: dict[str, tuple[int, dict[str, int]]] = {
    "resnext50_32x4d": (50, {"groups": 32, "width_per_group": 4}),
    "resnext101_32x8d": (101, {"groups": 32, "width_per_group": 8}),
    "resnext101_64x4d": (101, {"groups": 64, "width_per_group": 4}),
    "wide_resnet50_2": (50, {"width_per_group": 128}),
    "wide_resnet101_2": (101, {"width_per_group": 128}),
}
# Of the CIFAR networks: (class, convolutions on the longest path of a block).
BLOCKS: dict[str, tuple[type[SingleBlock] | type[BasicBlock] | type[Bottleneck], int]] = {
    "single": (SingleBlock, 1),
    "basic": (BasicBlock, 2),
    "bottleneck": (Bottleneck, 3),
}


FROM_THE_DATA = ("num_classes", "in_channels")  # no options of a name


@dataclass(frozen=True)
class Name:
    """A network's name, taken apart.

    Attributes:
        kind: "resnet", "plain", "preact", "highway", "dense_highway", "convnet8" or a key of VARIANTS.
        depth: the number of its layers.
        options: those behind the colon.
    """

    kind: str
    depth: int
    options: dict[str, Any]

    @property
    def is_imagenet(self) -> bool:
        """Whether it is one of the networks for images of 224 pixels."""
        return self.kind in VARIANTS or (self.depth in IMAGENET and self.kind in ("resnet", "plain", "preact"))

    @property
    def block(self) -> str:
        """The key of BLOCKS of a CIFAR network."""
        usual = "single" if self.kind == "highway" else usual_block(self.depth)
        return str(self.options.get("block", usual))


def usual_block(depth: int) -> str:
    """The block of the papers' CIFAR network of that depth."""
    return "bottleneck" if depth in CIFAR_BOTTLENECKS else "basic"


def blocks_in_a_stage(block: str, depth: int) -> int:
    """The n of a CIFAR network of three stages. Raises ValueError unless depth = 3·n·(convolutions of a block) + 2."""
    if block not in BLOCKS:
        raise ValueError(f"block {block!r} must be one of {', '.join(map(repr, BLOCKS))}")
    each = 3 * BLOCKS[block][1]
    if depth < each + 2 or depth % each != 2:
        examples = ", ".join(str(each * n + 2) for n in range(1, 5))
        raise ValueError(f"depth {depth} must be {each}n + 2: {examples}, …")
    return (depth - 2) // each


def available() -> tuple[str, ...]:
    """The names of the networks in the papers; `build` accepts other CIFAR depths too."""
    by_depth = (f"{kind}{depth}" for kind in ("resnet", "plain") for depth in (*IMAGENET, *CIFAR))
    preactivation = (f"preact{depth}" for depth in PREACTIVATION)
    return (
        *by_depth,
        *VARIANTS,
        *preactivation,
        "highway20",
        *(f"dense_highway{depth}" for depth in DENSE_HIGHWAYS),
        CONVNET,
    )


def parse(name: str) -> Name:
    """Take a name apart. Raises ValueError, listing the networks, for an unknown one, and for unreadable options."""
    base, colon, text = name.partition(":")
    options = _options(name, text) if colon else {}
    if base in VARIANTS:
        return Name(base, VARIANTS[base][0], options)
    if base == CONVNET:
        return Name(base, 8, options)
    kind = base.rstrip("0123456789")
    depth = int(base[len(kind) :][:9] or 0)
    found = Name(kind, depth, options)
    if not _exists(found):
        raise ValueError(
            f"no model {name!r}: known are {', '.join(available())}, and every CIFAR depth resnet{{6n+2}} and "
            "plain{6n+2}, such as resnet8, also preact{6n+2}, highway{3n+2} and dense_highway{n}"
        )
    return found


def _exists(name: Name) -> bool:
    if name.kind == "dense_highway":
        return name.depth >= 2
    if name.is_imagenet:
        return True
    if name.kind not in ("resnet", "plain", "preact", "highway"):
        return False
    try:
        return blocks_in_a_stage(name.block, name.depth) > 0
    except ValueError:
        return False


def _options(name: str, text: str) -> dict[str, Any]:
    """{"gate": "exclusive", "gate_bias": -6} of "gate=exclusive,gate_bias=-6". Raises ValueError."""
    options: dict[str, Any] = {}
    for part in text.split(","):
        found = re.fullmatch(r"([a-z_]{1,40})=([\w.+-]{1,40})", part)
        if found is None or found[1] in options or found[1] in FROM_THE_DATA:
            raise ValueError(
                f"{name[:200]!r}: options stand behind a colon, each once: resnet20:order=full,survival=0.5; {part!r} "
                "is not one"
            )
        options[found[1]] = _value(found[2])
    return options


def _value(text: str) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, (int, float, bool, type(None))) else text


def kind_and_depth(name: str) -> tuple[str, int]:
    """("resnet", 18) for "resnet18", ("resnext50_32x4d", 50) for that network.

    Raises ValueError, listing the networks, for an unknown name.
    """
    found = parse(name)
    return found.kind, found.depth
