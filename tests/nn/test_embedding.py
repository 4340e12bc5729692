"""Embedding, Bilinear and Unflatten, beside PyTorch's with the same numbers; and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import nn, optim
from minires.errors import DtypeError, ShapeError

TABLE = np.random.default_rng(0).normal(size=(5, 3))
LABELS = np.array([[0, 4, 4], [1, 0, 2]])


def gradients(library: Any, layer: Any, inputs: Any, cotangent: np.ndarray) -> list[np.ndarray]:
    """The output, and the gradients of all parameters and inputs of floating-point numbers."""
    tensors = [library.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    y = layer(*tensors)
    y.backward(library.tensor(cotangent))
    of_inputs = [x.grad.numpy() for x in tensors if x.requires_grad]
    return [y.detach().numpy(), *(p.grad.numpy() for p in layer.parameters()), *of_inputs]


def assert_twins(torch: Any, ours: nn.Module, theirs: Any, *inputs: np.ndarray) -> None:
    state = {key: np.random.default_rng(1).normal(size=x.shape) for key, x in ours.state_dict().items()}
    ours.to(np.float64).load_state_dict(state)
    theirs.double().load_state_dict({key: torch.tensor(x) for key, x in state.items()})
    assert list(ours.state_dict()) == list(theirs.state_dict())
    shape = theirs(*(torch.tensor(x) for x in inputs)).shape
    cotangent = np.random.default_rng(2).normal(size=tuple(shape))
    for a, b in zip(*(gradients(lib, m, inputs, cotangent) for lib, m in ((mr, ours), (torch, theirs))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert ours.extra_repr() == theirs.extra_repr()


@pytest.mark.parametrize("options", [{}, {"padding_idx": 4}, {"padding_idx": -1}])
def test_embedding_equals_torch(torch, options):
    assert_twins(torch, nn.Embedding(5, 3, **options), torch.nn.Embedding(5, 3, **options), LABELS)


@pytest.mark.parametrize("bias", [True, False])
def test_bilinear_equals_torch(torch, bias):
    x, y = np.random.default_rng(3).normal(size=(2, 4, 2)), np.random.default_rng(4).normal(size=(2, 4, 3))
    assert_twins(torch, nn.Bilinear(2, 3, 5, bias), torch.nn.Bilinear(2, 3, 5, bias), x, y)


def test_unflatten_equals_torch(torch):
    x = np.random.default_rng(3).normal(size=(2, 6, 2))
    assert_twins(torch, nn.Unflatten(1, (2, -1)), torch.nn.Unflatten(1, (2, -1)), x)
    with pytest.raises(ShapeError, match="names of axes"):
        nn.Unflatten("features", (2, 3))


def test_a_pretrained_table_is_frozen_unless_told_otherwise():
    table = mr.tensor(TABLE)
    layer = nn.Embedding.from_pretrained(table, padding_idx=0)
    assert (layer.num_embeddings, layer.embedding_dim, layer.padding_idx) == (5, 3, 0)
    assert not layer.weight.requires_grad
    np.testing.assert_array_equal(layer(mr.tensor(LABELS)).numpy(), TABLE[LABELS])
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad
    with pytest.raises(ShapeError, match=r"must be \(count, width\)"):
        nn.Embedding.from_pretrained(table[0])


def test_the_padding_row_begins_as_zeros_and_stays():
    mr.manual_seed(0)
    layer = nn.Embedding(5, 3, padding_idx=1)
    assert not layer.weight[1].detach().numpy().any()
    assert layer.weight[0].detach().numpy().all()
    optimiser = optim.SGD(layer.parameters(), lr=1.0)
    layer(mr.tensor(LABELS)).sum().backward()
    before = layer.weight.numpy().copy()
    optimiser.step()
    changed = (layer.weight.numpy() != before).any(1)
    assert changed.tolist() == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.Embedding(5, 3, max_norm=1.0), ValueError, "no max_norm.*no_grad"),
        (lambda: nn.Embedding(5, 3, scale_grad_by_freq=True), ValueError, "no scale_grad_by_freq"),
        (lambda: nn.Embedding(5, 3, sparse=True), ValueError, "no sparse"),
        (lambda: nn.Embedding(5, 3, padding_idx=5), ShapeError, "one of the 5 rows"),
        (lambda: nn.Embedding(5, 0), ShapeError, "embedding_dim=0"),
        (lambda: nn.Embedding(5, 3)(mr.tensor([5])), ShapeError, "leave the axis of length 5"),
        (lambda: nn.Embedding(5, 3)(mr.tensor([-1])), ShapeError, "leave the axis of length 5"),
        (lambda: nn.Embedding(5, 3)(mr.tensor([1.0])), DtypeError, "must be integers"),
        (lambda: nn.Bilinear(2, 3, 4)(mr.ones(2, 3), mr.ones(2, 3)), ShapeError, "out, in1, in2"),
        (lambda: nn.Bilinear(2, 3, 4)(mr.ones(2, 2), mr.ones(3, 3)), ShapeError, "equal leading axes"),
    ],
)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_embedding_takes_a_dtype_and_a_weight():
    assert nn.Embedding(3, 2, dtype=np.float64).weight.dtype == np.float64
    layer = nn.Embedding(3, 2, _weight=mr.ones(3, 2), _freeze=True)
    assert layer(mr.tensor([0])).tolist() == [[1.0, 1.0]]
    assert not layer.weight.requires_grad
    with pytest.raises(ShapeError, match=r"_weight \(2, 2\) must be \(3, 2\)"):
        nn.Embedding(3, 2, _weight=mr.ones(2, 2))
