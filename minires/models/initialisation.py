"""How the weights of a ResNet start, and what stands where batch norm would.

    he           N(0, 2/fan_out)               He et al. 2015, arXiv 1502.01852
    lecun        N(0, 1/fan_in)                LeCun et al. 1998
    xavier       N(0, 2/(fan_in + fan_out))    Glorot & Bengio 2010
    orthogonal   orthogonal rows, times √2     Saxe et al. 2014, arXiv 1312.6120
    skipinit     he; F(x) times a learned scalar that starts as 0     De & Smith 2020, arXiv 2002.10444
    fixup        he, scaled down by the number of blocks              Zhang et al. 2019, arXiv 1901.09321

The last two are for networks without normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from minires import nn
from minires.core.tensor import Tensor

if TYPE_CHECKING:
    from minires.models.resnet import ResNet
    from minires.models.variants import VariedBlock


class ChannelBias(nn.Module):
    """x + b with a number for each channel, in the place of a norm: the bias that the convolution has not."""

    def __init__(self, channels: int) -> None:
        self.bias = nn.Parameter(np.zeros((channels, 1, 1), np.float32))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return x + self.bias


class Shift(nn.Module):
    """x + b with one number b, which starts as 0."""

    def __init__(self) -> None:
        self.bias = nn.Parameter(np.zeros(1, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return x + self.bias


class Scale(nn.Module):
    """a·x with one number a."""

    def __init__(self, start: float) -> None:
        self.scale = nn.Parameter(np.full(1, start, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return x * self.scale


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "group": lambda channels: nn.GroupNorm(math.gcd(8, channels), channels),
    "none": ChannelBias,
}


def _he(weight: Tensor) -> None:
    nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")


def _lecun(weight: Tensor) -> None:
    nn.init.kaiming_normal_(weight, mode="fan_in", nonlinearity="linear")


def _orthogonal(weight: Tensor) -> None:
    nn.init.orthogonal_(weight, math.sqrt(2))


INITS: dict[str, Callable[[Tensor], object]] = {
    "he": _he,
    "lecun": _lecun,
    "xavier": nn.init.xavier_normal_,
    "orthogonal": _orthogonal,
    "skipinit": _he,
    "fixup": _he,
}


def initialise(model: ResNet, init: str, blocks: list[VariedBlock]) -> None:
    """Draw the convolutions' weights; for fixup and skipinit also give `blocks`, all of the model's, their scalars.

    Norms start with weight 1 and bias 0, and the classifier as torch's Linear.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            INITS[init](module.weight)
    if init == "skipinit":
        for block in blocks:
            block.end = Scale(0.0)
    if init == "fixup":
        for block in blocks:
            _fixup(block, len(blocks))
        model.bn1, model.final = Shift(), Shift()
        for parameter in model.fc.parameters():
            nn.init.zeros_(parameter)


def _fixup(block: VariedBlock, count: int) -> None:
    """Rules 1 to 3 of Fixup for a branch of m convolutions in a network of `count` blocks.

    The last convolution starts as 0, the others are scaled by count^(−1/(2m − 2)); a scalar shift stands before each
    convolution and each ReLU, and a scale, which starts as 1, at the end.
    """
    layers = block.layers
    for number, (conv, _) in enumerate(layers, 1):
        assert isinstance(conv, nn.Conv2d)
        is_last = number == len(layers)
        factor = 0.0 if is_last else count ** (-1 / (2 * len(layers) - 2))
        conv.weight.assign_(conv.weight.numpy() * factor)
        setattr(block, f"conv{number}", nn.Sequential(Shift(), conv))
        setattr(block, f"bn{number}", nn.Identity() if is_last else Shift())
    block.end = nn.Sequential(Scale(1.0), Shift())
