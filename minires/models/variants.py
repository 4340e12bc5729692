"""The blocks of `blocks.py` with a `Variation`: another order of their layers, gates, scales, stochastic depth.

    a = x, or BN and ReLU of x where the order has them before the first convolution
    y = join(F(a), s), with s = x, or a module of a, as where the shape changes

Behind y stands what the order has after the sum.
"""

from __future__ import annotations

from typing import Any

from minires import nn
from minires.core.random import common_generator
from minires.core.tensor import Tensor
from minires.models.blocks import BasicBlock, Block, Bottleneck, SingleBlock, relu_of_norm
from minires.models.shortcuts import make_shortcut
from minires.models.variation import Variation


class VariedBlock(Block):
    """A block with a `Variation`; mixed with the class that has the convolutions.

    Args:
        inputs, width, stride, shortcut: as of BasicBlock.
        variation: what differs.
        is_first: whether it is the first block of its network, so that the stem has activated x already.
        survival: the probability of computing F(x) in training.
        options: groups and base_width of a Bottleneck.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int,
        shortcut: Any,
        *,
        variation: Variation,
        is_first: bool = False,
        survival: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(inputs, width, stride, shortcut, **options)  # type: ignore[call-arg]
        self.order, self.survival, outputs = variation.order, survival, width * self.expansion
        for number, (conv, _) in enumerate(self.layers, 1):
            before = self.order == "full"
            setattr(self, f"bn{number}", variation.make_norm(conv.in_channels if before else conv.out_channels))
        if self.order == "full" and is_first:
            # The stem has done it. The ReLU stays: of what the stem's ReLU has left it changes nothing.
            self.set_submodule("bn1", nn.Identity())
        norm = None if self.order == "full" else variation.make_norm  # pre-activation projects without a norm
        self.downsample = make_shortcut(shortcut, inputs, outputs, stride, norm)
        self.join = None if self.plain else variation.make_join(inputs, outputs, stride)
        self.shortcut_dropout = nn.Dropout(variation.shortcut_dropout) if variation.shortcut_dropout else None
        self.end: nn.Module | None = None  # the scalar that skipinit and fixup put behind F

    @property
    def layers(self) -> list[tuple[Any, Any]]:
        """(convolution, norm) in the order of F."""
        numbers = [n for n in (1, 2, 3) if hasattr(self, f"conv{n}")]
        return [(getattr(self, f"conv{n}"), getattr(self, f"bn{n}")) for n in numbers]

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        norm = self.layers[-1][1]
        if self.order in ("bn_after_add", "full") or not isinstance(norm, nn.BatchNorm2d):
            raise ValueError(
                f"ResNet: zero_init_residual needs a batch norm that ends F, which order={self.order!r} with "
                f"{type(norm).__name__} has not; init='skipinit' starts blocks as their shortcuts, too"
            )
        return norm

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, expansion · width, ⌈H/stride⌉, ⌈W/stride⌉)."""
        activated = self.activated(x)
        if self.plain:
            return self.after_sum(self.residual(activated))
        shortcut = self.shortcut(x if self.downsample is None else activated)
        if self.shortcut_dropout is not None:
            shortcut = self.shortcut_dropout(shortcut)
        residual = self.surviving(activated)
        if self.join is not None:
            return self.after_sum(self.join(x, residual, shortcut))
        return self.after_sum(shortcut if residual is None else residual + shortcut)

    def activated(self, x: Tensor) -> Tensor:
        """What stands before the first convolution."""
        if self.order == "full":
            return relu_of_norm(self.relu, self.layers[0][1], x)
        return self.relu(x) if self.order == "relu_only" else x

    def residual(self, x: Tensor) -> Tensor:
        """F of the activated input."""
        (conv, norm), *others = self.layers
        if self.order == "full":
            y = conv(x)
            for conv, norm in others:
                y = conv(relu_of_norm(self.relu, norm, y))
        else:
            for following, following_norm in others:
                x, conv, norm = relu_of_norm(self.relu, norm, conv(x)), following, following_norm
            y = conv(x)
            if self.order != "bn_after_add":
                y = norm(y)
            if self.order == "relu_before_add":
                y = self.relu(y)
        return y if self.end is None else self.end(y)

    @property
    def is_dropped_at_random(self) -> bool:
        """Whether stochastic depth may drop it, so that a step cannot be captured as a CUDA graph."""
        return self.survival < 1

    def surviving(self, x: Tensor) -> Tensor | None:
        """F(x); None where stochastic depth drops it; in eval mode times the probability of surviving."""
        if self.survival == 1:
            return self.residual(x)
        if not self.training:
            return self.survival * self.residual(x)
        return self.residual(x) if common_generator().random() < self.survival else None

    def after_sum(self, y: Tensor) -> Tensor:
        """What stands behind the sum."""
        if self.order == "bn_after_add":
            return relu_of_norm(self.relu, self.layers[-1][1], y)
        return self.relu(y) if self.order == "original" else y


class VariedSingleBlock(VariedBlock, SingleBlock):
    """A SingleBlock with a Variation."""


class VariedBasicBlock(VariedBlock, BasicBlock):
    """A BasicBlock with a Variation."""


class VariedBottleneck(VariedBlock, Bottleneck):
    """A Bottleneck with a Variation."""


VARIED: dict[Any, type[VariedBlock]] = {
    SingleBlock: VariedSingleBlock,
    BasicBlock: VariedBasicBlock,
    Bottleneck: VariedBottleneck,
}
