"""What convolutions and poolings have in common in ONNX: kernel, strides, dilations, and four ways to give the padding.

MiniRes pads both sides of an axis alike. ONNX may pad them differently, and may leave the widths to `auto_pad`; then
the image is padded beforehand, by an operation of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minires import functional as F
from minires.core.tensor import Tensor
from minires.onnx.node import Node


class Sides(NamedTuple):
    """The padding of the image axes: widths before and after each."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def is_symmetric(self) -> bool:
        """Whether both sides of each axis have the same width."""
        return self.before == self.after

    def pad(self, x: Tensor, value: float = 0.0) -> Tensor:
        """x with these widths of `value` around its last axes."""
        pairs = [each for pair in zip(self.before[::-1], self.after[::-1], strict=True) for each in pair]
        return F.pad(x, pairs, value=value) if any(pairs) else x


class Geometry(NamedTuple):
    """Kernel, strides and dilations of the image axes."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]

    @property
    def span(self) -> tuple[int, ...]:
        """The pixels from the first to the last that a window reads."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))


def geometry(node: Node, kernel: Sequence[int]) -> Geometry:
    """The window of a node, checked. Raises ShapeError for numbers that are not positive, or too few or many."""
    axes = len(kernel)
    found = Geometry(tuple(kernel), _of(node, "strides", axes), _of(node, "dilations", axes))
    if any(n < 1 for part in found for n in part):
        node.refuse(f"has a window that is not positive: {found}")
    return found


def _of(node: Node, name: str, axes: int) -> tuple[int, ...]:
    given = tuple(node.get(name) or (1,) * axes)
    if len(given) != axes:
        node.refuse(f"{name} {list(given)} must have {axes} numbers")
    return given


def padding(node: Node, sizes: Sequence[int], window: Geometry) -> Sides:
    """The padding for an image of these sizes: `pads`, or what `auto_pad` asks for.

    SAME_UPPER and SAME_LOWER make ⌈size/stride⌉ outputs; an odd width has its extra pixel after or before the image.
    """
    how, axes = node.get("auto_pad", "NOTSET"), len(window.kernel)
    if how in ("NOTSET", ""):
        pads = tuple(node.get("pads") or (0,) * 2 * axes)
        if len(pads) != 2 * axes:
            node.refuse(f"pads {list(pads)} must have {2 * axes} numbers")
        return Sides(pads[:axes], pads[axes:])
    if how == "VALID":
        return Sides((0,) * axes, (0,) * axes)
    if how not in ("SAME_UPPER", "SAME_LOWER"):
        node.refuse(f"auto_pad {how!r} is not known")
    totals = [
        max((-(-n // s) - 1) * s + span - n, 0) for n, s, span in zip(sizes, window.strides, window.span, strict=True)
    ]
    small, large = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    return Sides(small, large) if how == "SAME_UPPER" else Sides(large, small)


def check_image(node: Node, x: Tensor, axes: int) -> None:
    """Raise ShapeError unless x is (N, C, L) or (N, C, H, W), with as many axes as the window."""
    if x.ndim != axes + 2:
        node.refuse(f"has a window of {axes} axes, and got an input {x.shape}")
    if axes not in (1, 2):
        node.refuse(f"has a window of {axes} axes: MiniRes computes with one or two")
