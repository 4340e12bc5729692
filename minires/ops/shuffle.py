"""Rearrangements of images: channels become pixels, pixels become channels, groups of channels are mixed.

pixel_shuffle (Shi et al. 2016) enlarges an image without interpolation, from what a convolution computed for each of
the r² new pixels; channel_shuffle (Zhang et al. 2018) lets the groups of grouped convolutions exchange what they know.
"""

from __future__ import annotations

from minires.core.operators import METHODS
from minires.core.settings import integer
from minires.core.tensor import Tensor
from minires.errors import ShapeError
from minires.ops.cast import unshared
from minires.ops.operands import check_tensor
from minires.ops.shape import permute, reshape


def _checked(op: str, name: str, x: Tensor, factor: int) -> int:
    check_tensor(op, x)
    factor = integer(op, name, factor, 1)
    if x.ndim < 3:
        raise ShapeError(f"{op}: needs input (…, C, H, W), got {x.shape}")
    return factor


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """y[…, c, h·r + i, v·r + j] = x[…, c·r² + i·r + j, h, v] (torch.nn.functional.pixel_shuffle).

    input (…, C·r², H, W) -> (…, C, H·r, W·r), r = upscale_factor. Raises ShapeError unless r² divides the channels.
    """
    r = _checked("pixel_shuffle", "upscale_factor", input, upscale_factor)
    *batch, channels, h, w = input.shape
    if channels % (r * r):
        raise ShapeError(f"pixel_shuffle: the {channels} channels of {input.shape} must be divisible by {r}²")
    k = len(batch)
    x = reshape(input, (*batch, channels // (r * r), r, r, h, w))
    y = permute(x, (*range(k + 1), k + 3, k + 1, k + 4, k + 2))
    return unshared(reshape(y, (*batch, channels // (r * r), h * r, w * r)), input)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """y[…, c·r² + i·r + j, h, v] = x[…, c, h·r + i, v·r + j] (torch.nn.functional.pixel_unshuffle).

    input (…, C, H·r, W·r) -> (…, C·r², H, W), r = downscale_factor. Raises ShapeError unless r divides both sizes.
    """
    r = _checked("pixel_unshuffle", "downscale_factor", input, downscale_factor)
    *batch, channels, h, w = input.shape
    if h % r or w % r:
        raise ShapeError(f"pixel_unshuffle: height and width of {input.shape} must be divisible by {r}")
    k = len(batch)
    x = reshape(input, (*batch, channels, h // r, r, w // r, r))
    y = permute(x, (*range(k + 1), k + 2, k + 4, k + 1, k + 3))
    return unshared(reshape(y, (*batch, channels * r * r, h // r, w // r)), input)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """y[n, k·G + g] = x[n, g·K + k] for G groups of K channels (torch.nn.functional.channel_shuffle).

    input (N, C, …) -> the same shape. Raises ShapeError unless `groups` divides the channels.
    """
    groups = _checked("channel_shuffle", "groups", input, groups)
    n, channels, *rest = input.shape
    if channels % groups:
        raise ShapeError(f"channel_shuffle: the {channels} channels of {input.shape} must be divisible by {groups}")
    x = reshape(input, (n, groups, channels // groups, *rest))
    return unshared(reshape(METHODS["transpose"](x, 1, 2), input.shape), input)
