"""gradient_shares of gated and reordered blocks: the two ways together are the ordinary gradient."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import inspection
from minires.core.autograd import grad
from tests.models.variations import VARIED

WITH_SHORTCUTS = [name for name, network in VARIED.items() if network.shortcut is not None]


@pytest.mark.parametrize("name", WITH_SHORTCUTS)
def test_shares_sum_to_the_gradient(name):
    network = VARIED[name]
    model = network.ours().eval()
    x, labels = mr.tensor(network.images()), mr.tensor(network.labels())
    shares = inspection.gradient_shares(model, x, lambda y: F.cross_entropy(y, labels))
    assert [each.name for each in shares] == ["layer1.0", "layer1.1", "layer2.0"]
    stem = model.relu(model.bn1(model.conv1(x))).detach().requires_grad_()
    y = model.layer2(model.layer1(stem))
    y = y if model.final is None else model.final(y)
    expected = grad(F.cross_entropy(model.fc(y.mean((2, 3))), labels), stem)[0].numpy()
    assert shares[0].total == pytest.approx(np.linalg.norm(expected), rel=1e-9)
    assert all(each.identity > 0 for each in shares)
    assert all(each.total <= each.identity + each.residual + 1e-12 for each in shares)
