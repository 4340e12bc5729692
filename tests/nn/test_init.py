"""Initialisation: the bounds and standard deviations of the papers, from one seed always the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minires as mr
from minires import nn
from minires.errors import ShapeError
from minires.nn import init

SHAPES = [(300, 200), (64, 32, 3, 3)]
FANS = {(300, 200): (200, 300), (64, 32, 3, 3): (32 * 9, 64 * 9)}


def weight(shape):
    return nn.Parameter(np.zeros(shape, np.float32))


def expected_std(name, shape, mode, gain):
    fan_in, fan_out = FANS[shape]
    if name.startswith("xavier"):
        return gain * math.sqrt(2 / (fan_in + fan_out))
    return gain / math.sqrt(fan_in if mode == "fan_in" else fan_out)


CASES = [
    (name, shape, mode, nonlinearity, a, gain)
    for name in ("kaiming_normal_", "kaiming_uniform_")
    for shape in SHAPES
    for mode in ("fan_in", "fan_out")
    for nonlinearity, a, gain in (("relu", 0, math.sqrt(2)), ("leaky_relu", 0.5, math.sqrt(1.6)), ("tanh", 0, 5 / 3))
] + [(name, shape, None, None, 0, 1.5) for name in ("xavier_normal_", "xavier_uniform_") for shape in SHAPES]


@pytest.mark.parametrize(("name", "shape", "mode", "nonlinearity", "a", "gain"), CASES)
def test_spread_is_the_formula(name, shape, mode, nonlinearity, a, gain):
    w = weight(shape)
    generator = np.random.default_rng(3)
    if mode is None:
        returned = getattr(init, name)(w, gain, generator=generator)
    else:
        returned = getattr(init, name)(w, a, mode, nonlinearity, generator=generator)
    assert returned is w
    numbers, std = w.numpy().astype(np.float64), expected_std(name, shape, mode, gain)
    # The standard error of a standard deviation from m numbers is about std/√(2m): here below 0.6 %.
    assert numbers.std() == pytest.approx(std, rel=0.025)
    assert abs(numbers.mean()) < 4 * std / math.sqrt(numbers.size)
    if "uniform" in name:
        bound = math.sqrt(3) * std
        assert 0.999 * bound < np.abs(numbers).max() <= bound * (1 + 1e-6)
    else:
        assert 3.5 * std < np.abs(numbers).max() < 6.5 * std


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_fans_count_connections(shape):
    """fan_in: weights that one output sums; fan_out: weights that one input goes into."""
    w = np.zeros(shape)
    assert init.fans(tuple(shape)) == (w[0].size, w[:, 0].size)


def test_fans_equal_torch(torch):
    for shape in SHAPES:
        assert init.fans(shape) == torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
    for name, a in (("relu", 0), ("leaky_relu", 0.3), ("tanh", 0), ("sigmoid", 0), ("linear", 0)):
        assert init.gain(name, a) == pytest.approx(torch.nn.init.calculate_gain(name, a if a else None), rel=1e-12)


def test_normal_uniform_and_constant():
    w = weight((100, 100))
    numbers = init.normal_(w, 5.0, 2.0, generator=np.random.default_rng(0)).numpy()
    assert (numbers.mean(), numbers.std()) == (pytest.approx(5, abs=0.1), pytest.approx(2, rel=0.03))
    numbers = init.uniform_(w, -1, 3, generator=np.random.default_rng(0)).numpy()
    assert (numbers.min(), numbers.max()) == (pytest.approx(-1, abs=0.01), pytest.approx(3, abs=0.01))
    assert set(init.constant_(w, 0.25).numpy().ravel()) == {0.25}
    assert w.dtype == np.float32
    assert w.requires_grad
    assert w.is_leaf


@pytest.mark.parametrize("layer", [nn.Linear(200, 150), nn.Conv2d(32, 40, 3), nn.Conv2d(32, 40, 3, groups=4)])
def test_layers_start_as_in_torch(layer):
    """Uniform on ±1/√fan_in, weight and bias."""
    fan_in = layer.weight.numpy()[0].size
    bound = 1 / math.sqrt(fan_in)
    assert 0.98 * bound < np.abs(layer.weight.numpy()).max() <= bound * (1 + 1e-6)
    assert layer.weight.numpy().std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert 0.8 * bound < np.abs(layer.bias.numpy()).max() <= bound * (1 + 1e-6)


def test_the_same_seed_gives_the_same_layers():
    def numbers(seed):
        mr.manual_seed(seed)
        return [
            parameter.numpy().tobytes() for parameter in nn.Sequential(nn.Conv2d(2, 3, 3), nn.Linear(4, 5)).parameters()
        ]

    assert numbers(1) == numbers(1)
    assert all(a != b for a, b in zip(numbers(1), numbers(2), strict=True))


def test_a_given_generator_leaves_the_default_one_alone():
    mr.manual_seed(5)
    expected = mr.randn(3).tolist()
    mr.manual_seed(5)
    for name in ("kaiming_normal_", "kaiming_uniform_", "xavier_normal_", "xavier_uniform_", "normal_", "uniform_"):
        getattr(init, name)(weight((4, 4)), generator=np.random.default_rng(0))
    assert mr.randn(3).tolist() == expected


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: init.kaiming_normal_(weight((3,))), ShapeError, r"at least two axes, got \(3,\)"),
        (lambda: init.xavier_uniform_(weight(())), ShapeError, "at least two axes"),
        (lambda: init.kaiming_normal_(weight((3, 3)), mode="fan"), ValueError, "mode 'fan' must be"),
        (lambda: init.kaiming_uniform_(weight((3, 3)), nonlinearity="gelu"), ValueError, "'gelu' must be one of relu,"),
    ],
)
def test_bad_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_zeros_and_ones_and_torchs_name_of_the_gain():
    tensor = weight((2, 3))
    assert init.ones_(tensor) is tensor
    assert np.array_equal(tensor.numpy(), np.ones((2, 3)))
    assert init.zeros_(tensor) is tensor
    assert np.array_equal(tensor.numpy(), np.zeros((2, 3)))
    assert init.calculate_gain("relu") == math.sqrt(2)
