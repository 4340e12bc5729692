"""A change in place of a part (`x.split(2)[0].mul_(2)`) is one of the whole, with its gradient, as in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minires as mr
from minires.errors import GraphError

VIEWS: dict[str, Any] = {
    "split": lambda x: x.split(2)[0],
    "split, lengths": lambda x: x.split([1, 3], 1)[1],
    "chunk": lambda x: x.chunk(2, 2)[1],
    "tensor_split": lambda x: x.tensor_split((1, 3), 1)[1],
    "unbind": lambda x: x.unbind(1)[2],
    "narrow": lambda x: x.narrow(1, 1, 2),
    "select": lambda x: x.select(2, 1),
    "diagonal": lambda x: x.diagonal(),
    "diagonal of other axes": lambda x: x.diagonal(-1, 2, 0),
    "diagonal of a view": lambda x: x[1].diagonal(1),
    "part of a diagonal": lambda x: x.diagonal(0, 1, 2)[:, 1:],
    "movedim": lambda x: x.movedim(0, 2)[0],
    "swapaxes": lambda x: x.swapaxes(0, 1)[1],
    "t": lambda x: x[0].t()[1],
    "mT": lambda x: x.mT[0],
    "unflatten": lambda x: x.unflatten(1, (2, 2))[:, 1],
    "ravel": lambda x: x.ravel()[3:9],
    "expand_as": lambda x: x.expand_as(x)[0],
    "squeeze": lambda x: x.unsqueeze(1).squeeze(1)[2],
    "unfold": lambda x: x.unfold(1, 2, 2)[:, 1],
    "unfold, with gaps": lambda x: x.unfold(1, 1, 2)[1],
}
# PyTorch refuses to record a change of a part that comes with others: there it is written as an index.
AS_INDEX = {
    "split": lambda x: x[:2],
    "split, lengths": lambda x: x[:, 1:],
    "chunk": lambda x: x[:, :, 3:],
    "unbind": lambda x: x[:, 2],
}
X = np.random.default_rng(0).normal(size=(3, 4, 5))
EACH = pytest.mark.parametrize("name", VIEWS)


@EACH
def test_without_a_graph_the_change_goes_into_the_memory(torch, name):
    theirs, ours = torch.tensor(X), mr.tensor(X)
    memory = ours.data
    for x in (theirs, ours):
        VIEWS[name](x).mul_(2)
        VIEWS[name](x)[...] += 1
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert ours.data is memory


@EACH
def test_in_a_graph_the_change_has_its_gradient(torch, name):
    """The whole, another view taken before, and the part have the new numbers, and torch's gradients."""
    numbers, gradients = [], []
    for library in (torch, mr):
        x = library.tensor(X, requires_grad=True)
        w = library.tensor(np.array(1.5), requires_grad=True)
        y = x * w
        first, part = y[0], (AS_INDEX if library is torch and name in AS_INDEX else VIEWS)[name](y)
        part.mul_(w)
        part.add_(2.0)
        outputs = [y, first, part]
        cotangents = [library.tensor(np.random.default_rng(1).normal(size=tuple(each.shape))) for each in outputs]
        sum((each * u).sum() for each, u in zip(outputs, cotangents, strict=True)).backward()
        numbers.append([each.detach().numpy() for each in outputs])
        gradients.append([x.grad.numpy(), w.grad.numpy()])
    for theirs, ours in zip(numbers[0] + gradients[0], numbers[1] + gradients[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@EACH
def test_a_part_of_a_leaf_is_not_changed(name):
    x = mr.tensor(X, requires_grad=True)
    with pytest.raises(GraphError, match="view of a leaf"):
        VIEWS[name](x).mul_(2)


def test_a_repeated_tensor_is_a_copy():
    x = mr.tensor(X)
    for copied in (
        x.repeat(2, 1, 1),
        x.roll(1),
        x.roll(0),
        x.sort().values,
        x[0].diag(),
        x.cumsum(0),
        x.masked_select(x > 0),
    ):
        copied.mul_(2.0)
    np.testing.assert_array_equal(x.numpy(), X)


def test_methods_that_place_by_index(torch):
    """scatter_, scatter_add_, index_add_ and masked_scatter_, of a result in a graph."""
    index, rows, mask = np.array([[0, 2, 1], [2, 1, 0]]), np.array([1, 0, 1]), X[0, :2, :3] > 0
    found = []
    for library in (torch, mr):
        x = library.tensor(X[0, :2, :3], requires_grad=True)
        v = library.tensor(X[1, :2, :3], requires_grad=True)
        i, j, m = (library.tensor(each) for each in (index, rows, mask))
        y = x * 1.0
        y.scatter_(1, i, v)
        y.scatter_add_(1, i, v * 2)
        y.index_add_(1, j, v, alpha=3)
        y.masked_scatter_(m, v)
        y.scatter_(1, i[:, :1], 7.0)
        (y * y).sum().backward()
        found.append([y.detach().numpy(), x.grad.numpy(), v.grad.numpy()])
    for theirs, ours in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("arguments", [(1, 2, 1), (0, 2, 1), (2, 1, 3)])
def test_what_unfold_has_to_copy_is_not_changed_in_silence(arguments):
    """torch has a view, which it refuses to change where elements lie at one place."""
    x = mr.tensor(X)
    y = x.unfold(*arguments)
    for each in (x, y, y[0]):
        with pytest.raises(GraphError, match="unfold copies"):
            each.add_(1.0)
    with pytest.raises(GraphError, match="unfold copies"):
        y[0] = 1.0
    y.clone().zero_()
    np.testing.assert_array_equal(x.numpy(), X)
    del y, each
    x.zero_()  # nobody sees the other any more


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0, 2)])
def test_a_tensor_without_elements_is_changed_like_any_other(shape):
    """The strides of an empty array can be 0, as those of an expanded one."""
    x = mr.tensor(np.zeros(shape))
    x += 1
    x.relu_().mul_(2.0).zero_()
    x[...] = 5.0
    y = mr.tensor(np.zeros(shape), requires_grad=True) * 2
    y.mul_(3.0).sum().backward()
    assert x.shape == y.shape == shape
