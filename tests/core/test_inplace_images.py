"""Changes in place of images, which lie channels-last in memory here, and of what reshaping has to copy of them.

In torch such an image is contiguous, so that its flat view shares its memory, and a change of one is one of both.
"""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import nn
from minires.backend import cpu
from minires.errors import GraphError

if cpu.library is None:
    pytest.skip("the C kernels are not built here: images are contiguous", allow_module_level=True)


def convolved(images: int = 2) -> mr.Tensor:
    """An image as a convolution makes it: channels-last in memory, contiguous in torch."""
    w = mr.tensor(np.random.default_rng(0).normal(size=(8, 4, 3, 3)).astype(np.float32))
    return F.conv2d(mr.ones(images, 4, 8, 8), w)


COPIES = {
    "view": lambda y: y.view(2, -1),
    "flatten": lambda y: y.flatten(1),
    "reshape": lambda y: y.reshape(-1),
    "a part of one": lambda y: y.view(-1)[:3],
}


@pytest.mark.parametrize("name", COPIES)
def test_a_write_that_would_not_reach_the_image_or_its_flat_copy_is_refused(name):
    with mr.no_grad():
        y = convolved()
        flat, before = COPIES[name](y), y.numpy().copy()
        for each in (flat, y):
            with pytest.raises(GraphError, match=r"\(2, 8, 6, 6\) .* lie channels-last .* x\.contiguous\(\)"):
                each.zero_()
            with pytest.raises(GraphError, match="lie channels-last in memory"):
                each += 1
        np.testing.assert_array_equal(y.numpy(), before)
        flat.clone().zero_()
        y.clone().zero_()


@pytest.mark.parametrize("name", COPIES)
def test_the_remedy_reaches_both(name):
    with mr.no_grad():
        y = convolved().contiguous()
        flat = COPIES[name](y)
        flat.zero_()
        assert not np.any(y.numpy().reshape(-1)[: flat.numel()])
        y.fill_(3)
        assert np.all(flat.numpy() == 3)


def test_a_flat_copy_alone_may_be_changed():
    h = convolved()
    h = h.flatten(1)  # nobody can see the image any more
    h += 1
    h.relu_()
    network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Flatten(), nn.ReLU(inplace=True), nn.Linear(288, 2))
    network(mr.ones(2, 4, 8, 8)).sum().backward()
    y = convolved()
    flat = y.flatten(1)
    del flat
    y.relu_()


@pytest.mark.parametrize("copied", [lambda y: y[[1, 0]], lambda y: y[[0]], lambda y: y.flip(1), lambda y: y.clone()])
def test_what_torch_copies_too_may_be_changed(copied):
    with mr.no_grad():
        y = convolved()
        before, other = y.numpy().copy(), copied(y)
        other.zero_()
        np.testing.assert_array_equal(y.numpy(), before)
        permuted = mr.ones(2, 8, 8, 4).permute(0, 3, 1, 2)
        permuted.reshape(2, -1).zero_()
        assert permuted.sum().item() == 512
