"""Initialisation: the bounds and standard deviations of the papers, from one seed always the same."""

from __future__ import annotations

import inspect
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
        assert init.calculate_gain(name, a) == pytest.approx(torch.nn.init.calculate_gain(name, a), rel=1e-12)
    for name in ("leaky_relu", "selu", "conv1d", "conv_transpose3d"):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name), rel=1e-12)
    tensor = weight((4, 3, 2))
    assert init._calculate_fan_in_and_fan_out(tensor) == (6, 8)


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
        (lambda: init.calculate_gain("leaky_relu", "0.2"), ValueError, "param = '0.2' must be a number"),
        (lambda: init.trunc_normal_(weight((3,)), std=0.0), ValueError, "needs std > 0 and a < b"),
        (lambda: init.trunc_normal_(weight((3,)), a=2.0), ValueError, "needs std > 0 and a < b"),
        (lambda: init.eye_(weight((3,))), ShapeError, "eye_: needs a tensor of two axes"),
        (lambda: init.dirac_(weight((3, 3))), ShapeError, "dirac_: needs the weight of a convolution"),
        (lambda: init.dirac_(weight((3, 3, 3)), 2), ShapeError, "groups=2 must divide the 3 output channels"),
        (lambda: init.orthogonal_(weight((3,))), ShapeError, "orthogonal_: needs a tensor of at least two axes"),
        (lambda: init.sparse_(weight((3, 3)), 1.5), ValueError, "sparsity = 1.5 must be between 0 and 1"),
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


# -- torch's other functions: exact properties, and moments beside torch's own numbers --------------------------------


@pytest.mark.parametrize(("shape", "groups"), [((4, 3, 3), 1), ((6, 2, 3, 4), 2), ((4, 4, 1, 2, 3), 4), ((2, 5, 3), 1)])
def test_dirac_equals_torch(torch, shape, groups):
    expected = torch.nn.init.dirac_(torch.empty(shape), groups).numpy()
    assert np.array_equal(init.dirac_(weight(shape), groups).numpy(), expected)


@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (4, 1)])
def test_eye_equals_torch(torch, shape):
    assert np.array_equal(init.eye_(weight(shape)).numpy(), torch.nn.init.eye_(torch.empty(shape)).numpy())


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (6, 2, 3, 3)])
def test_orthogonal_is_orthogonal(shape):
    tensor = nn.Parameter(np.zeros(shape))
    assert init.orthogonal_(tensor, 2.0, np.random.default_rng(0)) is tensor
    matrix = tensor.numpy().reshape(shape[0], -1)
    product = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)
    assert init.orthogonal_(weight((0, 3))).shape == (0, 3)


def test_orthogonal_is_uniform():
    """The mean of W over many draws is zero: without the signs of R its first entry would be negative always."""
    draws = [init.orthogonal_(weight((3, 3)), generator=np.random.default_rng(i)).numpy() for i in range(2000)]
    np.testing.assert_allclose(np.mean(draws, axis=0), 0, atol=0.06)  # 4.6 standard errors of 1/sqrt(3·2000)
    np.testing.assert_allclose(np.var(draws, axis=0), 1 / 3, atol=0.04)


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"), [(0, 1, -2, 2), (1, 2, 0, 1.5), (0, 0.02, -2, 2), (0, 1, 2, 4), (-3, 1, -1, 5)]
)
def test_trunc_normal_has_the_moments_of_the_truncated_distribution(mean, std, a, b):
    tensor = nn.Parameter(np.zeros(200_000))
    numbers = init.trunc_normal_(tensor, mean, std, a, b, np.random.default_rng(1)).numpy()
    assert a <= numbers.min() < numbers.max() <= b
    grid = np.linspace(a, b, 200_001)
    density = np.exp(-((grid - mean) ** 2) / (2 * std**2))
    expected = (grid * density).sum() / density.sum()
    spread = math.sqrt(((grid - expected) ** 2 * density).sum() / density.sum())
    assert numbers.mean() == pytest.approx(expected, abs=4 * spread / math.sqrt(numbers.size))
    assert numbers.std() == pytest.approx(spread, rel=0.01)


def test_trunc_normal_has_the_moments_of_torchs_numbers(torch):
    torch.manual_seed(0)
    theirs = torch.nn.init.trunc_normal_(torch.empty(100_000), 0.5, 1.0, -1.0, 2.0).numpy()
    ours = init.trunc_normal_(weight((100_000,)), 0.5, 1.0, -1.0, 2.0, np.random.default_rng(0)).numpy()
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.015)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.015)


def test_sparse_has_as_many_zeros_in_each_column_as_torch(torch):
    ours = init.sparse_(weight((10, 7)), 0.35, 0.1, np.random.default_rng(0)).numpy()
    theirs = torch.nn.init.sparse_(torch.empty(10, 7), 0.35).numpy()
    assert (ours == 0).sum(0).tolist() == (theirs == 0).sum(0).tolist() == [4] * 7
    assert ours[ours != 0].std() == pytest.approx(0.1, rel=0.3)


def test_the_names_and_arguments_are_torchs(torch):
    for name, function in vars(torch.nn.init).items():
        if inspect.isfunction(function) and name.endswith("_") and not name.startswith("_"):
            theirs = inspect.signature(function).parameters.values()
            ours = inspect.signature(getattr(init, name)).parameters.values()
            assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs], name


def test_a_layer_can_be_drawn_anew():
    layer = nn.Linear(3, 4)
    before = layer.weight.numpy().copy(), layer.bias.numpy().copy()
    layer.reset_parameters()
    assert not np.isin(layer.weight.numpy(), before[0]).any()
    assert not np.isin(layer.bias.numpy(), before[1]).any()
