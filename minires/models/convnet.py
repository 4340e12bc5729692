"""A small convolutional network that learns CIFAR-10 quickly (Jordan 2024, arXiv 2404.00498, section 3).

    image 32×32 → conv 2×2, 24 filters → [conv, max pool, norm, relu, conv, norm, relu] × 3 → max pool → linear / 9

It has no shortcuts: with eight layers it needs none. Its first convolution is meant to whiten patches of the image,
which `minires train --whiten` sees to. ReLU stands where the paper has GELU, for batch norm with ReLU is one kernel.
"""

from __future__ import annotations

from minires import functional as F
from minires import nn
from minires.core.tensor import Tensor

WIDTHS = (64, 256, 256)
STEM = 24  # filters of 2×2 pixels in three colours: the 12 directions of a patch, with both signs
NAME = "convnet8"


class ConvGroup(nn.Module):
    """conv 3×3, max pool 2×2, batch norm, relu, conv 3×3, batch norm, relu: (N, C, H, W) -> (N, width, ⌊H/2⌋, ⌊W/2⌋).

    Each convolution starts as the identity of as many channels as it gets (`nn.init.dirac_`), the rest random.
    """

    def __init__(self, inputs: int, width: int) -> None:
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        for conv in (self.conv1, self.conv2):
            start_as_identity(conv)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.pool(self.conv1(x)), relu=True)
        return self.bn2(self.conv2(x), relu=True)


def start_as_identity(conv: nn.Conv2d) -> None:
    """The first filters of `conv` pass on the input's channels, one each; the others stay as they are."""
    inputs, (height, width) = conv.weight.shape[1], conv.weight.shape[2:]
    weight = conv.weight.numpy().copy()
    weight[:inputs] = 0
    for channel in range(min(inputs, len(weight))):
        weight[channel, channel, height // 2, width // 2] = 1
    conv.weight.assign_(weight)


class ConvNet(nn.Module):
    """The network: images (N, in_channels, 32, 32) -> logits (N, num_classes). 2.0 M parameters, 0.24 GFLOP."""

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        self.conv1 = nn.Conv2d(in_channels, STEM, 2)
        groups = zip((STEM, *WIDTHS), WIDTHS, strict=False)
        self.layer1, self.layer2, self.layer3 = (ConvGroup(inputs, width) for inputs, width in groups)
        self.maxpool = nn.MaxPool2d(3)
        self.fc = nn.Linear(WIDTHS[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """The logits; their scale of 1/9 gives the first steps a loss that is not too certain."""
        x = F.relu(self.conv1(x))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(F.flatten(self.maxpool(x), 1)) * (1 / 9)
