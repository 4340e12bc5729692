"""A compiled model that changes tensors in place answers as the model does, and leaves its input alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import inference, nn
from tests.inference.test_compile import images, lived_in


class PreActivation(nn.Module):
    """One tensor goes to a branch that begins with a ReLU in place, and to the shortcut: both see max(x, 0)."""

    def __init__(self) -> None:
        self.stem, self.bn1 = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.bn1(self.stem(x))
        return self.bn2(self.conv(self.relu(x))) + x


class TorchvisionBlock(nn.Module):
    """`out += identity` and ReLUs in place; the first one changes what the shortcut reads."""

    def __init__(self) -> None:
        self.conv1, self.bn1 = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        identity = self.relu(x.clone())
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(identity)))))
        out += identity
        return self.relu(out)


class Scribbler(nn.Module):
    """Writes through views, through a detached tensor, into its own buffer and into its input."""

    def __init__(self) -> None:
        self.conv = nn.Conv2d(3, 3, 1)
        self.calls, self.last = nn.Buffer(np.zeros(1, np.float32)), nn.Buffer(np.zeros((2, 3), np.float32))

    def forward(self, x):
        x *= 2
        h = self.conv(x)
        rows = h.reshape(h.shape[0], 3, -1)
        rows[:, 0].relu_()
        rows[:, 1:, 0] = -1.0
        h.detach()[:, 2] += x[:, 0]
        with mr.no_grad():
            self.calls += 1
            self.last.copy_(h.mean((2, 3)))
        return h + self.last.reshape(2, 3, 1, 1)


@pytest.mark.parametrize("make", [PreActivation, TorchvisionBlock, Scribbler])
def test_it_answers_as_the_model_does(make):
    mr.manual_seed(0)
    model, x = lived_in(make()), images(2, 3, 6, 7)
    given = x.copy()
    with mr.no_grad():
        expected = copy.deepcopy(model)(mr.tensor(x)).numpy()
    before = {name: tensor.tolist() for name, tensor in model.state_dict().items()}
    compiled = inference.compile(model, x)
    for _ in range(2):
        np.testing.assert_allclose(compiled(x), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(x, given)
    assert {name: tensor.tolist() for name, tensor in model.state_dict().items()} == before
    bigger = images(2, 3, 9, 9, seed=3)
    with mr.no_grad():
        expected = copy.deepcopy(model)(mr.tensor(bigger)).numpy()
    np.testing.assert_allclose(compiled(bigger), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_shortcut_reads_what_the_relu_has_left():
    """The plan is not that of the block without in-place: by literal numbers."""

    def block(x):
        y = x * 1.0
        return F.relu(y, inplace=True) * 2.0 + y

    x = np.array([[-1.0, 3.0]], np.float32)
    assert inference.compile(block, x)(x).tolist() == [[0.0, 9.0]]


def test_what_a_function_writes_is_restored():
    weight, view = mr.ones(2), None
    view = weight[:1]

    def f(x):
        view.fill_(5.0)
        weight.mul_(2)
        return x * weight

    x = np.ones((3, 2), np.float32)
    compiled = inference.compile(f, x)
    assert compiled(x).tolist() == [[10.0, 2.0]] * 3
    assert (weight.tolist(), view.tolist()) == ([1.0, 1.0], [1.0])
    weight[0] = 3.0
    assert view.tolist() == [3.0]


def test_the_relus_in_place_are_fused():
    """Step for step the plan of the block whose ReLUs are not in place."""
    model, x = lived_in(TorchvisionBlock()), images(1, 3, 6, 6)
    in_place = inference.compile(model, x).describe()
    model.relu = nn.ReLU().eval()
    assert inference.compile(model, x).describe() == in_place


def test_a_result_of_outside_that_a_function_writes_is_restored():
    w = mr.ones(2, requires_grad=True)
    h = w * 3
    node = h.node

    def f(x):
        h.mul_(2)
        return x + h

    x = np.ones((1, 2), np.float32)
    assert inference.compile(f, x)(x).tolist() == [[7.0, 7.0]]
    assert (h.tolist(), h.node is node) == ([3.0, 3.0], True)
    (h * h).sum().backward()
    assert w.grad.tolist() == [18.0, 18.0]
