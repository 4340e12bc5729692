"""The kernels other than convolution, compared with the reference in float64, also where naive kernels fail."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minires as mr
from minires import backend
from minires import functional as F
from minires.backend import CONTRACT, cpu
from minires.backend.cpu import isa
from minires.backend.cpu.provider import CPU
from minires.backend.reference.provider import REFERENCE as reference
from minires.backend.shapes import Window
from tests.backend.cpu import cases
from tests.backend.cpu.builds import every_build
from tests.backend.cpu.layouts import channels_last

if cpu.library is None:
    pytest.skip("the C kernels are not built here", allow_module_level=True)


@pytest.mark.parametrize("kernel", cases.OTHERS)
@pytest.mark.parametrize("build", every_build())
@pytest.mark.parametrize("examples", [12, pytest.param(60, marks=pytest.mark.slow)])  # 16 s in all
def test_random_shapes(build, kernel, examples):
    @settings(max_examples=examples)
    @given(data=st.data())
    def check(data):
        cases.OTHERS[kernel](cases.Drawn(data)).check()

    with cases.kernels_of(isa.built()[build]):
        check()


# -- batch norm -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 0.1, -3.3e7])
def test_a_constant_channel_has_no_variance(value):
    x = channels_last(np.full((7, 5, 13, 11), value, np.float32))
    mean, var = CPU.batch_norm_stats(x)
    np.testing.assert_allclose(mean, np.float32(value), rtol=cases.EPS)
    assert (var >= 0).all()
    assert (var <= (cases.EPS * value) ** 2).all()


def test_one_row_has_no_variance():
    mean, var = CPU.batch_norm_stats(np.array([[1e9, -1e-9, 3]], np.float32))
    np.testing.assert_array_equal(mean, np.float32([1e9, -1e-9, 3]))
    np.testing.assert_array_equal(var, 0)


def test_a_huge_number_in_one_channel_leaves_the_others_alone():
    x = np.random.default_rng(0).normal(size=(9, 6, 8, 8)).astype(np.float32)
    clean = CPU.batch_norm_stats(x)
    x[0, 2, 0, 0] = 1e18
    mean, var = CPU.batch_norm_stats(x)
    others = [0, 1, 3, 4, 5]
    np.testing.assert_array_equal(mean[others], clean[0][others])
    np.testing.assert_array_equal(var[others], clean[1][others])
    np.testing.assert_allclose(mean[2], 1e18 / 576, rtol=1e-6)


# -- sums --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [(2, 3), (0, 2, 3)])
@pytest.mark.parametrize("provider", ["cpu", "reference"])
def test_a_sum_over_many_pixels_is_not_one_chain(provider, axes):
    """One chain of float32 additions would have an error of 1e-2."""
    x = channels_last(np.full((1, 3, 1024, 1024), 0.1, np.float32))
    with backend.use_backend(provider):
        y = backend.sum(x, axes, True)
    assert y.shape == (1, 3, 1, 1)
    np.testing.assert_allclose(y, x.astype(np.float64).sum((0, 2, 3), keepdims=True), rtol=1e-6)


def test_the_gradient_of_a_bias_is_not_one_chain():
    x = mr.tensor(channels_last(np.ones((128, 1, 32, 32), np.float32)))
    bias = mr.tensor(np.zeros(2, np.float32), requires_grad=True)
    y = F.relu(F.conv2d(x, mr.tensor(np.ones((2, 1, 1, 1), np.float32)), bias))  # whose mask is channels-last
    y.backward(mr.tensor(np.full(y.shape, 0.1, np.float32)))
    np.testing.assert_allclose(bias.grad.numpy(), np.float64(np.float32(0.1)) * 128 * 32 * 32, rtol=1e-6)


# -- pooling ----------------------------------------------------------------------------------------------------------


def test_argmax_is_a_byte_as_long_as_one_will_do():
    x = np.random.default_rng(0).normal(size=(1, 3, 20, 20)).astype(np.float32)
    y, argmax = CPU.max_pool2d(x, Window((16, 16)), False)
    assert (y.dtype, argmax.dtype, argmax.shape) == (np.float32, np.uint8, y.shape)
    assert argmax.max() > 127  # so that a signed byte would show
    assert CPU.max_pool2d(x, Window((16, 17)), False) is NotImplemented
    assert backend.max_pool2d(x, Window((16, 17)), False)[1].dtype == np.int32
    wide = np.zeros((1, 3, 5, 4), np.int32)
    assert CPU.max_pool2d_route(y[:, :, :5, :4], wide, (20, 20), Window((16, 17))) is NotImplemented


def test_ties_go_to_the_first_and_nan_wins():
    x = np.zeros((1, 9, 4, 4), np.float32)
    x[0, 1] = -np.inf
    x[0, 2, 1, 0] = np.nan
    x[0, 3, 0, 1] = x[0, 3, 1, 1] = 5
    y, argmax = CPU.max_pool2d(x, Window((2, 2), (2, 2)), False)
    assert argmax[0, :4, 0, 0].tolist() == [0, 0, 2, 1]
    assert y[0, 1, 0, 0] == -np.inf
    assert np.isnan(y[0, 2, 0, 0])


def test_padding_never_wins():
    x = np.full((1, 5, 3, 3), -np.inf, np.float32)
    y, argmax = CPU.max_pool2d(x, Window((3, 3), (2, 2), (1, 1)), False)
    assert (y == -np.inf).all()
    assert argmax[0, 0].tolist() == [[4, 3], [1, 0]]  # the first position of each window that is not padding


# -- rows of numbers --------------------------------------------------------------------------------------------------


def test_logits_of_any_size():
    x = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [3e38, -3e38, 0], [1e4, 1e4, 1e4 - 1]], np.float32)
    labels = np.array([1, 2, 0, 2])
    for expected, actual in (
        (reference.log_softmax(x.astype(float), 1), CPU.log_softmax(x, 1)),
        (reference.cross_entropy(x.astype(float), labels), CPU.cross_entropy(x, labels)),
        (
            reference.cross_entropy_grad(np.ones(4), x.astype(float), labels),
            CPU.cross_entropy_grad(np.ones(4, np.float32), x, labels),
        ),
    ):
        finite = abs(expected) < 3.4e38  # −6e38 is −∞ in float32, as the loss of it is
        np.testing.assert_allclose(actual[finite], expected[finite], rtol=1e-6, atol=1e-7)
        assert np.isinf(actual[~finite]).all()


def test_labels_out_of_range_are_refused():
    x = np.zeros((2, 3), np.float32)
    for labels in ([0, 3], [0, -1], [0], [0, 1, 2]):
        with pytest.raises(ValueError, match="the labels do not fit"):
            CPU.cross_entropy(x, np.array(labels))


def test_matmul_adds_the_bias_and_writes_where_it_is_told():
    rng = np.random.default_rng(0)
    x, y, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((7, 1300), (1300, 21), (21,)))
    z = np.full((7, 21), np.nan, np.float32)
    assert cpu.library.matmul(x, y, bias, z) is z
    wide = x.astype(float), y.astype(float)
    bound = cases.DIRECT_BOUND * (abs(wide[0]) @ abs(wide[1]) + abs(bias)).max()
    np.testing.assert_allclose(z, wide[0] @ wide[1] + bias, rtol=0, atol=bound)
    for wrong in (z[:, :-1], z.T, np.empty((7, 22), np.float32), z.astype(np.float64)):
        with pytest.raises(ValueError, match="the output does not fit"):
            cpu.library.matmul(x, y, None, wrong)


def test_parameters_that_are_not_contiguous_fall_through():
    theta = np.ones((4, 6), np.float32)[:, ::2]
    arguments = ([theta], [np.ones((4, 3), np.float32)], None, 0.5, 0.0, 0.0, 0.0, False)
    assert CPU.sgd_step(*arguments) is NotImplemented
    backend.sgd_step(*arguments)
    np.testing.assert_array_equal(theta, 0.5)


# -- SGD ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["cpu", "reference"])
def test_no_weight_decay_leaves_an_infinite_parameter_alone(provider):
    theta, gradient = np.array([np.inf, -np.inf, 1], np.float32), np.ones(3, np.float32)
    with backend.use_backend(provider):
        backend.sgd_step([theta], [gradient], None, 0.5, 0.0, 0.0, 0.0, False)
    np.testing.assert_array_equal(theta, [np.inf, -np.inf, 0.5])


def test_every_kernel_of_the_provider_is_drawn():
    """A kernel that no case calls is neither fuzzed nor run under the sanitizers."""
    missing = {name for name in CONTRACT if hasattr(CPU, name)} - set(cases.CASES)
    assert not missing, f"name them in OTHERS of tests/backend/cpu/cases.py: {sorted(missing)}"
