"""Muon beside its formula in float64, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minires as mr
from minires import nn, optim
from minires.optim.muon import newton_schulz

USUAL = (3.4445, -4.7750, 2.0315)


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4), (1, 5)])
def test_the_iteration_maps_the_singular_values_by_its_polynomial(shape):
    """U diag(s) Vᵀ becomes U diag(p(p(…s/‖s‖))) Vᵀ with p(s) = as + bs³ + cs⁵, by NumPy's decomposition."""
    matrix = np.random.default_rng(0).normal(size=shape)
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    s = s / math.sqrt((s**2).sum())
    for _ in range(5):
        s = USUAL[0] * s + USUAL[1] * s**3 + USUAL[2] * s**5
    np.testing.assert_allclose(newton_schulz(matrix, USUAL, 5, 1e-7), u @ np.diag(s) @ vt, rtol=1e-10, atol=1e-12)
    assert s.max() < 1.3


def test_a_gradient_of_zeros_makes_no_step():
    assert not newton_schulz(np.zeros((3, 4), np.float32), USUAL, 5, 1e-7).any()


@pytest.mark.parametrize(("adjust", "ratio"), [(None, math.sqrt(3)), ("match_rms_adamw", 0.2 * math.sqrt(12))])
def test_weights_of_a_convolution_count_as_a_matrix_on_request(adjust, ratio):
    rng = np.random.default_rng(1)
    start, gradient = rng.normal(size=(12, 2, 2, 1)), rng.normal(size=(12, 2, 2, 1))
    weight = mr.tensor(start, requires_grad=True)
    weight.grad = mr.tensor(gradient)
    optim.Muon([weight], lr=0.1, weight_decay=0.3, flatten=True, adjust_lr_fn=adjust).step()
    o = newton_schulz(0.05 * (1 + 0.95) * gradient.reshape(12, 4), USUAL, 5, 1e-7).reshape(start.shape)
    np.testing.assert_allclose(weight.numpy(), (1 - 0.1 * 0.3) * start - 0.1 * ratio * o, rtol=1e-12, atol=1e-14)


def test_it_learns_a_small_problem_beside_adamw():
    mr.manual_seed(0)
    rng = np.random.default_rng(2)
    x, target = mr.tensor(rng.normal(size=(64, 8)).astype(np.float32)), mr.tensor(rng.integers(0, 3, 64))
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    matrices = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim != 2]
    optimizers = [optim.Muon(matrices, lr=0.02), optim.AdamW(others, lr=0.01)]
    losses = []
    for _ in range(60):
        loss = mr.functional.cross_entropy(model(x), target)
        losses.append(loss.item())
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    assert losses[-1] < 0.7 * losses[0]
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float32)}


def test_float16_weights_have_float32_inside():
    weight = mr.tensor(np.ones((3, 2), np.float16), requires_grad=True)
    weight.grad = mr.tensor(np.full((3, 2), 1e-7, np.float16))
    optimizer = optim.Muon([weight], lr=0.1, weight_decay=0.0)
    optimizer.step()
    assert optimizer.state[0]["momentum_buffer"].dtype == np.float32
    assert weight.dtype == np.float16
    assert (weight.numpy() < 1).all()


@pytest.mark.parametrize(
    ("shape", "settings", "message"),
    [
        ((3,), {}, r"Muon: a parameter has shape \(3,\) and is no matrix: give vectors to another optimiser"),
        ((3,), {"flatten": True}, "is no matrix"),
        ((3, 2, 1, 1), {}, "write flatten=True for the weights of convolutions"),
        ((3, 2), {"ns_steps": 100}, "Muon: ns_steps = 100 must be less than 100"),
        ((3, 2), {"ns_steps": 2.5}, "Muon: ns_steps = 2.5 must be an integer"),
        ((3, 2), {"ns_coefficients": (1, 2)}, r"Muon: ns_coefficients \(1, 2\) must be three numbers"),
        ((3, 2), {"ns_coefficients": (1, 2, "c")}, "ns_coefficients = 'c' must be a number"),
        ((3, 2), {"adjust_lr_fn": "mine"}, "adjust_lr_fn = 'mine' must be 'original' or 'match_rms_adamw'"),
        ((3, 2), {"momentum": 1.5}, "Muon: momentum = 1.5 must be between 0 and 1"),
        ((3, 2), {"eps": -1}, "Muon: eps = -1 must not be negative"),
        ((3, 2), {"nesterov": 1}, "Muon: nesterov = 1 must be True or False"),
    ],
)
def test_what_makes_no_sense_is_refused(shape, settings, message):
    with pytest.raises(ValueError, match=message):
        optim.Muon([mr.ones(*shape)], **settings)
