"""Whole networks trained with the CUDA kernels, compared with the CPU. A GPU runs the same code."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import data, models, optim
from minires import functional as F
from minires.backend.cuda.precision import allow_tf32


def train(where, batches, learning_rate=0.05):
    """Train a ResNet-20 for 3 or 10 classes; the losses, and the weights after the last step."""
    mr.manual_seed(0)
    channels, classes = batches[0][0].shape[1], int(max(labels.max() for _, labels in batches)) + 1
    network = models.build("resnet20", num_classes=classes, in_channels=channels).to(where)
    optimizer = optim.SGD(list(network.parameters()), learning_rate, 0.9, weight_decay=1e-4)
    losses = []
    for images, labels in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(network(mr.tensor(images).to(where)), mr.tensor(labels).to(where))
        loss.backward()
        optimizer.step()
        losses.append(float(loss.item()))
    return losses, {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def random_batches(number, images=3, size=12):
    rng = np.random.default_rng(0)
    shape = (images, 3, size, size)
    return [(rng.normal(size=shape).astype(np.float32), rng.integers(0, 3, images)) for _ in range(number)]


def test_training_steps_are_the_cpus_and_the_same_each_time(device):
    batches = random_batches(2)
    here, weights_here = train("cpu", batches)
    there, weights = train("cuda", batches)
    again, same_weights = train("cuda", batches)
    np.testing.assert_allclose(there, here, rtol=1e-4)
    assert there == again
    for name, array in weights.items():
        np.testing.assert_array_equal(array, same_weights[name], name)
        largest = np.abs(weights_here[name]).max()
        np.testing.assert_allclose(array, weights_here[name], atol=1e-3 * largest, err_msg=name)


def test_tf32_changes_little_and_only_where_it_is_allowed(device):
    batches = random_batches(1)
    exact, _ = train("cuda", batches)
    allow_tf32(True)
    try:
        rounded, _ = train("cuda", batches)
        on_cpu, _ = train("cpu", batches)
    finally:
        allow_tf32(False)
    assert rounded != exact
    np.testing.assert_allclose(rounded, exact, rtol=2e-2)
    assert on_cpu == train("cpu", batches)[0]


def test_hardly_anything_is_left_to_the_reference(device):
    """The bias of the classifier, and the mean of the losses: small sums that CuPy's own kernels do."""
    with mr.profile() as profile:
        train("cuda", random_batches(1))
    declined = {row.kernel: row.calls for row in profile.fell_through}
    assert declined == {"add": 1, "sum": 1, "broadcast_to": 1}


@pytest.mark.slow  # the simulator takes half a minute for what takes a CPU a second
def test_the_curve_of_the_digits_is_the_cpus(device):
    """The same 40 batches: the first losses agree up to rounding, the later ones up to the noise of training."""
    loader = data.Loader(data.load("digits", train=True), batch_size=32, shuffle=True, seed=1)
    batches = list(loader.epoch(0))[:40]
    here, there = train("cpu", batches)[0], train("cuda", batches)[0]
    np.testing.assert_allclose(there[:5], here[:5], rtol=2e-3)
    assert np.mean(here[-10:]) < 0.5 * here[0]  # it does learn
    assert abs(np.mean(there[-10:]) - np.mean(here[-10:])) < 0.1 * here[0]
