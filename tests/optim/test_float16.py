"""Optimisers on float16 parameters: the state is float32, so nothing underflows on the way: ε is 10⁻⁸."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import optim

F16 = np.float16


def parameter(values, gradient):
    p = mr.tensor(np.array(values, F16), requires_grad=True)
    p.grad = mr.tensor(np.array(gradient, F16))
    return p


@pytest.mark.parametrize("name", [*("Adam", "AdamW", "NAdam", "RAdam", "Adamax"), *("RMSprop", "Adagrad", "Adadelta")])
def test_a_zero_gradient_leaves_the_parameter_as_it_is(name):
    p = parameter([1.0, 2.0], [0.0, 0.0])
    opt = getattr(optim, name)([p], lr=0.1, weight_decay=0.0)
    for _ in range(8):
        opt.step()
    assert p.tolist() == [1.0, 2.0]
    assert {array.dtype for array in opt.state[0].values() if hasattr(array, "dtype")} == {np.dtype(np.float32)}
    assert p.dtype == F16


@pytest.mark.parametrize("gradient", [1e-4, 1e-7, 3e4, -2.0])
def test_adams_first_step_is_lr_whatever_the_gradients_size(gradient):
    """m̂/√v̂ = sign g: θ becomes 1 − lr·sign g up to ε/|g|; in float16 g² is 0 for 1e-4, and infinite for 3e4."""
    p = parameter([1.0], [gradient])
    g = float(p.grad.item())
    optim.Adam([p], lr=0.25).step()
    assert p.item() == pytest.approx(1 - 0.25 * g / (abs(g) + 1e-8), rel=1e-3)


def test_sgds_velocity_does_not_round_small_gradients_away():
    """v after n steps of gradient g is g·(1 − μⁿ)/(1 − μ), here up to 1000·g; in float16 it stops at 500 g."""
    p = parameter([0.0], [1e-4])
    g = p.grad.item()
    opt = optim.SGD([p], lr=0.0, momentum=0.999)
    for _ in range(4000):
        opt.step()
    assert opt.state[0]["velocity"].dtype == np.float32
    assert float(opt.state[0]["velocity"][0]) == pytest.approx(g * (1 - 0.999**4000) / 0.001, rel=1e-3)


def test_sgd_follows_float64_step_by_step():
    rng = np.random.default_rng(0)
    start, steps = rng.standard_normal(50).astype(F16), rng.standard_normal((5, 50)).astype(F16)
    results = []
    for dtype in (F16, np.float64):
        p = mr.tensor(start.astype(dtype), requires_grad=True)
        opt = optim.SGD([p], lr=0.01, momentum=0.9, weight_decay=0.1, nesterov=True)
        for gradient in steps:
            p.grad = mr.tensor(gradient.astype(dtype))
            opt.step()
        results.append(p.numpy().astype(np.float64))
    np.testing.assert_allclose(results[0], results[1], atol=5 * 2**-11, rtol=5 * 2**-11)


def test_clipping_by_a_tiny_factor():
    """The norm is 60,000, so the factor is 10⁻⁹/60,000, which float16 rounds to 0; a gradient of 60,000 stays 1e-9."""
    p = parameter([0.0, 0.0], [6e4, 0.0])
    assert optim.clip_grad_norm_([p], 1e-3) == pytest.approx(p.dtype.type(6e4))
    np.testing.assert_allclose(p.grad.tolist(), [1e-3, 0.0], rtol=1e-3)


def test_the_float32_state_is_saved_and_loaded():
    p = parameter([1.0], [0.5])
    opt = optim.Adam([p])
    opt.step()
    again = optim.Adam([parameter([1.0], [0.5])])
    again.load_state_dict(opt.state_dict())
    assert again.state[0]["m"].dtype == np.float32
