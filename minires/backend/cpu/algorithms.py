"""The algorithm of each convolution: one table.

    direct       a matrix product that reads the image in place; any kernel, stride, padding, dilation, groups
    depthwise    a kernel for each channel: channels in vectors, nothing is summed over them
    winograd4    3×3, stride 1: tiles of 4×4 outputs, 4 times fewer multiplications
    winograd2    the same with tiles of 2×2: 2.25 times fewer, but less to transform and smaller transformed weights

Winograd's transformed weights are 36 or 16 numbers for the 9 of a kernel. What packs weights once for many calls may
keep the kernels instead (the algorithm plus LATE), and each call transforms them: see `packed`.

The shape alone decides, never the number of threads or a measurement, so a call gives the same bits everywhere.
`minires bench conv` measures all algorithms and shows the one in the table. The table follows measurements
(docs/performance.md):

- The transforms of Winograd cost as much as the products of some channels. Below FEW_CHANNELS direct is faster.
- With groups, Winograd's transforms would be for the few channels of a group, so groups are direct.
- If the output is hardly larger than a tile, much of a 4×4 tile lies outside. If there are few tiles in all, reading
  the transformed weights (36 numbers in place of 9) takes longer than multiplying by them.
"""

from __future__ import annotations

from typing import NamedTuple

from minires.backend.shapes import Pair, Window

DIRECT, DEPTHWISE, WINOGRAD2, WINOGRAD4 = 0, 1, 2, 4
LATE = 8  # added to an algorithm of Winograd's: the weights are packed as they are, and transformed in each call
NAMES = {DIRECT: "direct", DEPTHWISE: "depthwise", WINOGRAD2: "winograd 2×2", WINOGRAD4: "winograd 4×4"}

FEW_CHANNELS = 8
MANY_CHANNELS = 256
FEW_TILES = 16
READ_ONCE = 108  # tiles: with more, the C kernel goes through all weights once for each block of tiles


class Shape(NamedTuple):
    """The shape of a convolution: x (images, channels, …), y (images, outputs, *output_size)."""

    images: int
    channels: int
    outputs: int
    output_size: Pair
    window: Window
    groups: int = 1

    @property
    def is_plain_3x3(self) -> bool:
        """Whether Winograd's algorithm applies: kernel 3×3, stride and dilation 1, no groups."""
        window = self.window
        return self.groups == 1 and window.kernel == (3, 3) and window.stride == window.dilation == (1, 1)

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel has one output, and no output another channel."""
        return 1 < self.groups == self.channels == self.outputs

    def tiles_of(self, m: int) -> int:
        """The number of m×m tiles that cover the output of all images."""
        return self.images * -(-self.output_size[0] // m) * -(-self.output_size[1] // m)


def _rule(shape: Shape) -> tuple[int, str]:
    """The table: (algorithm, reason)."""
    if shape.is_depthwise:
        return DEPTHWISE, "one channel for each group"
    if shape.groups > 1:
        return DIRECT, f"{shape.groups} groups"
    if not shape.is_plain_3x3:
        return DIRECT, "not 3×3 with stride 1"
    if min(shape.channels, shape.outputs) < FEW_CHANNELS:
        return DIRECT, f"fewer than {FEW_CHANNELS} channels"
    if shape.tiles_of(4) <= FEW_TILES and shape.channels >= MANY_CHANNELS:
        return WINOGRAD2, f"at most {FEW_TILES} tiles of 4×4, {MANY_CHANNELS} channels or more"
    return WINOGRAD4, "3×3 with stride 1"


def forward(shape: Shape) -> int:
    """The algorithm of conv2d."""
    return _rule(shape)[0]


def packed(shape: Shape) -> int:
    """The algorithm of conv2d with weights that were packed before: `forward`, with LATE if there are few tiles.

    Few tiles are multiplied by each transformed weight once in a call. To read 9 numbers from main memory and to
    transform them in a cache is then as fast as to read 16 or 36, or faster, and the packed weights are smaller.
    """
    algorithm = forward(shape)
    if algorithm not in (WINOGRAD2, WINOGRAD4) or shape.tiles_of(algorithm) > READ_ONCE:
        return algorithm
    return algorithm | LATE


def reason(shape: Shape) -> str:
    """The reason why the table gives the algorithm of `forward`."""
    return _rule(shape)[1]


def packings(algorithm: int) -> tuple[int, ...]:
    """All algorithms of `conv2d_packed` that compute the bits of `algorithm`."""
    return (algorithm, algorithm | LATE) if algorithm in (WINOGRAD2, WINOGRAD4) else (algorithm,)


def name(algorithm: int) -> str:
    """The algorithm's name, for people."""
    return NAMES[algorithm & ~LATE] + ", late" * bool(algorithm & LATE)


def grad_input(shape: Shape, input_size: Pair) -> int:
    """The algorithm of conv2d_grad_input for a convolution of this shape: that of conv2d from outputs to channels."""
    if (
        max(shape.window.padding) > 2 and not shape.is_depthwise
    ):  # the equivalent convolution would need a negative padding
        return DIRECT
    return forward(shape._replace(channels=shape.outputs, outputs=shape.channels, output_size=input_size))


def grad_weight(shape: Shape) -> int:
    """The algorithm of conv2d_grad_weight for a convolution of this shape."""
    if shape.is_depthwise:
        return DEPTHWISE
    if not shape.is_plain_3x3 or min(shape.channels, shape.outputs) < FEW_CHANNELS:
        return DIRECT
    return WINOGRAD4


def candidates(shape: Shape) -> tuple[int, ...]:
    """All algorithms that can compute conv2d of this shape."""
    if shape.is_depthwise:
        return DIRECT, DEPTHWISE
    return (DIRECT, WINOGRAD2, WINOGRAD4) if shape.is_plain_3x3 else (DIRECT,)
