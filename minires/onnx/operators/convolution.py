"""Conv and ConvTranspose, over rows (N, C, L) and images (N, C, H, W)."""

from __future__ import annotations

from minires import functional as F
from minires.core.tensor import Tensor
from minires.onnx.node import Node, operator
from minires.onnx.windows import Sides, check_image, geometry, padding


@operator("Conv", "auto_pad dilations group kernel_shape pads strides")
def conv(node: Node, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    """x ∗ w + bias."""
    window = geometry(node, w.shape[2:])
    check_image(node, x, len(window.kernel))
    if tuple(node.get("kernel_shape") or window.kernel) != window.kernel:
        node.refuse(f"kernel_shape {node.get('kernel_shape')} is not that of its weight {w.shape}")
    sides = padding(node, x.shape[2:], window)
    margin = sides.before
    if not sides.is_symmetric:
        x, margin = sides.pad(x), (0,) * len(margin)
    function = F.conv2d if len(window.kernel) == 2 else F.conv1d
    return function(x, w, bias, window.strides, margin, window.dilations, int(node.number("group", 1)))


@operator("ConvTranspose", "auto_pad dilations group kernel_shape output_padding output_shape pads strides")
def conv_transpose(node: Node, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    """The adjoint of a convolution: size (n − 1)·stride + span + output_padding, less the padding of both sides."""
    window = geometry(node, w.shape[2:])
    axes = len(window.kernel)
    check_image(node, x, axes)
    if tuple(node.get("kernel_shape") or window.kernel) != window.kernel:
        node.refuse(f"kernel_shape {node.get('kernel_shape')} is not that of its weight {w.shape}")
    extra = tuple(node.get("output_padding") or (0,) * axes)
    full = [(n - 1) * s + span for n, s, span in zip(x.shape[2:], window.strides, window.span, strict=True)]
    sides = _cut(node, x, full, extra, window.strides)
    node.check_size((*x.shape[:1], w.shape[1] * int(node.number("group", 1)), *map(sum, zip(full, extra, strict=True))))
    function, groups = F.conv_transpose2d if axes == 2 else F.conv_transpose1d, int(node.number("group", 1))
    y = function(x, w, None, window.strides, 0, 0, groups, window.dilations)
    after = tuple(more - less for more, less in zip(extra, sides.after, strict=True))
    y = Sides(tuple(-less for less in sides.before), after).pad(y)
    return y if bias is None else y + bias.reshape((1, -1, *(1,) * axes))


def _cut(node: Node, x: Tensor, full: list[int], extra: tuple[int, ...], strides: tuple[int, ...]) -> Sides:
    """How much is cut off on each side: `pads`, or what `output_shape` or `auto_pad` leave over."""
    axes, how, wanted = len(full), node.get("auto_pad", "NOTSET"), node.get("output_shape")
    if wanted is None and how in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [n * s for n, s in zip(x.shape[2:], strides, strict=True)]
    if wanted is None:
        pads = tuple(node.get("pads") or (0,) * 2 * axes) if how in ("NOTSET", "") else (0,) * 2 * axes
        return Sides(pads[:axes], pads[axes:])
    totals = [n + more - w for n, more, w in zip(full, extra, list(wanted)[-axes:], strict=True)]
    small, large = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    return Sides(small, large) if how == "SAME_UPPER" else Sides(large, small)
