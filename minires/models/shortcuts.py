"""What a residual block adds to F(x): x itself where the shapes agree, else one of these modules.

Options A, B and C are those of He et al. 2015 (arXiv 1512.03385, section 3.3 and Table 3); "conv1x1" is the shortcut of
He et al. 2016 (arXiv 1603.05027, Fig. 2e), a convolution in every block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from minires import functional as F
from minires import nn
from minires.core.tensor import Tensor

Shortcut = Literal["A", "B", "C", "conv1x1"] | None
SHORTCUTS = ("A", "B", "C", "conv1x1", None)


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


def make_shortcut(
    option: Shortcut,
    inputs: int,
    outputs: int,
    stride: int,
    norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d,
) -> nn.Module | None:
    """The module of a shortcut option: A pads and B projects if the shape changes, C and "conv1x1" always project.

    Behind the projections of B and C stands `norm(outputs)`, unless norm is None; behind "conv1x1" stands nothing.
    Returns None if the shortcut is x itself, or if there is none (option None).
    """
    changes = stride != 1 or inputs != outputs
    projection = option == "C" or (option == "B" and changes)
    if option == "conv1x1" or (projection and norm is None):
        return conv1x1(inputs, outputs, stride)
    if projection and norm is not None:
        return nn.Sequential(conv1x1(inputs, outputs, stride), norm(outputs))
    return SubsampleAndPad(inputs, outputs, stride) if option == "A" and changes else None
