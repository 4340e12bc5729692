"""The blocks of residual networks (He et al. 2015, arXiv 1512.03385).

    plain     y = relu(F(x))
    residual  y = relu(F(x) + x)      the sum passes its gradient to both terms, so x receives it undiminished

Parameter names and the position of the stride (on a bottleneck's 3×3 convolution) are torchvision's, so its checkpoints
load. `variants.py` has the same blocks with another order of their layers, and with gates.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from minires import nn
from minires.core.tensor import Tensor
from minires.models.shortcuts import Shortcut, conv1x1, conv3x3, make_shortcut


def are_usual(relu: nn.Module, norm: nn.Module) -> bool:
    """Whether nobody has put other layers in the places of a ReLU and a batch norm, or hooked into them."""
    usual_norms = nn.BatchNorm2d.forward, nn.SyncBatchNorm.forward
    has_usual_types = type(relu) is nn.ReLU and type(norm).forward in usual_norms
    return has_usual_types and not (relu.has_hooks or norm.has_hooks)


def relu_of_norm(relu: nn.Module, norm: nn.Module, x: Tensor) -> Tensor:
    """relu(norm(x)): in one pass if these are the usual layers."""
    return norm(x, relu=True) if are_usual(relu, norm) else relu(norm(x))


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

    def branch(self, x: Tensor) -> Tensor:
        """F(x) before its last batch norm."""
        raise NotImplementedError

    def residual(self, x: Tensor) -> Tensor:
        """F(x): x (N, C, H, W) -> (N, expansion · width, ⌈H/stride⌉, ⌈W/stride⌉)."""
        return self.last_norm(self.branch(x))

    def shortcut(self, x: Tensor) -> Tensor:
        """x in the shape of F(x)."""
        return x if self.downsample is None else self.downsample(x)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, expansion · width, ⌈H/stride⌉, ⌈W/stride⌉)."""
        if self.plain:
            return self.relu(self.residual(x))
        if self._may_fuse(x):
            return self._fused(x)
        return self.relu(self.residual(x) + self.shortcut(x))

    def _may_fuse(self, x: Tensor) -> bool:
        """Whether this is a training step through the usual F, not through a `residual` of a subclass or instance.

        In float32, where speed counts: a gradient check, in float64, sees each operation by itself.
        """
        is_own = "residual" in vars(self) or type(self).residual is not Block.residual
        is_step = self.training and x.dtype == np.float32
        return is_step and not is_own and are_usual(self.relu, self.last_norm)

    def _fused(self, x: Tensor) -> Tensor:
        """The same in fewer passes over memory: the last batch norm adds the shortcut, and takes the ReLU."""
        y, shortcut = self.branch(x), self.shortcut(x)
        if (y.shape, y.dtype) != (shortcut.shape, shortcut.dtype):  # a sum broadcasts
            return self.relu(self.last_norm(y) + shortcut)
        return self.last_norm(y, residual=shortcut, relu=True)


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

    def branch(self, x: Tensor) -> Tensor:
        return self.conv2(relu_of_norm(self.relu, self.bn1, self.conv1(x)))


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

    def branch(self, x: Tensor) -> Tensor:
        y = relu_of_norm(self.relu, self.bn1, self.conv1(x))
        return self.conv3(relu_of_norm(self.relu, self.bn2, self.conv2(y)))


class SingleBlock(Block):
    """One 3×3 convolution: shortcuts that skip one layer (He et al. 2016, section 4), and a highway's layers."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int = 1, shortcut: Shortcut = "B") -> None:
        self.plain = shortcut is None
        self.conv1 = conv3x3(inputs, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.downsample = make_shortcut(shortcut, inputs, width, stride)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        return self.bn1

    def branch(self, x: Tensor) -> Tensor:
        return self.conv1(x)
