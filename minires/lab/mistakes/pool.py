"""Mistakes of pooling: the value of the padding, which pixels get the gradient, and how much of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from minires import functional as F
from minires.backend import Array, array_module
from minires.backend.reference import pooling
from minires.backend.reference.im2col import kernel_positions
from minires.backend.reference.provider import REFERENCE
from minires.backend.shapes import Pair, Window
from minires.core.tensor import Tensor
from minires.lab.fixtures import block, checked, normal, slope_lines, verdict
from minires.lab.mistake import Measured, Mistake, Outcome
from minires.lab.patches import REFERENCE_ONLY, Attribute, Everywhere
from minires.ops.elementwise import where
from minires.ops.pool import GatherAtArgmax, MaxPool2d, RouteToArgmax


def _stem_pool(x: Tensor) -> Tensor:
    """The pool of a ResNet's stem: 3×3, stride 2, padding 1."""
    return F.max_pool2d(x, 3, 2, 1)


# -- zeros in the padding ---------------------------------------------------------------------------------------------

_pad = pooling._pad


def _pad_with_zeros(x: Array, window: Window, output_size: Pair, value: float) -> Array:
    return _pad(x, window, output_size, 0 if value == -np.inf else value)


def _first_of_all(x: Array, window: Window, output_size: Pair) -> Array:
    """Padding may win now: no kernel position of a window is left out."""
    return array_module(x).zeros(output_size, window.argmax_dtype)


def _measure_padding() -> Measured:
    x = normal(2, 4, 6, 6) - 4.0
    y = _stem_pool(x)
    return {
        "largest pixel": float(x.numpy().max()),
        "largest output": float(y.numpy().max()),
        "outputs that are larger than every pixel": f"{int((y.numpy() > x.numpy().max()).sum())} of {y.numel()}",
        "largest |pool(x + 1) − (pool(x) + 1)|": float(np.abs((_stem_pool(x + 1.0) - (y + 1.0)).numpy()).max()),
        "gradient check of the pool": verdict(_stem_pool, [x]),
    }


def _check_padding() -> Outcome:
    """A maximum moves along with its numbers, pool(x + c) = pool(x) + c, also where all of a window is negative."""
    for shape, window in (((2, 3, 6, 6), (3, 2, 1)), ((1, 2, 5, 7), (2, 2, 1)), ((2, 2, 4, 4), (2, 2, 0))):
        x = normal(*shape, requires_grad=False)
        difference = np.abs((F.max_pool2d(x - 10.0, *window) + 10.0 - F.max_pool2d(x, *window)).numpy()).max()
        if difference > 1e-9:
            return Outcome(False, f"max_pool2d{window} of {shape}: pool(x − 10) + 10 differs by {difference:.3g}")
    return Outcome(True, "max pooling moves along with its input")


PADDING = Mistake(
    name="zero-padded-max-pool",
    title="Max pooling pads with zeros",
    replaces="_pad, as max_pool2d_piece calls it, in minires/backend/reference/pooling.py",
    code="""\
image = xp.zeros((N, C, H + 2 * P, W + 2 * P))
image[:, :, P:-P, P:-P] = x
# ... and the largest pixel of each window of `image`
""",
    fixture="The pool of a ResNet's stem, 3×3 with stride 2 and padding 1, on x (2, 4, 6, 6), negative everywhere",
    measure=_measure_padding,
    lesson="Zeros win against negative pixels at the border. Forward and backward agree with each other, so the "
    "gradient check passes: it checks a derivative, and this is the right derivative of the wrong function.",
    checked_by="pool(x + c) = pool(x) + c, which holds for every maximum",
    check=_check_padding,
    questions=(
        "Which windows of a 6×6 image touch the padding? How many are there?",
        "In a ResNet the pool comes after a ReLU. Does the mistake show there?",
        "What must stand in the padding, so that it never wins?",
        "The gradient check passes. What does a gradient check not look at?",
    ),
    hint="What is the maximum of three negative numbers and a zero?",
    answer="With stride 2 and padding 1: the first row and the first column, 5 of 9 windows. Behind a ReLU all pixels "
    "are at least 0, so the values stay right; behind a leaky ReLU or without one they do not. −∞ must stand there. "
    "The check compares backward with forward, not forward with its definition.",
    patches=(
        Everywhere(_pad, _pad_with_zeros),
        Everywhere(pooling.first_inside, _first_of_all),
        REFERENCE_ONLY,
    ),
)

# -- every tie gets the gradient --------------------------------------------------------------------------------------


def _to_all_ties(self: Any, gy: Tensor) -> Tensor:
    x, y = self.inputs[0].detach(), self.output().detach()
    total: Tensor | None = None
    for position in range(self.window.area):
        winner = array_module(self.argmax).full_like(self.argmax, position)
        is_largest = GatherAtArgmax(winner, self.window)(x) == y
        part = RouteToArgmax(winner, x.shape[2:], self.window)(where(is_largest, gy, 0.0))
        total = part if total is None else total + part
    assert total is not None
    return total


def _stem(x: Tensor) -> Tensor:
    return _stem_pool(F.relu(x))


def _measure_ties() -> Measured:
    x = normal(2, 4, 6, 6) - 1.0
    y = _stem(x)
    after_relu = F.relu(x).detach().requires_grad_()
    _stem_pool(after_relu).sum().backward()
    assert after_relu.grad is not None
    return {
        "windows whose pixels are all 0": f"{int((y.numpy() == 0).sum())} of {y.numel()}",
        "sum of the gradient that the pool gets": float(y.numel()),
        "sum of the gradient that it sends on": float(after_relu.grad.numpy().sum()),
        "gradient check of the pool, zeros among x": verdict(_four_windows, [_tied()], by_element=True),
    }


def _tied() -> Tensor:
    """Four windows of 2×2, as a ReLU may put them out: two of them are 0 everywhere."""
    rows = [[1.5, 0.0, 0.0, 0.0], [0.0, 2.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5], [0.0, 0.0, 3.0, 0.0]]
    return Tensor(np.array([[rows]]))


def _four_windows(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2)


TIES = Mistake(
    name="gradient-to-all-ties",
    title="Max pooling sends the gradient to every pixel that is as large as the maximum",
    replaces="MaxPool2d.backward in minires/ops/pool.py",
    code="""\
for i, j in places_of_the_window:
    is_largest = x[pixel(i, j)] == y
    gx[pixel(i, j)] += where(is_largest, gy, 0)
""",
    fixture="The stem of a ResNet, ReLU and then the 3×3 pool with stride 2, on x (2, 4, 6, 6); L = Σ y",
    measure=_measure_ties,
    lesson="Behind a ReLU ties are common: whole windows are 0. A window must send on as much as it gets; with this "
    "mistake a window of nine zeros sends it nine times.",
    checked_by="gradcheck of a pool with windows of zeros: WRONG (convention)",
    check=lambda: checked(_four_windows, [_tied()], by_element=True),
    questions=(
        "With random numbers nobody sees this mistake. Why? Why is it common in a ResNet?",
        "A window of nine zeros: how much gradient comes in, how much goes out?",
        "Increase all nine pixels by ε. By how much does the output change? What do the nine gradients add up to?",
        "First tie, last tie, equal shares: which of these are right? Which one is MiniRes's convention?",
    ),
    hint="Move all tied pixels together, and compare the slope with the sum of their gradients.",
    answer="Random floating-point numbers are never equal; zeros behind a ReLU are. One comes in, nine go out. The "
    "output changes by ε, so the nine gradients must add up to 1: the first, the last and equal shares all do, and all "
    "ties do not. MiniRes and PyTorch take the first in row-major order.",
    patches=(
        Attribute(MaxPool2d, "backward", _to_all_ties),
        Attribute(MaxPool2d, "saved_inputs", None),
        Attribute(MaxPool2d, "saves_output", True),
    ),
)

# -- the average's gradient is not divided ----------------------------------------------------------------------------


def _split_undivided(gy: Array, input_size: Pair, window: Window, count_include_pad: bool) -> Array:
    padded_size = pooling._padded_size(input_size, window, gy.shape[2:])
    gx = array_module(gy).zeros((*gy.shape[:2], *padded_size), gy.dtype)
    for _, _, pixels in kernel_positions(window, gy.shape[2:]):
        gx[pixels] += gy
    return pooling._crop(gx, window, input_size)


def _measure_average() -> Measured:
    one, x = block(), normal(2, 4, 6, 6)

    def pooled(x: Tensor) -> Tensor:
        return F.avg_pool2d(one(x), 2)

    lines = slope_lines(pooled, [x])
    by_difference, by_backward = lines.values()
    return {
        **lines,
        "their ratio": by_backward / by_difference,
        "gradient check of block and pool": verdict(pooled, [x]),
    }


def _check_average() -> Outcome:
    x = normal(1, 2, 5, 4)
    outcomes = [
        checked(lambda x, kernel=kernel, padding=padding: F.avg_pool2d(x, kernel, 2, padding), [x])
        for kernel, padding in ((2, 0), (3, 1))
    ]
    return next((outcome for outcome in outcomes if not outcome.passed), outcomes[0])


AVERAGE = Mistake(
    name="average-pool-forgets-to-divide",
    title="The backward pass of average pooling forgets to divide",
    replaces="avg_pool2d_split in minires/backend/reference/pooling.py",
    code="""\
for i, j in places_of_the_window:
    gx[pixel(i, j)] += gy
""",
    fixture="A BasicBlock of 4 channels and an average pool 2×2 behind it, x (2, 4, 6, 6), L = Σ c·y with a random c",
    measure=_measure_average,
    lesson="Everything in front of the pool gets a gradient that is four times too large, and nothing else is wrong: "
    "its direction is right, so training still works, with another learning rate in front of the pool.",
    checked_by="gradcheck of an average pool, with and without overlap",
    check=_check_average,
    questions=(
        "Where does the number in the third line come from? What is it for a 7×7 pool?",
        "The network still learns. What is different, and which layers does it concern?",
        "Why does batch norm hide this mistake even better? (Think of what the scale of a gradient does to Adam.)",
        "With padding, the windows at the border are divided by what?",
    ),
    hint="Write y as a sum of pixels, each with a factor. What is the derivative with respect to one pixel?",
    answer="kh·kw = 4, and 49. Layers in front of the pool learn with four times the learning rate. Adam divides by "
    "the gradient's scale and hides a constant factor altogether. By kh·kw if padding counts as zeros, else by the "
    "pixels inside the image.",
    patches=(Attribute(REFERENCE, "avg_pool2d_split", _split_undivided), REFERENCE_ONLY),
)
