"""Layers that rearrange or resample images. Constructors follow torch.nn; errors: ShapeError, TypeError, ValueError."""

from __future__ import annotations

from typing import Any

from minires import functional as F
from minires.core.tensor import Tensor
from minires.nn.checks import Size, check_sizes, sizes_of
from minires.nn.module import Module


class Upsample(Module):
    """Images in another size, by `size` or by `scale_factor` (torch.nn.Upsample); the modes are F.interpolate's."""

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        self.size, self.mode, self.align_corners = size, mode, align_corners
        is_tuple = isinstance(scale_factor, (tuple, list))
        self.scale_factor: Any = tuple(map(float, scale_factor)) if is_tuple else scale_factor and float(scale_factor)
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L), (N, C, H, W) or (N, C, D, H, W) -> the same in another size."""
        given = self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        return F.interpolate(input, *given)

    def extra_repr(self) -> str:
        text = f"scale_factor={self.scale_factor}" if self.scale_factor is not None else f"size={self.size}"
        return f"{text}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Images in another size, each pixel the nearest one (torch.nn.UpsamplingNearest2d)."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Images in another size, bilinear with corners aligned (torch.nn.UpsamplingBilinear2d)."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class PixelShuffle(Module):
    """(…, C·r², H, W) -> (…, C, H·r, W·r), r = upscale_factor (Shi et al. 2016; torch.nn.PixelShuffle)."""

    def __init__(self, upscale_factor: int) -> None:
        check_sizes("PixelShuffle", upscale_factor=upscale_factor)
        self.upscale_factor = upscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """(…, C·r², H, W) -> (…, C, H·r, W·r)."""
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """(…, C, H·r, W·r) -> (…, C·r², H, W), r = downscale_factor (torch.nn.PixelUnshuffle)."""

    def __init__(self, downscale_factor: int) -> None:
        check_sizes("PixelUnshuffle", downscale_factor=downscale_factor)
        self.downscale_factor = downscale_factor

    def forward(self, input: Tensor) -> Tensor:
        """(…, C, H·r, W·r) -> (…, C·r², H, W)."""
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Module):
    """Mixes the channels of `groups` groups (Zhang et al. 2018; torch.nn.ChannelShuffle)."""

    def __init__(self, groups: int) -> None:
        check_sizes("ChannelShuffle", groups=groups)
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, …) -> the same shape."""
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"


class _Patches(Module):
    """What `Unfold` and `Fold` have: a sliding window."""

    def __init__(self, kernel_size: Size, dilation: Size, padding: Size, stride: Size) -> None:
        name = type(self).__name__
        for setting, value in (("kernel_size", kernel_size), ("dilation", dilation), ("stride", stride)):
            sizes_of(name, setting, value, 2)
        sizes_of(name, "padding", padding, 2, least=0)
        self.kernel_size, self.dilation, self.padding, self.stride = kernel_size, dilation, padding, stride

    def extra_repr(self) -> str:
        window = f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}"
        return f"{window}, stride={self.stride}"


class Unfold(_Patches):
    """The patches of images as columns (torch.nn.Unfold)."""

    def __init__(self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> None:
        super().__init__(kernel_size, dilation, padding, stride)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C·kh·kw, L), for L positions of the window."""
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(_Patches):
    """Images as the sum of patches (torch.nn.Fold)."""

    def __init__(
        self, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
    ) -> None:
        sizes_of("Fold", "output_size", output_size, 2)
        self.output_size = output_size
        super().__init__(kernel_size, dilation, padding, stride)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C·kh·kw, L) -> (N, C, *output_size)."""
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"
