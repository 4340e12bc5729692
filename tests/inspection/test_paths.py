"""The gradient taken apart: by block and by path, against the ordinary gradient and against all 2ⁿ paths one by one."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import inspection, models, nn


class PreActivation(nn.Module):
    """A block without a ReLU after the sum: y = F(relu(bn(x))) + s(x), and its shortcut starts at the activation."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, shortcut: Any) -> None:
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.downsample = models.make_shortcut(shortcut, inputs, width, stride)

    def residual(self, x):
        return self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x))))))

    def shortcut(self, x):
        return x if self.downsample is None else self.downsample(x)

    def forward(self, x):
        return self.residual(x) + self.shortcut(x)


class Gated(PreActivation):
    """A block with a gate: y = T(x)·F(x) + (1 − T(x))·x. The gate is a third way for the gradient, counted with F."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        width = self.conv1.out_channels
        self.gate = nn.Conv2d(self.conv1.in_channels, width, 1, self.conv1.stride)

    def forward(self, x):
        t = F.sigmoid(self.gate(x))
        return t * self.residual(x) + (1 - t) * self.shortcut(x)


def network(block: Any, blocks: tuple[int, ...], shortcut: str = "A", seed: int = 0) -> nn.Module:
    mr.manual_seed(seed)
    model = models.ResNet(block, blocks, 10, stem="cifar", in_channels=2, shortcut=shortcut)
    rng = np.random.default_rng(seed)
    model.to(dtype=np.float64)
    for parameter in model.parameters():  # away from batch norm's 1 and 0
        parameter.assign_(
            parameter.numpy() * rng.uniform(0.5, 1.5, parameter.shape) + 0.05 * rng.normal(size=parameter.shape)
        )
    return model


def loss_and_input(size: int = 8, seed: int = 1) -> tuple[Any, mr.Tensor]:
    rng = np.random.default_rng(seed)
    labels = mr.tensor(rng.integers(0, 10, 3))
    return (lambda logits: F.cross_entropy(logits, labels)), mr.tensor(rng.normal(size=(3, 2, size, size)))


def blocks_of(model: Any) -> list[Any]:
    return [block for stage in model.stages for block in getattr(model, stage)]


def ordinary(model: Any, x: mr.Tensor, loss: Any) -> np.ndarray:
    """The gradient of the first block's input, by the engine alone."""
    h = F.relu(model.bn1(model.conv1(x))).detach().requires_grad_()
    y = h
    for block in blocks_of(model):
        y = block(y)
    return mr.grad(loss(model.fc(F.flatten(model.avgpool(y), 1))), h)[0].numpy()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("block", "shortcut"), [(models.BasicBlock, "A"), (models.BasicBlock, "B"), (PreActivation, "B"), (Gated, "A")]
)
def test_the_polynomial_at_one_is_the_ordinary_gradient(block, shortcut, training):
    """ResNet-20 and a pre-activation network of 20 layers, to 1e-12 relative."""
    model = network(block, (3, 3, 3), shortcut).train(training)
    loss, x = loss_and_input()
    expected = ordinary(model, x, loss)
    found = inspection.path_gradients(model, x, loss)
    assert len(found) == 10
    assert np.abs(sum(found) - expected).max() <= 1e-12 * np.abs(expected).max()
    assert all(np.abs(each).max() > 0 for each in found)


@pytest.mark.parametrize("block", [models.BasicBlock, PreActivation])
def test_each_coefficient_is_the_sum_of_the_paths_of_its_length(block):
    """All 2⁶ paths of a net of six blocks, each by an ordinary backward pass that is cut with `detach`."""
    model = network(block, (2, 2, 2), "B").eval()
    loss, x = loss_and_input()
    found = inspection.path_gradients(model, x, loss)
    h = F.relu(model.bn1(model.conv1(x))).detach()
    expected = [np.zeros(h.shape) for _ in range(7)]
    for choice in product((False, True), repeat=6):  # whether the path passes F of each block
        leaf = y = h.clone().requires_grad_()
        for each, passes in zip(blocks_of(model), choice, strict=True):
            f, s = each.residual(y), each.shortcut(y)
            y = f + s.detach() if passes else f.detach() + s
            y = F.relu(y) if block is models.BasicBlock else y
        gradient = mr.grad(loss(model.fc(F.flatten(model.avgpool(y), 1))), leaf)[0].numpy()
        expected[sum(choice)] += gradient
    for k in range(7):
        np.testing.assert_allclose(found[k], expected[k], rtol=0, atol=1e-12 * np.abs(expected[k]).max())


def test_longest_leaves_out_longer_paths():
    model = network(models.BasicBlock, (2, 1)).eval()
    loss, x = loss_and_input()
    whole, short = inspection.path_gradients(model, x, loss), inspection.path_gradients(model, x, loss, longest=1)
    assert len(short) == 2
    for a, b in zip(short, whole[:2], strict=True):
        np.testing.assert_array_equal(a, b)


def test_single_paths_of_the_extreme_lengths_are_the_coefficients():
    """There is one path of length 0 and one of length n."""
    model = network(models.BasicBlock, (2, 1)).eval()
    loss, x = loss_and_input()
    coefficients = inspection.path_gradients(model, x, loss)
    norms = inspection.path_norms(model, x, loss, samples=2, rng=np.random.default_rng(0))
    assert len(norms) == 4
    for k in (0, 3):
        np.testing.assert_allclose(norms[k], [np.linalg.norm(coefficients[k])] * 2, rtol=1e-12)


@pytest.mark.parametrize("block", [models.BasicBlock, PreActivation, Gated])
def test_shares_are_those_of_each_block(block):
    """The shares of shortcut and F are 1 together, and the totals are the ordinary gradients of the blocks' inputs."""
    model = network(block, (2, 2), "B").eval()
    loss, x = loss_and_input()
    shares = inspection.gradient_shares(model, x, loss)
    assert [share.name for share in shares] == ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]
    y, leaves = F.relu(model.bn1(model.conv1(x))).detach().requires_grad_(), []
    for each in blocks_of(model):
        leaves.append(y)
        y = each(y)
    gradients = mr.grad(loss(model.fc(F.flatten(model.avgpool(y), 1))), leaves)
    for share, gradient in zip(shares, gradients, strict=True):
        assert share.total == pytest.approx(np.linalg.norm(gradient.numpy()), rel=1e-12)
        assert share.identity_share + share.residual_share == 1
        # ‖a + b‖² = ‖a‖² + ‖b‖² + 2⟨a, b⟩, where ⟨a, a + b⟩ = share · ‖a + b‖²
        inner = share.identity_share * share.total**2 - share.identity**2
        assert share.total**2 == pytest.approx(share.identity**2 + share.residual**2 + 2 * inner, rel=1e-9)
    assert "forward" not in vars(blocks_of(model)[0]), "the blocks are whole again"


def test_an_identity_shortcut_hands_on_the_gradient_itself():
    """Without a ReLU after the sum, what comes through the shortcut is the gradient of the block's output."""
    model = network(PreActivation, (3,)).eval()
    loss, x = loss_and_input()
    shares = inspection.gradient_shares(model, x, loss)
    assert shares[0].identity == pytest.approx(shares[1].total, rel=1e-12)
    assert shares[1].identity == pytest.approx(shares[2].total, rel=1e-12)


def test_a_network_without_residual_blocks_is_refused():
    loss, x = loss_and_input()
    model = network(models.BasicBlock, (1, 1), shortcut=None)  # a plain network
    with pytest.raises(ValueError, match="has 0 residual blocks"):
        inspection.gradient_shares(model, x, loss)
