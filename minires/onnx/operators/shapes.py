"""Operators that arrange elements: Reshape, Transpose, Concat, Split, Pad, DepthToSpace and their like."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from minires import functional as F
from minires.core.tensor import Tensor
from minires.onnx.node import Node, axes_from_zero, numbers, operator


@operator("Identity")
def identity(node: Node, x: Tensor) -> Tensor:
    """x."""
    return x


@operator("Reshape", "allowzero consumed_inputs shape", settings=(1,))
def reshape(node: Node, x: Tensor, shape: Tensor | None = None) -> Tensor:
    """x in another shape: 0 keeps a length (unless allowzero=1), −1 stands for what is left."""
    wanted = list(node.get("shape", ())) if shape is None else numbers(shape)
    if not node.flag("allowzero"):
        if any(n == 0 and axis >= x.ndim for axis, n in enumerate(wanted)):
            node.refuse(f"keeps an axis that its input {x.shape} has not: {wanted}")
        wanted = [x.shape[axis] if n == 0 else n for axis, n in enumerate(wanted)]
    if not x.numel() and wanted.count(-1) == 1:
        rest = math.prod(n for n in wanted if n != -1)
        wanted[wanted.index(-1)] = 0 if rest == 0 else x.numel() // rest
    return F.reshape(x, wanted)


@operator("Flatten", "axis")
def flatten(node: Node, x: Tensor) -> Tensor:
    """A matrix: the axes before `axis` joined into one, and the others."""
    axis = int(node.number("axis"))
    if not -x.ndim <= axis <= x.ndim:
        node.refuse(f"axis {axis} does not fit {x.shape}")
    first = axis + x.ndim if axis < 0 else axis
    return F.reshape(x, (math.prod(x.shape[:first]), math.prod(x.shape[first:])))


@operator("Transpose", "perm")
def transpose(node: Node, x: Tensor) -> Tensor:
    """The axes in another order; without `perm` in reverse."""
    order = node.get("perm")
    return F.permute(x, list(range(x.ndim))[::-1] if order is None else list(order))


@operator("Squeeze", "axes", settings=(1,))
def squeeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """x without axes of length 1: those given, or all."""
    given = node.get("axes") if axes is None else numbers(axes)
    if given is None:
        return F.reshape(x, [n for n in x.shape if n != 1])
    gone = axes_from_zero(node, list(given), x.ndim)
    if any(x.shape[axis] != 1 for axis in gone):
        node.refuse(f"axes {list(given)} of {x.shape} do not have the length 1")
    return F.reshape(x, [n for axis, n in enumerate(x.shape) if axis not in gone])


@operator("Unsqueeze", "axes", settings=(1,))
def unsqueeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """x with new axes of length 1, which are numbered in the result."""
    given = list(node.get("axes", ()) if axes is None else numbers(axes))
    new = set(axes_from_zero(node, given, x.ndim + len(given)))
    old = iter(x.shape)
    return F.reshape(x, [1 if axis in new else next(old) for axis in range(x.ndim + len(given))])


@operator("Concat", "axis")
def concat(node: Node, *inputs: Tensor) -> Tensor:
    """The inputs one after another along an axis."""
    if not inputs[0].ndim:
        node.refuse("has an input without axes")
    return F.cat(inputs, int(node.number("axis", 1)))


@operator("Split", "axis num_outputs split", settings=(1,), outputs=2**31)
def split(node: Node, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, ...]:
    """x cut along an axis: into the given lengths, or as equally as possible."""
    (axis,) = axes_from_zero(node, [int(node.number("axis", 0))], x.ndim)
    given: Sequence[int] | None = node.get("split") if lengths is None else numbers(lengths)
    if given is None:
        parts = int(node.get("num_outputs") or len(node.outputs))
        each = -(-x.shape[axis] // parts)
        given = [max(min(each, x.shape[axis] - k * each), 0) for k in range(parts)]
    if sum(given) != x.shape[axis] or min(given, default=0) < 0 or len(given) != len(node.outputs):
        node.refuse(f"cannot cut axis {axis} of {x.shape} into {list(given)} for {len(node.outputs)} outputs")
    ends = np.cumsum(given).tolist()
    key = (slice(None),) * axis
    return tuple(x[(*key, slice(end - n, end))] for end, n in zip(ends, given, strict=True))


@operator("Expand", settings=(1,))
def expand(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    """x repeated along axes of length 1, as broadcasting does."""
    wanted = node.check_size(numbers(shape))
    try:
        to = np.broadcast_shapes(x.shape, wanted)
    except ValueError:
        node.refuse(f"{x.shape} does not broadcast to {wanted}")
    node.check_size(to)
    return F.expand(x, to)


@operator("Tile", settings=(1,))
def tile(node: Node, x: Tensor, repeats: Tensor) -> Tensor:
    """x, several times along each axis."""
    times = numbers(repeats)
    if len(times) != x.ndim:
        node.refuse(f"repeats {times} must have a number for each axis of {x.shape}")
    node.check_size([n * t for n, t in zip(x.shape, times, strict=True)])
    return F.tile(x, times)


_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@operator("Pad", "mode pads value paddings", settings=(1, 2, 3))
def pad(
    node: Node, x: Tensor, widths: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    """x with something around it: a value, its reflection, its edge, or itself again. Negative widths cut off."""
    given = list(node.get("pads") or node.get("paddings") or ()) if widths is None else numbers(widths)
    along = list(range(x.ndim)) if axes is None else axes_from_zero(node, numbers(axes), x.ndim)
    if len(given) != 2 * len(along):
        node.refuse(f"pads {given} must have two numbers for each of {len(along)} axes")
    sides = dict(zip(along, zip(given[: len(along)], given[len(along) :], strict=True), strict=True))
    node.check_size([n + sum(sides.get(axis, (0, 0))) for axis, n in enumerate(x.shape)])
    mode, number = node.get("mode", "constant"), node.get("value", 0.0) if value is None else value.item()
    if mode not in _PAD_MODES:
        node.refuse(f"mode {mode!r} is not known")
    if mode == "constant":
        pairs = [each for axis in range(x.ndim - 1, -1, -1) for each in sides.get(axis, (0, 0))]
        return F.pad(x, pairs, value=number)
    for axis, (before, after) in sides.items():
        if before or after:
            x = _padded(node, x, axis, before, after, mode)
    return x


def _padded(node: Node, x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """x with more elements of its own along an axis, taken by index, so that gradients add up where they recur."""
    n = x.shape[axis]
    if not n:
        node.refuse(f"mode {mode!r} cannot pad an empty axis of {x.shape}")
    places = np.arange(-before, n + after)
    if mode == "edge":
        places = places.clip(0, n - 1)
    elif mode == "wrap":
        places = places % n
    else:
        period = max(2 * (n - 1), 1)
        places = np.abs((places + n - 1) % period - (n - 1)) if n > 1 else places * 0
    return F.index_select(x, axis, Tensor(places).to(x.device))


@operator("DepthToSpace", "blocksize mode")
def depth_to_space(node: Node, x: Tensor) -> Tensor:
    """Channels to pixels: (N, C·b², H, W) -> (N, C, H·b, W·b)."""
    b, (n, c, h, w) = _blocks(node, x)
    if c % (b * b):
        node.refuse(f"blocksize {b} does not divide the channels of {x.shape}")
    c //= b * b
    if node.get("mode", "DCR") == "CRD":
        y = F.permute(x.reshape((n, c, b, b, h, w)), (0, 1, 4, 2, 5, 3))
    else:
        y = F.permute(x.reshape((n, b, b, c, h, w)), (0, 3, 4, 1, 5, 2))
    return y.reshape((n, c, h * b, w * b))


@operator("SpaceToDepth", "blocksize mode")
def space_to_depth(node: Node, x: Tensor) -> Tensor:
    """Pixels to channels: (N, C, H·b, W·b) -> (N, C·b², H, W)."""
    b, (n, c, h, w) = _blocks(node, x)
    if h % b or w % b:
        node.refuse(f"blocksize {b} does not divide the image {x.shape}")
    order = (0, 1, 3, 5, 2, 4) if node.get("mode", "DCR") == "CRD" else (0, 3, 5, 1, 2, 4)
    y = F.permute(x.reshape((n, c, h // b, b, w // b, b)), order)
    return y.reshape((n, c * b * b, h // b, w // b))


def _blocks(node: Node, x: Tensor) -> tuple[int, tuple[int, ...]]:
    size = int(node.number("blocksize"))
    if size < 1 or x.ndim != 4:
        node.refuse(f"needs a positive blocksize and an image (N, C, H, W), got {size} and {x.shape}")
    return size, x.shape


@operator("Trilu", "upper", settings=(1,))
def trilu(node: Node, x: Tensor, k: Tensor | None = None) -> Tensor:
    """The upper or lower triangle of each matrix, zeros elsewhere."""
    offset = 0 if k is None else int(k.item())
    mask = np.tri(x.shape[-2], x.shape[-1], offset - 1 if node.get("upper", 1) else offset, dtype=bool)
    kept = Tensor(~mask if node.get("upper", 1) else mask).to(x.device)
    return F.where(kept, x, Tensor(np.zeros((), x.dtype)).to(x.device))
