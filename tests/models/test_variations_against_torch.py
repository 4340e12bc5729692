"""Varied and highway networks against PyTorch in float64: logits, loss, gradients, running statistics."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires.models import DenseHighway
from tests.models.networks import arrays_of, assert_close, hashed, numbers_for
from tests.models.variations import VARIED


@pytest.mark.parametrize("name", VARIED)
def test_varied_network_equals_torch(torch, name):
    """In training: loss, gradients, statistics; then logits in eval mode. No number of ours is left out over there."""
    from tests.models.torch_variations import Twin

    network = VARIED[name]
    ours = network.ours()
    start = {key: np.array(value.numpy()) for key, value in ours.state_dict().items()}
    twin = Twin(start, network.block, network.shortcut, network.options)
    images, labels = network.images(), network.labels()

    loss = F.cross_entropy(ours(mr.tensor(images)), mr.tensor(labels))
    loss.backward()
    theirs = torch.nn.functional.cross_entropy(twin(torch.tensor(images)), torch.tensor(labels))
    theirs.backward()
    assert twin.used == set(start)
    assert loss.item() == pytest.approx(theirs.item(), rel=1e-10)
    expected = {key: tensor.detach().numpy() for key, tensor in twin.numbers.items()}
    expected |= {f"∂/∂ {key}": twin.numbers[key].grad.numpy() for key, _ in ours.named_parameters()}
    assert_close(arrays_of(ours), expected, 1e-8)

    ours.eval()
    twin.training = False
    with mr.no_grad(), torch.no_grad():
        found, expected = ours(mr.tensor(images)).numpy(), twin(torch.tensor(images)).numpy()
    assert_close({"logits": found}, {"logits": expected}, 1e-9)


@pytest.mark.parametrize(
    ("layer", "carry"), [("highway", "coupled"), ("highway", "own"), ("residual", None), ("plain", None)]
)
def test_dense_highway_equals_torch(torch, layer, carry):
    from tests.models.torch_variations import dense_highway

    ours = DenseHighway(5, 3, in_channels=2, image=4, width=6, layer=layer, carry=carry).to(np.float64)
    ours.load_state_dict(numbers_for(ours.state_dict()))
    numbers = {key: torch.tensor(value.numpy()).requires_grad_() for key, value in ours.state_dict().items()}
    images, labels = hashed((4, 2, 4, 4), "images"), np.array([0, 2, 1, 1])
    F.cross_entropy(ours(mr.tensor(images)), mr.tensor(labels)).backward()
    logits = dense_highway(numbers, torch.tensor(images), layer, carry == "own")
    torch.nn.functional.cross_entropy(logits, torch.tensor(labels)).backward()
    with mr.no_grad():
        np.testing.assert_allclose(ours(mr.tensor(images)).numpy(), logits.detach().numpy(), rtol=1e-10, atol=1e-12)
    expected = {key: value.detach().numpy() for key, value in numbers.items()}
    assert_close(arrays_of(ours), expected | {f"∂/∂ {key}": value.grad.numpy() for key, value in numbers.items()}, 1e-9)
