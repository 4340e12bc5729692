"""Residual networks (He et al. 2015, arXiv 1512.03385), one class for the whole family, with the wide ones (Zagoruyko
and Komodakis 2016, arXiv 1605.07146) and those whose 3×3 convolutions have groups (ResNeXt, Xie et al. 2017, arXiv
1611.05431).

    plain     y = relu(F(x))
    residual  y = relu(F(x) + x)      the sum passes its gradient to both terms, so x receives it undiminished

Parameter names and the position of the stride (on a bottleneck's 3×3 convolution) are torchvision's, so its checkpoints
load.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal, Protocol

from minires import functional as F
from minires import nn
from minires.core.tensor import Tensor

Shortcut = Literal["A", "B", "C"] | None


def conv3x3(inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A 3×3 convolution with padding 1 and no bias, which the batch norm after it would cancel."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, groups=groups, bias=False)


def conv1x1(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 1×1 convolution without bias."""
    return nn.Conv2d(inputs, outputs, 1, stride, bias=False)


class SubsampleAndPad(nn.Module):
    """Shortcut option A, without parameters: every stride-th pixel, and zeros for the missing channels."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        self.missing, self.stride = outputs - inputs, stride

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, ⌈H/stride⌉, ⌈W/stride⌉); half of the zeros before x, half after."""
        x = x[:, :, :: self.stride, :: self.stride]
        before = self.missing // 2
        return F.pad(x, (0, 0, 0, 0, before, self.missing - before))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, zero_channels={self.missing}"


def make_shortcut(option: Shortcut, inputs: int, outputs: int, stride: int) -> nn.Module | None:
    """The module of a shortcut option: A pads and B projects if the shape changes, C always projects.

    None if the shortcut is x itself, or if there is none (option None).
    """
    changes = stride != 1 or inputs != outputs
    if option == "C" or (option == "B" and changes):
        return nn.Sequential(conv1x1(inputs, outputs, stride), nn.BatchNorm2d(outputs))
    return SubsampleAndPad(inputs, outputs, stride) if option == "A" and changes else None


def relu_of_norm(relu: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    """relu(norm(x)): in one pass, unless someone has put other layers in their places or hooked into them."""
    are_usual = type(relu) is nn.ReLU and type(norm).forward is nn.BatchNorm2d.forward
    if are_usual and not (relu.has_forward_hooks or norm.has_forward_hooks):
        return norm(x, relu=True)
    return relu(norm(x))


class Block(nn.Module):
    """The part that both kinds of block share: the sum of F(x) and the shortcut, and the ReLU after it."""

    expansion: ClassVar[int]  # output channels / width
    plain: bool
    relu: nn.Module
    downsample: nn.Module | None

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The last batch norm of F, for `zero_init_residual`."""
        raise NotImplementedError

    def residual(self, x: Tensor) -> Tensor:
        """F(x): x (N, C, H, W) -> (N, expansion · width, ⌈H/stride⌉, ⌈W/stride⌉)."""
        raise NotImplementedError

    def shortcut(self, x: Tensor) -> Tensor:
        """x in the shape of F(x)."""
        return x if self.downsample is None else self.downsample(x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, expansion · width, ⌈H/stride⌉, ⌈W/stride⌉)."""
        if self.plain:
            return self.relu(self.residual(x))
        return self.relu(self.residual(x) + self.shortcut(x))


class BasicBlock(Block):
    """Two 3×3 convolutions: the block of ResNet-18 and -34, and of the CIFAR networks."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int = 1, shortcut: Shortcut = "B") -> None:
        self.plain = shortcut is None
        self.conv1 = conv3x3(inputs, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = make_shortcut(shortcut, inputs, width, stride)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn2

    def residual(self, x: Tensor) -> Tensor:
        y = relu_of_norm(self.relu, self.bn1, self.conv1(x))
        return self.bn2(self.conv2(y))


class Bottleneck(Block):
    """1×1 down, 3×3, 1×1 up: the block of ResNet-50, -101 and -152.

    With `groups` or another `base_width` than 64 the 3×3 convolution has groups · ⌊width · base_width/64⌋ channels:
    32 groups of 4 for ResNeXt-50, twice `width` for the wide networks.
    """

    expansion = 4

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        groups: int = 1,
        base_width: int = 64,
    ) -> None:
        inner = groups * int(width * (base_width / 64))
        self.plain = shortcut is None
        self.conv1 = conv1x1(inputs, inner)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = conv3x3(inner, inner, stride, groups)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = conv1x1(inner, width * self.expansion)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU()
        self.downsample = make_shortcut(shortcut, inputs, width * self.expansion, stride)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn3

    def residual(self, x: Tensor) -> Tensor:
        y = relu_of_norm(self.relu, self.bn1, self.conv1(x))
        y = relu_of_norm(self.relu, self.bn2, self.conv2(y))
        return self.bn3(self.conv3(y))


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
        block: BasicBlock, Bottleneck, or a class of your own (`BlockClass`).
        blocks: the number of blocks in each stage, (2, 2, 2, 2) for ResNet-18. Each stage after the first halves height
            and width and doubles the channels.
        num_classes: outputs of the classifier.
        in_channels: channels of the image.
        stem: "imagenet" (7×7 stride 2, max pool 3×3 stride 2; widths 64, 128, …) or "cifar" (3×3; widths 16, 32, …).
        shortcut: option "A", "B" or "C" of the paper; None for the plain network.
        zero_init_residual: start each block's last batch norm with weight 0, so that the block starts as the identity.
        groups, width_per_group: groups of a bottleneck's 3×3 convolution, and the channels of each in the first stage:
            (32, 4) for ResNeXt-50 32×4d, (1, 128) for Wide ResNet-50-2 (torchvision's).

    Raises ValueError for other values of `stem` and `shortcut`, for zero_init_residual without shortcuts, for groups or
    a width of basic blocks, and for a stage without blocks; TypeError for a block that cannot be one.
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
        shortcut: Shortcut = "B",
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
    ) -> None:
        if stem not in ("imagenet", "cifar") or shortcut not in ("A", "B", "C", None):
            raise ValueError(
                f"ResNet: stem {stem!r} must be 'imagenet' or 'cifar', shortcut {shortcut!r} 'A', 'B', 'C' or None"
            )
        if zero_init_residual and shortcut is None:
            raise ValueError(
                "ResNet: zero_init_residual starts each block as its shortcut, and a plain network has none: all its "
                "features and gradients would stay 0"
            )
        if not blocks or min(blocks) < 1:
            raise ValueError(f"ResNet: blocks {tuple(blocks)} must be at least one in each stage")
        if not (callable(block) and isinstance(getattr(block, "expansion", None), int)):
            raise TypeError(
                f"ResNet: block {block!r} must be a class with an integer `expansion`, which is called as "
                "block(inputs, width, stride, shortcut)"
            )
        make: Any = block
        if (groups, width_per_group) != (1, 64):
            if isinstance(block, type) and issubclass(block, BasicBlock):
                raise ValueError(
                    f"ResNet: groups={groups} and width_per_group={width_per_group} are of bottlenecks: a "
                    f"{block.__name__} needs 1 and 64; use Bottleneck"
                )
            make = partial(make, groups=groups, base_width=width_per_group)
        width = 64 if stem == "imagenet" else 16
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        else:
            self.conv1 = conv3x3(in_channels, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if stem == "imagenet" else nn.Identity()
        channels = width
        self.stages = [f"layer{number + 1}" for number in range(len(blocks))]
        for number, (stage, count) in enumerate(zip(self.stages, blocks, strict=True)):
            stride = 1 if number == 0 else 2
            first = make(channels, width << number, stride, shortcut)  # it changes the shape, the others do not
            channels = (width << number) * block.expansion
            others = [make(channels, width << number, 1, shortcut) for _ in range(count - 1)]
            setattr(self, stage, nn.Sequential(first, *others))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        self._initialise()
        if zero_init_residual:
            self._zero_last_norms()

    def _initialise(self) -> None:
        """Convolutions from N(0, 2/fan_out) (arXiv 1502.01852); batch norm already has weight 1 and bias 0."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

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
        return self.fc(F.flatten(self.avgpool(x), 1))
