"""The residual networks of the papers in PyTorch, under torchvision's names: the oracle of this folder's tests.

Written from the papers and from torchvision's published parameter names; torchvision itself is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Pad(nn.Module):
    """Option A: subsample, and pad the channels with zeros on both sides."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.inputs, self.outputs, self.stride = inputs, outputs, stride

    def forward(self, x: Tensor) -> Tensor:
        before = (self.outputs - self.inputs) // 2
        y = x.new_zeros(x.shape[0], self.outputs, -(-x.shape[2] // self.stride), -(-x.shape[3] // self.stride))
        y[:, before : before + self.inputs] = F.avg_pool2d(x, 1, self.stride)
        return y


class Block(nn.Module):
    """Basic (two 3×3) or bottleneck (1×1, 3×3, 1×1; the stride on the 3×3)."""

    def __init__(
        self,
        bottleneck: bool,
        inputs: int,
        width: int,
        stride: int,
        shortcut: str | None,
        groups: int = 1,
        width_per_group: int = 64,
    ) -> None:
        super().__init__()
        self.bottleneck, self.plain, outputs = bottleneck, shortcut is None, width * (4 if bottleneck else 1)
        if bottleneck:
            inner = width * width_per_group // 64 * groups
            self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(inner)
            self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=groups, bias=False)
            self.bn2 = nn.BatchNorm2d(inner)
            self.conv3 = nn.Conv2d(inner, outputs, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(outputs)
        else:
            self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
        changes = stride != 1 or inputs != outputs
        self.downsample: nn.Module = nn.Identity()
        if shortcut == "C" or (shortcut == "B" and changes):
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        elif shortcut == "A" and changes:
            self.downsample = Pad(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.bottleneck:
            y = self.bn3(self.conv3(F.relu(y)))
        return F.relu(y if self.plain else y + self.downsample(x))


class ResNet(nn.Module):
    """As minires.models.ResNet, with `bottleneck` for the kind of block."""

    def __init__(
        self,
        bottleneck: bool,
        blocks: Sequence[int],
        num_classes: int,
        in_channels: int = 3,
        stem: str = "imagenet",
        shortcut: str | None = "B",
        groups: int = 1,
        width_per_group: int = 64,
    ) -> None:
        super().__init__()
        channels = width = 64 if stem == "imagenet" else 16
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        else:
            self.conv1 = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pooled, self.count = stem == "imagenet", len(blocks)
        for stage, count in enumerate(blocks):
            parts = []
            for number in range(count):
                stride = 2 if stage and not number else 1
                parts.append(Block(bottleneck, channels, width << stage, stride, shortcut, groups, width_per_group))
                channels = (width << stage) * (4 if bottleneck else 1)
            self.add_module(f"layer{stage + 1}", nn.Sequential(*parts))
        self.fc = nn.Linear(channels, num_classes)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """The output of each stage."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(x, 3, 2, 1) if self.pooled else x
        outputs = {}
        for stage in range(self.count):
            outputs[f"layer{stage + 1}"] = x = self.get_submodule(f"layer{stage + 1}")(x)
        return outputs

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x)[f"layer{self.count}"].mean((2, 3)))


def load_arrays(model: nn.Module, state: dict[str, object]) -> None:
    """Load NumPy arrays, strictly."""
    model.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
