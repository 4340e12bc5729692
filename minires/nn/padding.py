"""Padding layers, for one kind of shape each. Constructors follow torch.nn; errors are ShapeError, ValueError."""

from __future__ import annotations

from typing import ClassVar

from minires import functional as F
from minires.core.tensor import Tensor
from minires.nn.checks import Size, check_numbers, sizes_of
from minires.nn.module import Module


class _Pad(Module):
    """`padding` is one width for all sides, or (left, right, top, bottom, …); negative widths cut off."""

    axes: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: Size) -> None:
        self.padding = sizes_of(type(self).__name__, "padding", padding, 2 * self.axes, least=None)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L), (N, C, H, W) or (N, C, D, H, W), with or without N -> the same, padded."""
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    """Puts `value` around."""

    mode = "constant"

    def __init__(self, padding: Size, value: float) -> None:
        super().__init__(padding)
        check_numbers(type(self).__name__, value=value)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L), (N, C, H, W) or (N, C, D, H, W), with or without N -> the same, padded."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Sequences with `value` before and behind them (torch.nn.ConstantPad1d)."""

    axes = 1


class ConstantPad2d(_ConstantPad):
    """Images with `value` around them (torch.nn.ConstantPad2d)."""

    axes = 2


class ConstantPad3d(_ConstantPad):
    """Volumes with `value` around them (torch.nn.ConstantPad3d)."""

    axes = 3


class _ZeroPad(_ConstantPad):
    """Puts zeros around."""

    def __init__(self, padding: Size) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad):
    """Sequences with zeros before and behind them (torch.nn.ZeroPad1d)."""

    axes = 1


class ZeroPad2d(_ZeroPad):
    """Images with zeros around them (torch.nn.ZeroPad2d)."""

    axes = 2


class ZeroPad3d(_ZeroPad):
    """Volumes with zeros around them (torch.nn.ZeroPad3d)."""

    axes = 3


class ReflectionPad1d(_Pad):
    """Sequences with their mirror images, without the edge, before and behind them (torch.nn.ReflectionPad1d)."""

    axes, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Images with their mirror images, without the edge, around them (torch.nn.ReflectionPad2d)."""

    axes, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Volumes with their mirror images, without the edge, around them (torch.nn.ReflectionPad3d)."""

    axes, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Sequences with copies of their edges before and behind them (torch.nn.ReplicationPad1d)."""

    axes, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Images with copies of their edges around them (torch.nn.ReplicationPad2d)."""

    axes, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Volumes with copies of their edges around them (torch.nn.ReplicationPad3d)."""

    axes, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Sequences that go on from the other end (torch.nn.CircularPad1d)."""

    axes, mode = 1, "circular"


class CircularPad2d(_Pad):
    """Images that go on from the opposite side (torch.nn.CircularPad2d)."""

    axes, mode = 2, "circular"


class CircularPad3d(_Pad):
    """Volumes that go on from the opposite side (torch.nn.CircularPad3d)."""

    axes, mode = 3, "circular"
