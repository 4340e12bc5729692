"""Lookahead beside its formula, with each optimiser inside; its state travels, its groups are those inside."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minires as mr
from minires import nn, optim, training
from minires.errors import WeightsError


def gradients(count, size=3, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size))


@pytest.mark.parametrize("inner", ["SGD", "AdamW"])
@pytest.mark.parametrize(("k", "alpha"), [(1, 0.5), (3, 0.8), (4, 0.0), (2, 1.0)])
def test_every_kth_step_ends_between_the_slow_and_the_fast_weights(inner, k, alpha):
    fast = mr.tensor(np.arange(3.0), requires_grad=True)
    twin = mr.tensor(np.arange(3.0), requires_grad=True)
    optimizer = optim.Lookahead(getattr(optim, inner)([fast], lr=0.1), k, alpha)
    plain = getattr(optim, inner)([twin], lr=0.1)
    slow = np.arange(3.0)
    for t, gradient in enumerate(gradients(10), 1):
        fast.grad, twin.grad = mr.tensor(gradient), mr.tensor(gradient)
        optimizer.step()
        plain.step()
        if t % k == 0:
            slow = slow + alpha * (twin.numpy() - slow)
            twin.assign_(slow)
        np.testing.assert_allclose(fast.numpy(), twin.numpy(), rtol=1e-12)


def test_weights_that_are_loaded_before_the_first_step_are_where_the_slow_ones_start():
    p = mr.tensor([0.0], requires_grad=True)
    optimizer = optim.Lookahead(optim.SGD([p], lr=0.0), k=1)
    p.assign_(8.0)
    p.grad = mr.tensor([1.0])
    optimizer.step()
    assert p.item() == 8.0


def test_its_groups_are_those_of_the_optimizer_inside():
    p, q = mr.tensor([0.0], requires_grad=True), mr.tensor([0.0], requires_grad=True)
    optimizer = optim.Lookahead(optim.SGD([p], lr=1.0), k=2)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    schedule.step()
    assert optimizer.optimizer.param_groups[0]["lr"] == 0.5
    optimizer.add_param_group({"params": [q], "lr": 2.0})
    for _ in range(2):
        p.grad, q.grad = mr.tensor([-1.0]), mr.tensor([-1.0])
        optimizer.step()
    assert (p.item(), q.item()) == (0.5, 2.0)
    optimizer.zero_grad()
    assert p.grad is None
    assert repr(optimizer).startswith("Lookahead(k=2, alpha=0.5, optimizer=SGD (\nParameter Group 0\n")


def test_a_closure_goes_to_the_optimizer_inside():
    p = mr.tensor([3.0], requires_grad=True)
    optimizer = optim.Lookahead(optim.SGD([p], lr=0.5))

    def closure():
        loss = (p * p).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9.0
    assert p.item() == 0.0


def test_a_checkpoint_goes_on_to_the_same_bits(tmp_path):
    def model_and_optimizer(k=3):
        mr.manual_seed(1)
        model = nn.Linear(3, 2)
        return model, optim.Lookahead(optim.Adam(model.parameters(), 0.05), k, 0.7)

    def train(model, optimizer, steps):
        for gradient in gradients(20, 8)[steps]:
            model.weight.grad = mr.tensor(gradient[:6].reshape(2, 3).astype(np.float32))
            model.bias.grad = mr.tensor(gradient[6:].astype(np.float32))
            optimizer.step()

    model, optimizer = model_and_optimizer()
    train(model, optimizer, slice(0, 7))
    training.Checkpoint.of(model, optimizer).save(tmp_path / "run.safetensors")
    train(model, optimizer, slice(7, 20))
    resumed, again = model_and_optimizer(k=5)
    training.load_checkpoint(tmp_path / "run.safetensors").load_into(resumed, again)
    assert (again.k, again.alpha, again.fast_steps) == (3, 0.7, 1)
    train(resumed, again, slice(7, 20))
    assert np.array_equal(model.weight.numpy(), resumed.weight.numpy())
    assert np.array_equal(model.bias.numpy(), resumed.bias.numpy())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["param_groups"][0].pop("lookahead_k"), "is not that of a Lookahead: load it into the SGD, optim"),
        (lambda s: s["param_groups"][0].update(lookahead_k=0), "k = 0 must be at least 1, in the saved state"),
        (lambda s: s["state"][0].update(slow=np.zeros(2)), r"slow weights of parameter 0 have shape \(2,\), the param"),
        (lambda s: s["state"][0].pop("fast_steps"), "fast_steps"),
        (lambda s: s["state"].pop(), "0 parameters in 1 groups"),
        (lambda s: s["state"][0].update(m=np.zeros(3)), "SGD keeps velocity"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_nothing_changes(change, message):
    p = mr.tensor(np.arange(3.0), requires_grad=True)
    optimizer = optim.Lookahead(optim.SGD([p], lr=0.1, momentum=0.9))
    p.grad = mr.tensor(np.ones(3))
    optimizer.step()
    saved, before = optimizer.state_dict(), repr(optimizer.state_dict())
    change(saved)
    with pytest.raises(WeightsError, match=message):
        optimizer.load_state_dict(saved)
    assert repr(optimizer.state_dict()) == before
    json.dumps(optimizer.state_dict()["param_groups"])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: optim.Lookahead([mr.ones(1)]), TypeError, "needs an optimiser of another kind, got a list"),
        (lambda o: optim.Lookahead(optim.Lookahead(o)), TypeError, "got a Lookahead"),
        (lambda o: optim.Lookahead(o, k=0), ValueError, "Lookahead: k = 0 must be at least 1"),
        (lambda o: optim.Lookahead(o, alpha=1.5), ValueError, "Lookahead: alpha = 1.5 must be between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(optim.SGD([mr.ones(1)]))
