"""Whole networks against PyTorch in float64: loss, gradients, running statistics, and what optimisers make of them."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import optim
from tests.models.networks import BY_NAME, NETWORKS, WHOLE, arrays_of, assert_close, both_models, our_step, their_step


@pytest.mark.parametrize("name", NETWORKS)
def test_network_equals_torch(torch, name):
    """Loss, gradients and running statistics to 1e-8 of the largest magnitude of each array; then the same in eval."""
    network = NETWORKS[name]
    ours, theirs = both_models(network)
    assert our_step(ours, network) == pytest.approx(their_step(theirs, network), rel=1e-10)
    assert_close(arrays_of(ours), arrays_of(theirs), 1e-8)

    ours.eval()
    theirs.eval()
    images, images_t = mr.tensor(network.images()), torch.tensor(network.images())
    with mr.no_grad(), torch.no_grad():
        found = {key: value.numpy() for key, value in ours.features(images).items()}
        expected = {key: value.numpy() for key, value in theirs.features(images_t).items()}
        assert_close({**found, "logits": ours(images).numpy()}, {**expected, "logits": theirs(images_t).numpy()}, 1e-8)


STEPPED = {
    "SGD": ("resnet18", "SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}),
    "SGD, plain": ("resnet20, A", "SGD", {"lr": 0.05}),
    "Nesterov": ("resnet20, A", "SGD", {"lr": 0.02, "momentum": 0.9, "weight_decay": 1e-4, "nesterov": True}),
    "Adam": ("resnet20, B", "Adam", {"lr": 1e-3, "weight_decay": 1e-4}),
    "AdamW": ("resnet20, B", "AdamW", {"lr": 1e-3, "weight_decay": 0.1}),
}


@pytest.mark.parametrize("kind", STEPPED)
def test_five_steps_equal_torch(torch, kind):
    """Parameters, running statistics and losses to 1e-6."""
    name, optimizer, settings = STEPPED[kind]
    network = NETWORKS[name]
    ours, theirs = both_models(network)
    steppers = [
        getattr(optim, optimizer)(ours.parameters(), **settings),
        getattr(torch.optim, optimizer)(theirs.parameters(), **settings),
    ]
    start = arrays_of(ours, gradients=False)
    losses = []
    for _ in range(5):
        losses.append((our_step(ours, network), their_step(theirs, network)))
        for stepper in steppers:
            stepper.step()
    end = arrays_of(ours, gradients=False)
    assert_close(end, arrays_of(theirs, gradients=False), 1e-6)
    assert all(ours == pytest.approx(theirs, rel=1e-6) for ours, theirs in losses)
    assert losses[-1][0] < losses[0][0]
    assert all(not np.array_equal(end[name], start[name]) for name in start)


@pytest.mark.parametrize("name", [pytest.param(each, marks=[pytest.mark.slow] * (each in WHOLE)) for each in BY_NAME])
def test_state_dicts_are_exchanged_both_ways(torch, name):
    """Names, order, shapes and dtypes; each loads the other's strictly."""
    network = {**NETWORKS, **WHOLE}[name]
    ours, theirs = BY_NAME[name](num_classes=10), network.theirs().float()
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    kinds = {key: (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")) for key, tensor in state.items()}
    assert {key: (tensor.shape, tensor.dtype.name) for key, tensor in ours.state_dict().items()} == kinds
    theirs.load_state_dict({key: torch.tensor(tensor.numpy()) for key, tensor in ours.state_dict().items()})
    images = network.images().astype(np.float32)
    with torch.no_grad():
        expected = theirs.eval()(torch.tensor(images)).numpy()
    found = ours.eval()(mr.tensor(images)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    other = BY_NAME[name](num_classes=10).eval()
    other.load_state_dict(theirs.state_dict())
    assert np.array_equal(other(mr.tensor(images)).numpy(), found)
