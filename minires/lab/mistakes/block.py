"""A mistake in the block itself: the shortcut does not have the stride of the residual."""

from __future__ import annotations

from collections.abc import Callable

from minires import nn
from minires.errors import ShapeError
from minires.lab.fixtures import block, normal, verdict
from minires.lab.mistake import Measured, Mistake, Outcome
from minires.lab.patches import Everywhere
from minires.models.blocks import BasicBlock, Bottleneck
from minires.models.shortcuts import Shortcut, make_shortcut


def _without_stride(
    option: Shortcut, inputs: int, outputs: int, stride: int, norm: Callable[[int], nn.Module] | None = nn.BatchNorm2d
) -> nn.Module | None:
    return make_shortcut(option, inputs, outputs, 1, norm)


def _output(shape: tuple[int, ...]) -> str:
    """The output shape of a block with stride 2 for an input of this shape, or "ShapeError"."""
    try:
        return str(block(4, 8, stride=2)(normal(*shape)).shape)
    except ShapeError:
        return "ShapeError"


def _measure_stride() -> Measured:
    return {
        "output for x (2, 4, 6, 6)": _output((2, 4, 6, 6)),
        "output for x (2, 4, 2, 2)": _output((2, 4, 2, 2)),
        "gradient check with x (8, 4, 2, 2)": verdict(block(4, 8, stride=2), [normal(8, 4, 2, 2)]),
    }


def _check_stride() -> Outcome:
    """Every block, whatever its shortcut, maps (N, C, H, W) to (N, expansion · width, ⌈H/s⌉, ⌈W/s⌉)."""
    for kind in (BasicBlock, Bottleneck):
        for option in ("A", "B", "C"):
            for size in (2, 5, 6):
                one = kind(4, 4, stride=2, shortcut=option)
                expected = (3, 4 * kind.expansion, -(-size // 2), -(-size // 2))
                about = f"{kind.__name__}, shortcut {option}, stride 2, image {size}×{size}"
                try:
                    found = one(normal(3, 4, size, size).astype("float32")).shape
                except ShapeError as error:
                    return Outcome(False, f"{about}: {error}")
                if found != expected:
                    return Outcome(False, f"{about}: output {found}, should be {expected}")
    return Outcome(True, "every block has the output shape that its stride asks for")


STRIDE = Mistake(
    name="shortcut-with-wrong-stride",
    title="The projection on the shortcut has no stride",
    replaces="make_shortcut in minires/models/shortcuts.py",
    code="""\
def make_shortcut(inputs, outputs, stride):
    return Sequential(conv1x1(inputs, outputs), BatchNorm2d(outputs))
""",
    fixture="A BasicBlock from 4 to 8 channels with stride 2",
    measure=_measure_stride,
    lesson="Most images give an error, which is good. An image of 2×2 gives none: the residual is 1×1, and broadcasts "
    "over the shortcut's 2×2. The block then has no stride at all, and the gradient check passes.",
    checked_by="the block's output shape, for several sizes, the smallest among them",
    check=_check_stride,
    questions=(
        "What shape does the residual F(x) have for an image of 2×2? What shape does the shortcut have?",
        "By which rule can the two be added? What does the sum mean?",
        "Why does the gradient check pass?",
        "ResNet-18 halves the image five times. For which sizes of input would the last stage meet a 2×2 image?",
    ),
    hint="A test with one comfortable size is one test. Which sizes are special?",
    answer="(N, 8, 1, 1) and (N, 8, 2, 2); 1 broadcasts to 2, so every pixel of the shortcut gets the same residual. "
    "The gradient of this other function is right. Four halvings come before the last stage, so inputs of 17 to "
    "32 pixels, such as CIFAR images in an ImageNet network, arrive there as 2×2.",
    patches=(Everywhere(make_shortcut, _without_stride),),
)
