"""Recurrent cells and the bilinear layer: their formulas, gradients, first weights and errors.

`test_torch_modules.py` compares them with PyTorch.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import minires as mr
from minires import gradcheck, nn
from minires.errors import ShapeError

CELLS = [
    nn.RNNCell(2, 2),
    nn.RNNCell(2, 2, nonlinearity="relu"),
    nn.GRUCell(2, 2),
    nn.LSTMCell(2, 2, bias=False),
    nn.LSTMCell(2, 2),
]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numbers(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("steps", [1, 3])
def test_an_lstm_is_its_formula(steps):
    cell = nn.LSTMCell(2, 3, dtype=np.float64)
    w, u, b, d = (parameter.numpy() for parameter in cell.parameters())
    x, h, c = numbers((steps, 5, 2), (5, 3), (5, 3))
    state = mr.tensor(h), mr.tensor(c)
    for each in x:
        state = cell(mr.tensor(each), state)
        i, f, g, o = np.split(each @ w.T + b + h @ u.T + d, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    np.testing.assert_allclose(state[0].numpy(), h, rtol=1e-12)
    np.testing.assert_allclose(state[1].numpy(), c, rtol=1e-12)


def test_a_gru_is_its_formula():
    cell = nn.GRUCell(2, 3, dtype=np.float64)
    w, u, b, d = (parameter.numpy() for parameter in cell.parameters())
    x, h = numbers((5, 2), (5, 3))
    (xr, xz, xn), (hr, hz, hn) = np.split(x @ w.T + b, 3, axis=1), np.split(h @ u.T + d, 3, axis=1)
    z, n = sigmoid(xz + hz), np.tanh(xn + sigmoid(xr + hr) * hn)
    np.testing.assert_allclose(cell(mr.tensor(x), mr.tensor(h)).numpy(), (1 - z) * n + z * h, rtol=1e-12)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_gradients_are_right_and_the_first_state_is_zero(cell):
    x, h, c = numbers((1, 2), (1, 2), (1, 2))
    state = [h, c] if isinstance(cell, nn.LSTMCell) else [h]
    cell = copy.deepcopy(cell).to(np.float64)

    class Step(nn.Module):
        def __init__(self):
            self.cell = cell

        def forward(self, x, *state):
            if isinstance(cell, nn.LSTMCell):
                h, c = cell(x, state)
                return h * 2 + c
            return cell(x, *state)

    assert gradcheck.gradcheck(Step(), [mr.tensor(each, requires_grad=True) for each in (x, *state)])
    zeros = [mr.zeros(1, 2, dtype=np.float64) for _ in state]
    first, given = cell(mr.tensor(x)), cell(mr.tensor(x), tuple(zeros) if len(zeros) > 1 else zeros[0])
    for ours, expected in zip(*((y if isinstance(y, tuple) else (y,)) for y in (first, given)), strict=True):
        assert np.array_equal(ours.numpy(), expected.numpy())


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_first_weights_are_uniform_as_in_torch(cell):
    assert all(np.abs(parameter.numpy()).max() <= (1 + 1e-6) / math.sqrt(2) for parameter in cell.parameters())
    large = type(cell)(50, 100)
    assert large.weight_hh.numpy().std() == pytest.approx(0.1 / math.sqrt(3), rel=0.05)
    assert np.abs(large.bias_ih.numpy()).max() > 0.09


def test_a_bilinear_layer_starts_as_in_torch():
    layer = nn.Bilinear(25, 10, 40)
    for parameter in layer.parameters():
        assert 0.14 < np.abs(parameter.numpy()).max() <= 0.2 * (1 + 1e-6)
    assert layer.weight.numpy().std() == pytest.approx(0.2 / math.sqrt(3), rel=0.05)
    assert layer.weight.shape == (40, 25, 10)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.GRUCell(3, 4)(mr.zeros(2, 5)), ShapeError, r"GRUCell: input \(2, 5\) must be \(N, 3\) or \(3,\)"),
        (lambda: nn.LSTMCell(3, 4)(mr.zeros(1, 2, 3)), ShapeError, r"LSTMCell: input \(1, 2, 3\) must be"),
        (lambda: nn.RNNCell(3, 4)(mr.zeros(2, 3), mr.zeros(4)), ShapeError, r"the state \(4,\) must be \(2, 4\)"),
        (lambda: nn.RNNCell(3, 4, nonlinearity="gelu"), ValueError, "nonlinearity='gelu' must be 'tanh' or 'relu'"),
        (lambda: nn.LSTMCell(3, 0), ShapeError, "LSTMCell: hidden_size=0 must be at least 1"),
        (lambda: nn.Bilinear(3, 4, 5, bias=6), TypeError, "Bilinear: bias=6 must be True or False"),
    ],
)
def test_what_makes_no_sense_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_texts_are_torchs(torch):
    layers = {"Bilinear": (2, 3, 4), "RNNCell": (2, 3, True, "relu"), "LSTMCell": (2, 3, False), "GRUCell": (2, 3)}
    for name, args in {**layers, "Linear": (2, 3, False), "Identity": ()}.items():
        assert repr(getattr(nn, name)(*args)) == repr(getattr(torch.nn, name)(*args))
