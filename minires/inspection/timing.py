"""Times every algorithm on every convolution of a network, and shows which one is chosen: `minires bench conv`.

The table of algorithms (`minires/backend/cpu/algorithms.py`) chooses by shape alone, so that a call gives the same bits
on every machine. This module shows whether it chooses well on this one. Each run packs its weights, as a training step
does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minires.backend import Array
from minires.backend.cpu import algorithms, library
from minires.backend.cpu.algorithms import DEPTHWISE, DIRECT, NAMES, WINOGRAD2, Shape
from minires.core import modes
from minires.core.function import Function
from minires.core.tensor import Tensor
from minires.errors import MiniResError
from minires.inspection import machine
from minires.nn import Module
from minires.ops.conv import Conv2d


@dataclass(frozen=True)
class Timing:
    """The timing of one kernel on one shape.

    Attributes:
        kernel: "forward", "grad_input" or "grad_weight".
        shape: the shape of the convolution.
        count: the number of such convolutions in the network.
        seconds: {algorithm: the shortest duration}.
        chosen: the algorithm that the table chooses.
        reason: why it chooses that one.
    """

    kernel: str
    shape: Shape
    count: int
    seconds: dict[str, float]
    chosen: str
    reason: str

    @property
    def operations(self) -> int:
        """Number of multiplications and additions of the direct method, the measure for all algorithms."""
        s = self.shape
        pixels = s.images * s.output_size[0] * s.output_size[1]
        return 2 * pixels * s.outputs * (s.channels // s.groups) * s.window.area

    @property
    def fastest(self) -> str:
        """The fastest algorithm on this machine."""
        return min(self.seconds, key=self.seconds.__getitem__)

    @property
    def loss(self) -> float:
        """How much slower the chosen algorithm is than the fastest, as a fraction: 0.1 for 10 %."""
        return self.seconds[self.chosen] / self.seconds[self.fastest] - 1


def convolutions(model: Module, batch: int, size: int) -> list[tuple[Shape, int]]:
    """The distinct shapes of a model's convolutions, in order, with the number of each.

    The model runs once, in eval mode, on an image (1, 3, size, size); the returned shapes are for `batch` images.
    """
    found: Counter[Shape] = Counter()

    def note(op: Function, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(op, Conv2d):
            x, w = inputs[0].shape, inputs[1].shape
            found[Shape(batch, x[1], w[0], output.shape[2:], op.window, op.groups)] += 1

    with modes.no_grad(), modes.intercepting(observe=note):
        model.eval()(Tensor(np.zeros((1, 3, size, size), np.float32)))
    return list(found.items())


def measure(shape: Shape, count: int, train: bool = False, runs: int = 7) -> list[Timing]:
    """Time all algorithms on a shape that `convolutions` returned: forward, with `train` also both gradients.

    The shortest of `runs` runs counts. Raises MiniResError if the C kernels were not built.
    """
    if library is None:
        raise MiniResError(f"bench conv measures the C kernels, which are {machine.NOT_BUILT}")
    window, groups, input_size = shape.window, shape.groups, shape.window.smallest_input_size(shape.output_size)
    rng = np.random.default_rng(0)
    x = _channels_last(rng, shape.images, shape.channels, *input_size)
    gy = _channels_last(rng, shape.images, shape.outputs, *shape.output_size)
    w = rng.standard_normal((shape.outputs, shape.channels // groups, *window.kernel), np.float32)
    kernels: dict[str, tuple[Callable[[int], Any], int, str]] = {
        "forward": (
            lambda way: library.conv2d(x, w, None, None, False, *window[1:], groups, way),
            algorithms.forward(shape),
            algorithms.reason(shape),
        )
    }
    if train:
        turned = shape._replace(channels=shape.outputs, outputs=shape.channels, output_size=input_size)
        kernels["grad_input"] = (
            lambda way: library.conv2d_grad_input(gy, w, input_size, *window[1:], groups, way),
            algorithms.grad_input(shape, input_size),
            algorithms.reason(turned),
        )
        kernels["grad_weight"] = (
            lambda way: library.conv2d_grad_weight(x, gy, *window, groups, way),
            algorithms.grad_weight(shape),
            algorithms.reason(shape._replace(images=max(shape.images, 99))),  # few tiles make no difference to it
        )
    timings = []
    for name, (run, chosen, why) in kernels.items():
        ways = [way for way in algorithms.candidates(shape) if name != "grad_weight" or way != WINOGRAD2]
        if name == "grad_input" and max(window.padding) > 2:
            ways = [way for way in ways if way in (DIRECT, DEPTHWISE)]
        seconds = {NAMES[way]: machine.best_of(partial(run, way), runs) for way in ways}
        timings.append(Timing(name, shape, count, seconds, NAMES[chosen], why))
    return timings


def _channels_last(rng: np.random.Generator, n: int, c: int, h: int, w: int) -> Array:
    return rng.standard_normal((n, h, w, c), np.float32).transpose(0, 3, 1, 2)
