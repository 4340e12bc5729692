"""Every layer answers compiled as it does itself, and batch norm is folded where its statistics are constants."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import inference, nn
from minires.backend import cpu
from minires.errors import MiniResError
from tests.nn.test_layers import TWINS

RNG = np.random.default_rng(0)


def images(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, np.float32)


def assert_answers_alike(compiled, model, x: np.ndarray) -> None:
    expected = model(mr.tensor(x)).numpy()
    assert compiled(x).shape == expected.shape
    np.testing.assert_allclose(compiled(x), expected, rtol=0, atol=1e-5 * np.abs(expected).max(initial=1))


@pytest.mark.parametrize("name", [name for name in TWINS if name != "Identity"])
def test_a_layer_answers_compiled_as_it_does_itself(name):
    make, shape = TWINS[name]
    layer, x = make(nn), images(*shape)
    if any(True for _ in layer.buffers()):
        layer(mr.tensor(x))  # running statistics that are not 0 and 1
    layer.eval()
    compiled = inference.compile(layer, x)
    assert_answers_alike(compiled, layer, x)
    if len(shape) == 4:
        assert_answers_alike(compiled, layer, images(3, *shape[1:]))


class Segmenting(nn.Module):
    """A small network of the kind that pools, and unpools by the indices."""

    def __init__(self) -> None:
        self.conv = nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")
        self.bn = nn.BatchNorm2d(8, affine=False)
        self.batch = nn.BatchNorm2d(8, track_running_stats=False)
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        self.up, self.norm = nn.ConvTranspose2d(8, 4, 2, 2), nn.GroupNorm(2, 4)

    def forward(self, x):
        x = F.relu(self.bn(self.conv(x)))
        y, indices = self.pool(x)
        return self.norm(self.up(self.unpool(self.batch(y), indices) + x))


def test_a_network_that_unpools_by_indices():
    """The indices are computed for each input, and not kept from the example."""
    net = Segmenting()
    for _ in range(3):
        net(mr.tensor(images(4, 3, 8, 8)))
    net.eval()
    compiled = inference.compile(net, images(2, 3, 8, 8))
    for shape in ((2, 3, 8, 8), (5, 3, 6, 10)):
        assert_answers_alike(compiled, net, images(*shape))
    if cpu.library is not None:
        assert "conv 3×3 + bias, ReLU" in compiled.describe()  # the affine-less batch norm is folded into the weights


def test_batch_norm_without_running_statistics_takes_those_of_the_batch_compiled_too():
    layer = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    compiled = inference.compile(layer, images(2, 3, 4, 4))
    for scale in (1, 10):
        assert_answers_alike(compiled, layer, images(2, 3, 4, 4) * np.float32(scale))


def test_places_that_depend_on_the_input_are_refused():
    """The pixels that `grid_sample` reads are numbers of the input: a plan would keep the example's."""
    theta = mr.tensor(np.array([[[1.0, 0.2, 0.1], [0.0, 0.8, 0.0]]], np.float32))

    def turned(x):
        return F.grid_sample(x, F.affine_grid(theta, x.shape))

    assert_answers_alike(inference.compile(turned, images(1, 2, 4, 4)), turned, images(1, 2, 4, 4))
    with pytest.raises(MiniResError, match="depends on the numbers of its input"):
        inference.compile(lambda x: F.grid_sample(x, F.affine_grid(x[:, 0, :2, :3], x.shape)), images(1, 2, 4, 4))


def test_instance_norm_that_would_move_its_running_statistics_is_refused():
    mean, var = mr.zeros(3), mr.ones(3)
    with pytest.raises(MiniResError, match="moves its running statistics"):
        inference.compile(lambda x: F.instance_norm(x, mean, var), images(2, 3, 4, 4))
    assert mean.tolist() == [0, 0, 0]
    constant = inference.compile(lambda x: F.instance_norm(x, mean, var, use_input_stats=False), images(2, 3, 4, 4))
    assert_answers_alike(constant, lambda x: F.batch_norm(x, mean, var), images(2, 3, 4, 4))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.normalize(x, dim=1),
        lambda x: x / (x.norm(dim=1, keepdim=True) + 1e-6),
        lambda x: (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-6),
    ],
)
def test_lengths_and_deviations_can_be_compiled(function):
    """Their gradient at 0 is a matter of the backward pass: the forward compares no numbers."""
    layer = nn.Sequential(nn.Linear(4, 6)).eval()
    x = images(3, 4)

    def model(x):
        return function(layer(x))

    compiled = inference.compile(model, x)
    for shape in ((3, 4), (5, 4)):
        assert_answers_alike(compiled, model, images(*shape))
