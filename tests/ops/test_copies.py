"""What torch's functions copy: a change of their result in place does not reach the input, nor the other way round."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F

COPIES = {
    "flip": lambda x: x.flip(0),
    "flip of nothing": lambda x: x.flip(()),
    "repeat": lambda x: x.repeat(1, 1),
    "repeat of one row": lambda x: x[:1].repeat(2, 1),
    "tile": lambda x: x.tile((1,)),
    "repeat_interleave": lambda x: x.repeat_interleave(1, 0),
    "repeat_interleave of one row": lambda x: x[:1].repeat_interleave(3, 0),
    "roll": lambda x: x.roll(0),
    "cat": lambda x: mr.cat([x]),
    "stack": lambda x: mr.stack([x])[0],
    "pad": lambda x: F.pad(x, (0, 0)),
    "index": lambda x: x[[0, 1]],
    "index_select": lambda x: x.index_select(0, mr.tensor([0, 1])),
    "pixel_shuffle": lambda x: F.pixel_shuffle(x[None, None], 1),
    "pixel_unshuffle": lambda x: F.pixel_unshuffle(x[None, None], 1),
    "channel_shuffle": lambda x: F.channel_shuffle(x[None], 1),
    "sum over one row": lambda x: x[:1].sum(0),
    "clone": lambda x: x.clone(),
}


@pytest.mark.parametrize("name", COPIES)
def test_neither_sees_a_change_of_the_other(name):
    x = mr.tensor(np.arange(6, dtype=np.float32).reshape(2, 3) + 1)
    y = COPIES[name](x)
    before = y.numpy().copy()
    x.mul_(10)
    np.testing.assert_array_equal(y.numpy(), before)
    y.zero_()
    np.testing.assert_array_equal(x.numpy(), 10 * np.arange(6).reshape(2, 3) + 10)


@pytest.mark.parametrize("name", COPIES)
def test_nor_in_a_graph(name):
    x = mr.tensor(np.arange(6, dtype=np.float32).reshape(2, 3) + 1, requires_grad=True)
    inside = x * 1
    y = COPIES[name](inside)
    y.mul_(5)
    g = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    inside.backward(mr.tensor(g))
    np.testing.assert_array_equal(x.grad.numpy(), g)
