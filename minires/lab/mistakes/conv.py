"""A mistake in convolution: where windows overlap, one overwrites what another has written."""

from __future__ import annotations

from minires import functional as F
from minires.backend import Array, array_module
from minires.backend.reference import im2col
from minires.backend.shapes import Window
from minires.core.tensor import Tensor
from minires.lab.fixtures import block, checked, gradients, length, normal, slope_lines, verdict
from minires.lab.mistake import Measured, Mistake, Outcome
from minires.lab.patches import REFERENCE_ONLY, Everywhere


def _overwriting_col2im(columns: Array, padded_shape: tuple[int, int, int, int], window: Window) -> Array:
    n, c, h, w = padded_shape
    ho, wo = window.without_padding.output_size((h, w))
    columns = columns.reshape(c, *window.kernel, n, ho, wo)
    padded = array_module(columns).zeros(padded_shape, columns.dtype)
    for i, j, pixels in im2col.kernel_positions(window, (ho, wo)):
        padded[pixels] = columns[:, i, j].transpose(1, 0, 2, 3)
    return padded


def _length_behind(kernel: int, stride: int) -> float:
    """The length of ∂L/∂x behind one convolution."""
    x, w = normal(2, 4, 6, 6), normal(4, 4, kernel, kernel, seed=5, requires_grad=False)
    return length(gradients(lambda x: F.conv2d(x, w, stride=stride), [x])[0])


def _measure_overlap() -> Measured:
    one, x = block(), normal(2, 4, 6, 6)
    return {
        **slope_lines(one, [x]),
        "length of ∂L/∂x, kernel 3, stride 1": _length_behind(3, 1),
        "length of ∂L/∂x, kernel 3, stride 3": _length_behind(3, 3),
        "length of ∂L/∂x, kernel 1, stride 1": _length_behind(1, 1),
        "gradient check of the block": verdict(one, [x]),
    }


def _check_overlap() -> Outcome:
    w = normal(2, 2, 3, 3, seed=5)

    def convolved(x: Tensor, w: Tensor) -> Tensor:
        return F.conv2d(x, w, padding=1)

    return checked(convolved, [normal(1, 2, 4, 5), w])


OVERLAP = Mistake(
    name="col2im-overwrites-overlaps",
    title="col2im overwrites the pixels that several windows share",
    replaces="col2im in minires/backend/reference/im2col.py",
    code="""\
for i, j in places_of_the_kernel:
    padded[pixels(i, j)] = columns[i, j]
""",
    fixture="A BasicBlock of 4 channels, and single convolutions, x (2, 4, 6, 6), L = Σ c·y with a random c",
    measure=_measure_overlap,
    lesson="A pixel that nine windows read gets the gradient of one of them. Where windows do not overlap (kernel 1, "
    "or a stride as long as the kernel), nothing is wrong: a test with such a convolution sees nothing.",
    checked_by="gradcheck of a convolution whose windows overlap",
    check=_check_overlap,
    questions=(
        "Kernel 3, stride 1: how many windows read a pixel in the middle of the image? And in its corner?",
        "Which two lines of the table are right in both columns? What do these convolutions have in common?",
        "Is the weight's gradient wrong too? Which kernel computes it?",
        "Where else in this list of mistakes is the same idea missing?",
    ),
    hint="im2col copies one pixel into many columns. What is the opposite of copying?",
    answer="Nine, and four with padding 1 (one without). Those without overlap. The weight's gradient is gy @ columnsᵀ "
    "and needs im2col only, so it is right. It is the mistake of overwriting where paths join, and of the missing "
    "unbroadcast: what was used many times collects the sum.",
    patches=(Everywhere(im2col.col2im, _overwriting_col2im), REFERENCE_ONLY),
)
