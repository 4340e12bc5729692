"""Residual networks (He et al. 2015, arXiv 1512.03385), one class for the whole family: with its plain twins, the wide
ones (Zagoruyko and Komodakis 2016, arXiv 1605.07146), those whose 3×3 convolutions have groups (ResNeXt, Xie et al.
2017, arXiv 1611.05431), pre-activation and gated ones (He et al. 2016, arXiv 1603.05027).

A stem, stages of blocks (`blocks.py`), global average pooling, a linear classifier. Parameter names are torchvision's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Protocol

from minires import functional as F
from minires import nn
from minires.core.tensor import Tensor
from minires.models.blocks import BasicBlock as BasicBlock
from minires.models.blocks import Block as Block
from minires.models.blocks import Bottleneck as Bottleneck
from minires.models.blocks import SingleBlock as SingleBlock
from minires.models.blocks import relu_of_norm
from minires.models.initialisation import initialise
from minires.models.shortcuts import SHORTCUTS, conv3x3
from minires.models.shortcuts import Shortcut as Shortcut
from minires.models.shortcuts import SubsampleAndPad as SubsampleAndPad
from minires.models.shortcuts import make_shortcut as make_shortcut
from minires.models.variants import VARIED, VariedBlock
from minires.models.variation import Variation


class BlockClass(Protocol):
    """What `ResNet` asks of a class of blocks, its own or a user's (`examples/own_block.py`).

    `block(inputs, width, stride, shortcut)` is a Module: (N, inputs, H, W) -> (N, expansion · width, ⌈H/stride⌉,
    ⌈W/stride⌉). The first block of a stage may change the shape; the others get inputs = expansion · width and
    stride 1. `shortcut` is what ResNet was given; `make_shortcut` makes a Module of it. For `zero_init_residual` the
    block has an attribute `last_norm`, the batch norm that ends F.
    """

    @property
    def expansion(self) -> int:
        """Output channels / width."""

    def __call__(self, inputs: int, width: int, stride: int, shortcut: Any, /) -> nn.Module:
        """A block."""


class ResNet(nn.Module):
    """Stem, stages of blocks, global average pooling, linear classifier.

    Args:
        block: BasicBlock, Bottleneck, SingleBlock, or a class of your own (`BlockClass`).
        blocks: the number of blocks in each stage, (2, 2, 2, 2) for ResNet-18. Each stage after the first halves height
            and width and doubles the channels.
        num_classes: outputs of the classifier.
        in_channels: channels of the image.
        stem: "imagenet" (7×7 stride 2, max pool 3×3 stride 2; widths 64, 128, …) or "cifar" (3×3; widths 16, 32, …).
        shortcut: option "A", "B" or "C" of the paper; "conv1x1", a convolution in every block; None or "none" for the
            plain network.
        zero_init_residual: start each block's last batch norm with weight 0, so that the block starts as the identity.
        groups, width_per_group: groups of a bottleneck's 3×3 convolution, and the channels of each in the first stage:
            (32, 4) for ResNeXt-50 32×4d, (1, 128) for Wide ResNet-50-2 (torchvision's).
        width: the width of the first stage, if not that of `stem`.
        variation: options that vary the blocks: order, norm, init, gate, gate_form, gate_bias, carry_bias,
            residual_scale, shortcut_scale, shortcut_dropout, survival. `Variation` describes them.

    Raises ValueError for other values of these, for zero_init_residual and options of a shortcut without shortcuts, for
    groups or a width per group of other blocks than bottlenecks, and for a stage without blocks; TypeError for a block
    that cannot be one, or cannot be varied, and for an unknown option.
    """

    aliases: ClassVar = {"linear": "fc"}

    def __init__(
        self,
        block: BlockClass,
        blocks: Sequence[int],
        num_classes: int = 1000,
        *,
        in_channels: int = 3,
        stem: Literal["imagenet", "cifar"] = "imagenet",
        shortcut: Shortcut | Literal["none"] = "B",
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        width: int | None = None,
        **variation: Any,
    ) -> None:
        shortcut = None if shortcut == "none" else shortcut
        _check(block, blocks, stem, shortcut, zero_init_residual, width)
        unknown = sorted(variation.keys() - Variation.__dataclass_fields__)
        if unknown:
            raise TypeError(f"ResNet: unexpected keyword argument {', '.join(map(repr, unknown))}")
        varied = Variation(**variation)
        if shortcut is None:
            varied.refuse_without_shortcut()
        make = _Maker(block, shortcut, sum(blocks), varied, groups, width_per_group)
        width = width or (64 if stem == "imagenet" else 16)
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        else:
            self.conv1 = conv3x3(in_channels, width)
        self.bn1 = varied.make_norm(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem == "imagenet" else nn.Identity()
        channels = width
        self.stages = [f"layer{number + 1}" for number in range(len(blocks))]
        for number, (stage, count) in enumerate(zip(self.stages, blocks, strict=True)):
            stride = 1 if number == 0 else 2
            first = make(channels, width << number, stride)  # it changes the shape, the others do not
            channels = (width << number) * block.expansion
            setattr(self, stage, nn.Sequential(first, *[make(channels, width << number, 1) for _ in range(count - 1)]))
        # Pre-activation blocks end with a sum, which is activated before the classifier sees it.
        endings: dict[str, Callable[[], nn.Module]] = {
            "full": lambda: nn.Sequential(varied.make_norm(channels), nn.ReLU()),
            "relu_only": nn.ReLU,
        }
        self.final = endings[varied.order]() if varied.order in endings else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        initialise(self, varied.init, [each for each in self.modules() if isinstance(each, VariedBlock)])
        if zero_init_residual:
            self._zero_last_norms()

    def _zero_last_norms(self) -> None:
        for stage in self.stages:
            for block in getattr(self, stage):
                if not hasattr(block, "last_norm"):
                    name = type(block).__name__
                    raise TypeError(f"ResNet: zero_init_residual needs {name}.last_norm, the batch norm that ends F")
                nn.init.constant_(block.last_norm.weight, 0.0)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """The output of every stage, {"layer1": (N, C, H, W), "layer2": …}, for detection and segmentation."""
        x = self.maxpool(relu_of_norm(self.relu, self.bn1, self.conv1(x)))
        outputs = {}
        for stage in self.stages:
            outputs[stage] = x = getattr(self, stage)(x)
        return outputs

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, in_channels, H, W) -> logits (N, num_classes)."""
        x = self.features(x)[self.stages[-1]]
        if self.final is not None:
            x = self.final(x)
        return self.fc(F.flatten(self.avgpool(x), 1))


class _Maker:
    """Makes the blocks of a network, one after another: make(inputs, width, stride)."""

    def __init__(
        self, block: Any, shortcut: Shortcut, count: int, varied: Variation, groups: int, width_per_group: int
    ) -> None:
        self.block, self.shortcut, self.count, self.varied, self.made = block, shortcut, count, varied, 0
        self.options: dict[str, Any] = {}
        is_ours = isinstance(block, type) and issubclass(block, Block)
        if (groups, width_per_group) != (1, 64):
            if is_ours and not issubclass(block, Bottleneck):
                raise ValueError(
                    f"ResNet: groups={groups} and width_per_group={width_per_group} are of bottlenecks: a "
                    f"{block.__name__} needs 1 and 64; use Bottleneck"
                )
            self.options = {"groups": groups, "base_width": width_per_group}
        if not varied.is_usual and block not in VARIED:
            raise TypeError(
                "ResNet: order, norm, gates, scales and survival are options of BasicBlock, Bottleneck, SingleBlock: "
                f"{getattr(block, '__name__', block)} has an order and a sum of its own"
            )

    def __call__(self, inputs: int, width: int, stride: int) -> nn.Module:
        self.made += 1
        if self.varied.is_usual:
            usual: nn.Module = self.block(inputs, width, stride, self.shortcut, **self.options)
            return usual
        return VARIED[self.block](
            inputs,
            width,
            stride,
            self.shortcut,
            variation=self.varied,
            is_first=self.made == 1,
            survival=1 - (1 - self.varied.survival) * self.made / self.count,
            **self.options,
        )


def _check(block: Any, blocks: Sequence[int], stem: str, shortcut: Any, zero_init_residual: bool, width: Any) -> None:
    """Raise as `ResNet` says, but for what `Variation` checks."""
    if stem not in ("imagenet", "cifar") or shortcut not in SHORTCUTS:
        raise ValueError(
            f"ResNet: stem {stem!r} must be 'imagenet' or 'cifar', shortcut {shortcut!r} 'A', 'B', 'C' or None, or "
            "'conv1x1'"
        )
    if zero_init_residual and shortcut is None:
        raise ValueError(
            "ResNet: zero_init_residual starts each block as its shortcut, and a plain network has none: all its "
            "features and gradients would stay 0"
        )
    if not blocks or min(blocks) < 1:
        raise ValueError(f"ResNet: blocks {tuple(blocks)} must be at least one in each stage")
    if width is not None and not (isinstance(width, int) and width >= 1):
        raise ValueError(f"ResNet: width {width!r} must be an integer of 1 or more")
    if not (callable(block) and isinstance(getattr(block, "expansion", None), int)):
        raise TypeError(
            f"ResNet: block {block!r} must be a class with an integer `expansion`, which is called as "
            "block(inputs, width, stride, shortcut)"
        )
