"""signal_flow: held against the formulas, PyTorch's hooks in spirit, and a network computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import inspection, models, nn
from minires.errors import GraphError


def test_a_chain_by_hand():
    """y = relu(W x), z = V y, L = Σ c·z: ∂L/∂z = c, ∂L/∂y = Vᵀc, ∂L/∂(Wx) = Vᵀc where open; ∂L/∂V = c yᵀ."""
    rng = np.random.default_rng(0)
    w, v, x, c = rng.normal(size=(5, 4)), rng.normal(size=(3, 5)), rng.normal(size=(2, 4)), rng.normal(size=(2, 3))
    net = nn.Sequential(nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False)).to(np.float64)
    net[0].weight.assign_(w)
    net[2].weight.assign_(v)
    first, relu, last, whole = inspection.signal_flow(net, mr.tensor(x), lambda z: (z * mr.tensor(c)).sum())
    y, open_ = np.maximum(x @ w.T, 0), x @ w.T > 0
    assert [each.name for each in (first, relu, last, whole)] == ["0", "1", "2", ""]
    assert [each.is_layer for each in (first, whole)] == [True, False]
    assert last.gradient == pytest.approx(np.linalg.norm(c))
    assert relu.gradient == pytest.approx(np.linalg.norm(c @ v))
    assert first.gradient == pytest.approx(np.linalg.norm(c @ v * open_))
    assert last.weight_gradient == pytest.approx(np.linalg.norm(c.T @ y))
    assert relu.weight_gradient is None
    assert relu.zeros == pytest.approx(1 - open_.mean())
    assert (relu.mean, relu.std, relu.rms) == pytest.approx((y.mean(), y.std(), np.sqrt((y**2).mean())))
    assert whole.gradient == last.gradient


def test_a_network_is_left_as_it_was():
    mr.manual_seed(0)
    net = models.build("resnet8")
    before = {name: tensor.numpy().tobytes() for name, tensor in net.state_dict().items()}
    x, labels = mr.randn(4, 3, 8, 8), mr.tensor([0, 1, 2, 3])
    with mr.no_grad():
        flows = inspection.signal_flow(net, x, lambda y: F.cross_entropy(y, labels))
    assert {name: tensor.numpy().tobytes() for name, tensor in net.state_dict().items()} == before
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not any(module.has_hooks for module in net.modules())
    relus = [each for each in flows if each.name == "layer1.0.relu"]
    assert len(relus) == 2  # after the first batch norm, and after the sum
    assert 0.3 < relus[0].zeros < 0.7
    assert all(each.gradient > 0 for each in flows)
    block = next(each for each in flows if each.name == "layer3.0")
    assert (block.kind, block.is_layer) == ("BasicBlock", False)


def test_weight_gradients_are_those_of_backward():
    mr.manual_seed(0)
    net = models.build("preact20").to(np.float64)
    x, labels = mr.tensor(np.random.default_rng(0).normal(size=(4, 3, 8, 8))), mr.tensor([0, 1, 2, 3])
    flows = inspection.signal_flow(net, x, lambda y: F.cross_entropy(y, labels))
    F.cross_entropy(net(x), labels).backward()
    found = {each.name: each.weight_gradient for each in flows if each.weight_gradient is not None}
    expected = {
        n.removesuffix(".weight"): np.linalg.norm(p.grad.numpy()) for n, p in net.named_parameters() if "weight" in n
    }
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_loss_of_nothing_is_refused():
    with pytest.raises(GraphError):
        inspection.signal_flow(nn.ReLU(), mr.zeros(2), lambda y: y.sum())
