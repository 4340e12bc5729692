"""Convolution in C, compared with the reference in float64: random shapes, and the shapes of a ResNet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minires.backend import cpu
from minires.backend.cpu import algorithms, isa
from minires.backend.cpu.algorithms import DIRECT, WINOGRAD2, WINOGRAD4
from minires.backend.cpu.provider import CPU
from minires.backend.shapes import Window
from tests.backend.cpu import cases
from tests.backend.cpu.layouts import channels_last

if cpu.library is None:
    pytest.skip("the C kernels are not built here", allow_module_level=True)


@pytest.mark.parametrize("kernel", cases.CONVOLUTIONS)
@pytest.mark.parametrize("build", isa.built())
@pytest.mark.parametrize("examples", [12, pytest.param(50, marks=pytest.mark.slow)])  # 7 s in all
def test_random_shapes(build, kernel, examples):
    @settings(max_examples=examples)
    @given(data=st.data())
    def check(data):
        cases.CONVOLUTIONS[kernel](cases.Drawn(data)).check()

    with cases.kernels_of(isa.built()[build]):
        check()


# x (N, C, H, W), outputs, kernel, stride, padding
LAYERS = {
    "stem": ((1, 3, 112, 112), 64, 7, 2, 3),
    "56x56": ((2, 64, 56, 56), 64, 3, 1, 1),
    "28x28, stride 2": ((2, 128, 28, 28), 256, 3, 2, 1),
    "14x14": ((3, 256, 14, 14), 256, 3, 1, 1),
    "7x7": ((2, 512, 7, 7), 512, 3, 1, 1),
    "1x1": ((2, 256, 28, 28), 64, 1, 1, 0),
    "1x1, stride 2": ((2, 256, 28, 28), 512, 1, 2, 0),
    "cifar": ((16, 16, 32, 32), 16, 3, 1, 1),
}


def layer(name: str, positive: bool) -> cases.Convolution:
    shape, outputs, kernel, stride, padding = LAYERS[name]
    rng = np.random.default_rng(len(name))
    window = Window((kernel, kernel), (stride, stride), (padding, padding))
    output = window.output_size(shape[2:])
    shapes = shape, (outputs, shape[1], kernel, kernel), (shape[0], outputs, *output)
    x, w, gy = (channels_last(rng.normal(size=each).astype(np.float32)) for each in shapes)
    if positive:
        x, w, gy = abs(x), abs(w), abs(gy)
    return cases.Convolution(x, w, gy, window)


@pytest.mark.parametrize(
    "positive", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["normal", "all positive"]
)  # 4 s each
@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_residual_networks(name, positive):
    """Positive numbers are the worst case: the partial sums, and so their rounding errors, are as large as the sum.

    The chains of 512 products in the register block then have errors of up to 1.3e-6 of the largest value; with numbers
    of both signs they stay within 5e-7.
    """
    c = layer(name, positive)
    algorithms_here = algorithms.candidates(c.shape)
    made = [cases.forward_case(c, way, None, None, False) for way in algorithms_here]
    made += [cases.grad_input_case(c, way) for way in algorithms_here]
    made += [cases.grad_weight_case(c, way) for way in algorithms_here if way != WINOGRAD2]
    failures = []
    for case in made:
        case.allowed = tuple(each * (3 if positive else 1) for each in case.allowed)
        try:
            case.check()
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)


def test_the_table_names_algorithms_that_can_do_it():
    """For every shape, the algorithms of the table compute forward and both gradients, or the library refuses."""
    seen = set()
    for seed in range(200):
        c = cases.convolution(cases.Dice(seed), plain=seed % 2 == 0)
        assert algorithms.forward(c.shape) in algorithms.candidates(c.shape)
        assert algorithms.grad_weight(c.shape) in (DIRECT, WINOGRAD4)
        assert max(c.window.padding) <= 2 or algorithms.grad_input(c.shape, c.x.shape[2:]) == DIRECT
        seen.add(algorithms.forward(c.shape))
    assert {DIRECT, WINOGRAD4} <= seen


def test_what_an_algorithm_cannot_do_is_refused():
    x, w = np.ones((1, 2, 5, 5), np.float32), np.ones((3, 2, 3, 3), np.float32)
    gy = np.ones((1, 3, 3, 3), np.float32)
    for stride, dilation in (((2, 1), (1, 1)), ((1, 1), (1, 2))):
        with pytest.raises(ValueError, match="this algorithm does not do this convolution"):
            cpu.library.conv2d(x, w, None, None, False, stride, (0, 0), dilation, WINOGRAD4)
    with pytest.raises(ValueError, match="no weight gradient by 2x2 tiles"):
        cpu.library.conv2d_grad_weight(x, gy, (3, 3), (1, 1), (0, 0), (1, 1), WINOGRAD2)
    with pytest.raises(ValueError, match="too much padding for Winograd"):
        cpu.library.conv2d_grad_input(np.ones((1, 3, 9, 9), np.float32), w, (5, 5), (1, 1), (3, 3), (1, 1), WINOGRAD4)
    with pytest.raises(ValueError, match="the kernel is larger than the image"):
        cpu.library.conv2d(x, np.ones((3, 2, 6, 6), np.float32), None, None, False, (1, 1), (0, 0), (1, 1), DIRECT)
    with pytest.raises(ValueError, match="the weights do not fit"):
        cpu.library.conv2d(x, w[:, :1], None, None, False, (1, 1), (0, 0), (1, 1), DIRECT)
    with pytest.raises(TypeError, match="float32"):
        cpu.library.conv2d(x, w.astype(np.float64), None, None, False, (1, 1), (0, 0), (1, 1), DIRECT)


def test_groups_and_strided_dilated_gradients_fall_through():
    x, w, gy = (np.ones(shape, np.float32) for shape in ((1, 4, 6, 6), (4, 4, 2, 2), (1, 4, 2, 2)))
    assert CPU.conv2d(x, w[:, :2], None, Window((2, 2)), 2) is NotImplemented
    assert CPU.conv2d_grad_input(gy, w, (6, 6), Window((2, 2), (3, 3), dilation=(2, 2)), 1) is NotImplemented
