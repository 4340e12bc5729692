"""Convolution layers. Constructors follow torch.nn; errors are ShapeError, TypeError, ValueError."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from minires import functional as F
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.nn.checks import Size, check_sizes, check_true_or_false, init_like_torch, sizes_of, zeros
from minires.nn.module import Module
from minires.nn.parameter import Parameter

PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


class _Convolution(Module):
    """What all convolutions have: sizes as tuples with one number an axis, weight and bias."""

    axes: ClassVar[int]
    transposed: ClassVar[bool] = False
    bias: Parameter | None
    padding: tuple[int, ...] | str
    padding_mode = "zeros"  # also of a layer that was pickled before layers had this attribute

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size | str,
        dilation: Size,
        output_padding: Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        name = type(self).__name__
        check_sizes(name, in_channels=in_channels, out_channels=out_channels, groups=groups)
        check_true_or_false(name, bias=bias)
        if in_channels % groups or out_channels % groups:
            raise ShapeError(f"{name}: {groups=} must divide {in_channels=} and {out_channels=}")
        if padding_mode not in (["zeros"] if self.transposed else PADDING_MODES):
            known = "'zeros' alone" if self.transposed else ", ".join(map(repr, PADDING_MODES))
            raise ValueError(f"{name}: padding_mode={padding_mode!r} is not known: use {known}")
        self.in_channels, self.out_channels, self.groups = int(in_channels), int(out_channels), int(groups)
        self.kernel_size = sizes_of(name, "kernel_size", kernel_size, self.axes)
        self.stride = sizes_of(name, "stride", stride, self.axes)
        self.dilation = sizes_of(name, "dilation", dilation, self.axes)
        self.output_padding = sizes_of(name, "output_padding", output_padding, self.axes, least=0)
        self.padding, self.padding_mode = self._padding(padding), padding_mode
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        self.weight = Parameter(zeros(first, second // groups, *self.kernel_size))
        self.register_parameter("bias", Parameter(zeros(out_channels)) if bias else None)
        self.reset_parameters()
        self._place(device, dtype)

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        init_like_torch(self.weight, self.bias)

    def _padding(self, padding: Any) -> tuple[int, ...] | str:
        """As a tuple, or one of the words "same" (which needs stride 1) and "valid"."""
        name = type(self).__name__
        if not isinstance(padding, str):
            return sizes_of(name, "padding", padding, self.axes, least=0)
        if padding not in ("same", "valid") or self.transposed:
            words = "" if self.transposed else ", 'same' or 'valid'"
            raise ShapeError(f"{name}: padding={padding!r} is not known: use numbers{words}")
        if padding == "same" and set(self.stride) != {1}:
            raise ShapeError(f"{name}: padding='same' needs stride 1, got {self.stride}")
        return padding

    def _padded(self, input: Tensor) -> tuple[Tensor, Any]:
        """x with a padding that is not of zeros, and the padding that is left for the convolution."""
        if self.padding_mode == "zeros":
            return input, self.padding
        widths: list[int] = []  # the last axis first
        for k in reversed(range(self.axes)):
            total = self.dilation[k] * (self.kernel_size[k] - 1) if self.padding == "same" else 0
            fixed = 0 if isinstance(self.padding, str) else self.padding[k]
            widths += [total // 2 + fixed, total - total // 2 + fixed]
        return F.pad(input, widths, PADDING_MODES[self.padding_mode]), 0

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for name, usual in (("padding", 0), ("dilation", 1), ("output_padding", 0)):
            value = getattr(self, name)
            text += "" if value == (usual,) * self.axes else f", {name}={value}"
        text += "" if self.groups == 1 else f", groups={self.groups}"
        text += "" if self.bias is not None else ", bias=False"
        return text + ("" if self.padding_mode == "zeros" else f", padding_mode={self.padding_mode}")


class _Convolve(_Convolution):
    """A convolution that is not transposed."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        sizes = in_channels, out_channels, kernel_size, stride, padding, dilation
        super().__init__(*sizes, 0, groups, bias, padding_mode, device, dtype)


class Conv1d(_Convolve):
    """1-D convolution; weight (out, in/groups, k), bias (out,) (torch.nn.Conv1d).

    `padding_mode` is what stands in the padding: "zeros", "reflect", "replicate" or "circular".
    """

    axes = 1

    def forward(self, input: Tensor) -> Tensor:
        """(N, in, L) -> (N, out, Lo), or both without N."""
        input, padding = self._padded(input)
        return F.conv1d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv2d(_Convolve):
    """2-D convolution; weight (out, in/groups, kh, kw), bias (out,) (torch.nn.Conv2d).

    `padding_mode` is what stands in the padding: "zeros", "reflect", "replicate" or "circular".
    """

    axes = 2

    def forward(self, input: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, Ho, Wo), or both without N."""
        input, padding = self._padded(input)
        return F.conv2d(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _Transposed(_Convolution):
    """A transposed convolution."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        sizes = in_channels, out_channels, kernel_size, stride, padding, dilation
        super().__init__(*sizes, output_padding, groups, bias, padding_mode, device, dtype)

    def _output_padding(self, input: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """The output padding that leads to `output_size` (the last axes count), or the layer's own."""
        if output_size is None:
            return self.output_padding
        name, wanted = type(self).__name__, tuple(output_size)[-self.axes :]
        padding: Any = self.padding
        sizes = zip(input.shape[-self.axes :], self.stride, padding, self.dilation, self.kernel_size, strict=True)
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in sizes]
        if len(wanted) != self.axes or any(
            not low <= n < low + s for n, low, s in zip(wanted, least, self.stride, strict=True)
        ):
            most = [low + s - 1 for low, s in zip(least, self.stride, strict=True)]
            raise ShapeError(f"{name}: output_size {wanted} must lie between {tuple(least)} and {tuple(most)}")
        return tuple(n - low for n, low in zip(wanted, least, strict=True))


class ConvTranspose1d(_Transposed):
    """The adjoint of a 1-D convolution, with weights of its own (in, out/groups, k) (torch.nn.ConvTranspose1d)."""

    axes = 1

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, in, L) -> (N, out, Lo), or both without N; `output_size` chooses Lo where several are possible."""
        extra = self._output_padding(input, output_size)
        padding: Any = self.padding
        return F.conv_transpose1d(
            input, self.weight, self.bias, self.stride, padding, extra, self.groups, self.dilation
        )


class ConvTranspose2d(_Transposed):
    """The adjoint of a 2-D convolution, with weights of its own (in, out/groups, kh, kw) (torch.nn.ConvTranspose2d)."""

    axes = 2

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, in, H, W) -> (N, out, Ho, Wo), or both without N; `output_size` chooses where several are possible."""
        extra = self._output_padding(input, output_size)
        padding: Any = self.padding
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, padding, extra, self.groups, self.dilation
        )
