"""Convolution in C, compared with the reference in float64: random shapes, and the shapes of a ResNet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minires as mr
from minires import functional as F
from minires.backend import cpu
from minires.backend.cpu import algorithms, isa
from minires.backend.cpu.algorithms import DEPTHWISE, DIRECT, LATE, WINOGRAD2, WINOGRAD4
from minires.backend.shapes import Window
from tests.backend.cpu import cases
from tests.backend.cpu.builds import every_build
from tests.backend.cpu.layouts import channels_last

if cpu.library is None:
    pytest.skip("the C kernels are not built here", allow_module_level=True)


@pytest.mark.parametrize("kernel", cases.CONVOLUTIONS)
@pytest.mark.parametrize("build", every_build())
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
        c = cases.convolution(cases.Dice(seed), plain=seed % 2 == 0, grouped=seed % 3 == 0)
        assert algorithms.forward(c.shape) in algorithms.candidates(c.shape)
        assert algorithms.grad_weight(c.shape) in algorithms.candidates(c.shape)
        assert algorithms.grad_weight(c.shape) != WINOGRAD2
        assert max(c.window.padding) <= 2 or algorithms.grad_input(c.shape, c.x.shape[2:]) in (DIRECT, DEPTHWISE)
        seen.add(algorithms.forward(c.shape))
    assert {DIRECT, DEPTHWISE, WINOGRAD4} <= seen


@pytest.mark.parametrize("build", every_build())
@pytest.mark.parametrize("way", [WINOGRAD2, WINOGRAD4])
@pytest.mark.parametrize("size", [7, 50])  # few tiles, and many
@pytest.mark.parametrize("outputs", [3, 4, 8, 16, 50])  # panels of one vector, up to 4, 8 or 16, and of two
def test_kernels_transformed_late_give_the_same_bits(build, way, size, outputs):
    rng = np.random.default_rng(0)
    x = channels_last(rng.normal(size=(1, 40, size, size)).astype(np.float32))
    w = rng.normal(size=(outputs, 40, 3, 3)).astype(np.float32)
    with cases.kernels_of(isa.built()[build]):
        lanes, found = cpu.library.LANES, []
        width = lanes if outputs <= lanes else 2 * lanes
        for algorithm in algorithms.packings(way):
            packed = cpu.library.pack(w, 1, algorithm)
            out = cpu.library.empty_image(1, outputs, size, size)
            geometry = (1, 1), (1, 1), (1, 1), 1, algorithm
            found.append(cpu.library.conv2d_packed(x, packed, (outputs, 3, 3), None, None, False, *geometry, out))
            numbers = 9 if algorithm & LATE else (way + 2) ** 2
            assert packed.nbytes == 4 * numbers * 40 * -(-outputs // width) * width
    np.testing.assert_array_equal(*found)
    np.testing.assert_allclose(
        found[0], cases.exact("conv2d", x, w, None, Window((3, 3), padding=(1, 1)), 1)[0], atol=1e-3
    )


@pytest.mark.parametrize(
    ("shape", "algorithm"),
    [
        (algorithms.Shape(1, 512, 512, (7, 7), Window((3, 3))), WINOGRAD2 | LATE),
        (algorithms.Shape(1, 256, 256, (14, 14), Window((3, 3))), WINOGRAD2 | LATE),
        (algorithms.Shape(1, 128, 128, (28, 28), Window((3, 3))), WINOGRAD4 | LATE),
        (algorithms.Shape(1, 64, 64, (56, 56), Window((3, 3))), WINOGRAD4),
        (algorithms.Shape(3, 64, 64, (24, 24), Window((3, 3))), WINOGRAD4 | LATE),  # 108 tiles
        (algorithms.Shape(109, 64, 64, (4, 4), Window((3, 3))), WINOGRAD4),
        (algorithms.Shape(1, 512, 512, (7, 7), Window((1, 1))), DIRECT),
        (algorithms.Shape(1, 64, 64, (7, 7), Window((3, 3)), 64), DEPTHWISE),
    ],
)
def test_weights_that_each_call_reads_once_are_packed_as_they_are(shape, algorithm):
    assert algorithms.packed(shape) == algorithm
    assert algorithm in algorithms.packings(algorithms.forward(shape))
    assert algorithms.name(algorithm) == algorithms.NAMES[algorithm & ~LATE] + (", late" if algorithm & LATE else "")


@pytest.mark.parametrize("build", every_build())
@pytest.mark.parametrize("algorithm", [DIRECT, WINOGRAD4])
@pytest.mark.parametrize(
    ("images", "channels", "outputs", "size"),
    [
        (4, 8, 640, 32),  # in stripes of tiles, whose block of tiles has room for hardly any
        (4, 640, 8, 32),
        (20, 64, 64, 8),  # stripes that do not divide the tiles, or the images
        (7, 16, 16, 31),
        (5, 72, 72, 16),  # near the size of Z up to which there are stripes
        (3, 76, 76, 16),
        (40, 5, 9, 6),
    ],
)
def test_weight_gradients_however_the_work_is_shared(build, algorithm, images, channels, outputs, size):
    rng = np.random.default_rng(0)
    x = channels_last(rng.normal(size=(images, channels, size, size)).astype(np.float32))
    gy = channels_last(rng.normal(size=(images, outputs, size, size)).astype(np.float32))
    found = isa.built()[build].conv2d_grad_weight(x, gy, (3, 3), (1, 1), (1, 1), (1, 1), 1, algorithm)
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    pixels = gy.transpose(1, 0, 2, 3).reshape(outputs, -1).astype(np.float64)
    for i in range(3):
        for j in range(3):
            window = padded[:, :, i : i + size, j : j + size].transpose(0, 2, 3, 1).reshape(-1, channels)
            expected = pixels @ window
            np.testing.assert_allclose(found[:, :, i, j], expected, atol=3e-5 * np.abs(expected).max())


def test_what_an_algorithm_cannot_do_is_refused():
    x, w = np.ones((1, 2, 5, 5), np.float32), np.ones((3, 2, 3, 3), np.float32)
    gy = np.ones((1, 3, 3, 3), np.float32)
    for stride, dilation in (((2, 1), (1, 1)), ((1, 1), (1, 2))):
        with pytest.raises(ValueError, match="this algorithm does not do this convolution"):
            cpu.library.conv2d(x, w, None, None, False, stride, (0, 0), dilation, 1, WINOGRAD4)
    with pytest.raises(ValueError, match="no weight gradient by 2x2 tiles"):
        cpu.library.conv2d_grad_weight(x, gy, (3, 3), (1, 1), (0, 0), (1, 1), 1, WINOGRAD2)
    with pytest.raises(ValueError, match="a gradient has no packed weights"):
        cpu.library.conv2d_grad_weight(x, gy, (3, 3), (1, 1), (0, 0), (1, 1), 1, WINOGRAD4 | LATE)
    with pytest.raises(ValueError, match="a gradient has no packed weights"):
        cpu.library.conv2d_grad_input(gy, w, (5, 5), (1, 1), (0, 0), (1, 1), 1, WINOGRAD4 | LATE)
    with pytest.raises(ValueError, match="too much padding for Winograd"):
        cpu.library.conv2d_grad_input(
            np.ones((1, 3, 9, 9), np.float32), w, (5, 5), (1, 1), (3, 3), (1, 1), 1, WINOGRAD4
        )
    with pytest.raises(ValueError, match="the kernel is larger than the image"):
        cpu.library.conv2d(x, np.ones((3, 2, 6, 6), np.float32), None, None, False, (1, 1), (0, 0), (1, 1), 1, DIRECT)
    with pytest.raises(ValueError, match="the weights do not fit"):
        cpu.library.conv2d(x, w[:, :1], None, None, False, (1, 1), (0, 0), (1, 1), 1, DIRECT)
    with pytest.raises(TypeError, match="float32"):
        cpu.library.conv2d(x, w.astype(np.float64), None, None, False, (1, 1), (0, 0), (1, 1), 1, DIRECT)


def test_groups_and_channels_that_do_not_fit_are_refused():
    x, w = np.ones((1, 4, 5, 5), np.float32), np.ones((6, 2, 3, 3), np.float32)
    geometry = (1, 1), (0, 0), (1, 1)
    for groups in (0, -2, 3, 5):
        with pytest.raises(ValueError, match="the groups do not divide the channels"):
            cpu.library.conv2d(x, w, None, None, False, *geometry, groups, DIRECT)
    with pytest.raises(ValueError, match="the weights do not fit"):
        cpu.library.conv2d(x, w, None, None, False, *geometry, 1, DIRECT)
    for groups, algorithm in ((2, DEPTHWISE), (2, WINOGRAD4), (2, 3)):
        with pytest.raises(ValueError, match="this algorithm does not do this convolution"):
            cpu.library.conv2d(x, w, None, None, False, *geometry, groups, algorithm)
    with pytest.raises(ValueError, match="the groups do not divide the channels"):
        cpu.library.conv2d_grad_weight(x, np.ones((1, 6, 3, 3), np.float32), (3, 3), *geometry, 4, DIRECT)
    with pytest.raises(ValueError, match="the gradient does not fit"):
        cpu.library.conv2d_grad_input(np.ones((1, 5, 3, 3), np.float32), w, (5, 5), *geometry, 2, DIRECT)
    with pytest.raises(ValueError, match="the groups do not divide the channels"):
        cpu.library.pack(w, 0, DIRECT)


# groups, channels and outputs of each; image, kernel, stride, padding
GROUPED = {
    "ResNeXt, 4 channels": (32, 4, 4, (14, 14), 3, 1, 1),
    "ResNeXt, stride 2": (32, 8, 8, (14, 13), 3, 2, 1),
    "ResNeXt, 32 channels": (8, 32, 32, (7, 7), 3, 1, 1),
    "MobileNet": (144, 1, 1, (15, 14), 3, 1, 1),
    "MobileNet, stride 2": (96, 1, 1, (28, 27), 3, 2, 1),
    "EfficientNet, 5×5": (240, 1, 1, (9, 14), 5, 1, 2),
    "more channels than a task has": (600, 1, 1, (5, 6), 3, 1, 1),
    "channels multiplied": (16, 1, 3, (9, 9), 3, 1, 1),
}


@pytest.mark.parametrize("build", every_build())
@pytest.mark.parametrize("name", GROUPED)
def test_layers_with_groups(name, build):
    groups, channels, outputs, image, kernel, stride, padding = GROUPED[name]
    rng, window = np.random.default_rng(len(name)), Window((kernel, kernel), (stride, stride), (padding, padding))
    shapes = (
        (2, groups * channels, *image),
        (groups * outputs, channels, kernel, kernel),
        (2, groups * outputs, *window.output_size(image)),
    )
    x, w, gy = (channels_last(rng.normal(size=shape).astype(np.float32)) for shape in shapes)
    c = cases.Convolution(x, w, gy, window, groups)
    bias, residual = rng.normal(size=len(w)).astype(np.float32), channels_last(rng.normal(size=gy.shape))
    with cases.kernels_of(isa.built()[build]):
        for way in algorithms.candidates(c.shape):
            cases.forward_case(c, way, bias, residual.astype(np.float32), True, most=0.5).check()
            cases.grad_input_case(c, way).check()
            cases.grad_weight_case(c, way).check()


def test_no_call_in_float32_falls_through():
    """Groups, strides and dilations together: each in C, forward and both gradients."""
    for groups in (1, 2, 4):
        x = mr.tensor(np.ones((1, 4, 9, 9), np.float32)).requires_grad_()
        w = mr.tensor(np.ones((4, 4 // groups, 2, 2), np.float32)).requires_grad_()
        with mr.profile() as profile:
            F.conv2d(x, w, stride=3, dilation=2, padding=1, groups=groups).sum().backward()
        assert not [row for row in profile.fell_through if row.kernel.startswith("conv2d")]
        assert {row.provider for row in profile.rows if row.kernel.startswith("conv2d")} == {"cpu"}
