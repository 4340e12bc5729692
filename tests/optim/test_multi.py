"""Several optimisers as one: the steps of each, one schedule for all, a state that travels."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minires as mr
from minires import nn, optim, training
from minires.errors import ShapeError, WeightsError


def parameters(seed=0):
    rng = np.random.default_rng(seed)
    return [mr.tensor(rng.normal(size=shape), requires_grad=True) for shape in ((4, 3, 2, 2), (5, 4), (6,))]


def optimizer_of(kernel, matrix, vector):
    return optim.MultiOptimizer(
        optim.Muon([kernel], lr=0.02, flatten=True),
        optim.SGD([{"params": [matrix]}, {"params": [vector], "weight_decay": 0.0}], 0.1, 0.9, weight_decay=0.01),
    )


def run(optimizer, params, steps, seed=1):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        for parameter in params:
            parameter.grad = mr.tensor(rng.normal(size=parameter.shape))
        optimizer.step()


def test_a_step_is_a_step_of_each():
    together, apart = parameters(), parameters()
    run(optimizer_of(*together), together, 4)
    rng = np.random.default_rng(1)
    muon = optim.Muon([apart[0]], lr=0.02, flatten=True)
    sgd = optim.SGD([{"params": [apart[1]]}, {"params": [apart[2]], "weight_decay": 0.0}], 0.1, 0.9, weight_decay=0.01)
    for _ in range(4):
        for parameter in apart:
            parameter.grad = mr.tensor(rng.normal(size=parameter.shape))
        sgd.step()
        muon.step()
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_a_schedule_multiplies_all_rates():
    optimizer = optimizer_of(*parameters())
    optim.lr_scheduler.ExponentialLR(optimizer, 0.5).step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.05, 0.05]
    assert [group["lr"] for each in optimizer.optimizers for group in each.param_groups] == [0.01, 0.05, 0.05]


def test_the_state_travels():
    params, copy = parameters(), parameters()
    optimizer, other = optimizer_of(*params), optimizer_of(*copy)
    run(optimizer, params, 3)
    for mine, its in zip(copy, params, strict=True):
        mine.assign_(its.numpy())
    other.load_state_dict(optimizer.state_dict())
    run(optimizer, params, 2, seed=5)
    run(other, copy, 2, seed=5)
    for one, two in zip(params, copy, strict=True):
        np.testing.assert_array_equal(one.numpy(), two.numpy())
    json.dumps(optimizer.state_dict()["param_groups"])


def test_a_state_that_does_not_fit_changes_nothing():
    params = parameters()
    optimizer = optimizer_of(*params)
    run(optimizer, params, 1)
    before = optimizer.state_dict()
    saved = optimizer.state_dict()
    saved["state"][0]["momentum_buffer"] = np.ones((4, 3, 2, 2)) * 7
    saved["state"][2] = {"velocity": np.zeros(9)}  # does not fit, when the first optimiser has loaded its own
    for wrong in (saved, {"state": [], "param_groups": []}, {"param_groups": []}):
        with pytest.raises(WeightsError):
            optimizer.load_state_dict(wrong)
        np.testing.assert_equal(optimizer.state_dict(), before)


def test_a_bad_gradient_changes_nothing():
    params = parameters()
    optimizer = optimizer_of(*params)
    before = [parameter.numpy().copy() for parameter in params]
    for parameter in params:
        parameter.grad = mr.tensor(np.ones(parameter.shape))
    params[2].data = before[2] = np.ones(1)  # its gradient has another shape now
    with pytest.raises(ShapeError):
        optimizer.step()
    for parameter, old in zip(params, before, strict=True):
        np.testing.assert_array_equal(parameter.numpy(), old)


def test_the_closure_is_called_once():
    params, calls = parameters(), []
    optimizer = optimizer_of(*params)

    def closure():
        calls.append(1)
        optimizer.zero_grad()
        loss = sum((parameter * parameter).sum() for parameter in params)
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert len(calls) == 1
    assert optimizer.step(closure).item() < first.item()


def test_what_it_cannot_be_made_of_is_refused():
    kernel, matrix, vector = parameters()
    with pytest.raises(TypeError, match="needs optimisers, got a Tensor"):
        optim.MultiOptimizer(kernel)
    with pytest.raises(ValueError, match="at least one"):
        optim.MultiOptimizer()
    with pytest.raises(ValueError, match="two optimisers have the same parameter"):
        optim.MultiOptimizer(optim.SGD([matrix], 0.1), optim.SGD([vector, matrix], 0.1))
    with pytest.raises(TypeError, match=r"optimizer\.optimizers\[0\]\.add_param_group"):
        optim.MultiOptimizer(optim.SGD([matrix], 0.1)).add_param_group({"params": [vector]})


def test_a_trainer_resumes_it(tmp_path):
    from tests.training.tiny import TinyNet, bits, make

    def trainer(out, **options):
        mr.manual_seed(3)
        model = TinyNet()
        kernels = [p for p in model.parameters() if p.ndim == 4]
        others = [p for p in model.parameters() if p.ndim != 4]
        optimizer = optim.MultiOptimizer(optim.Muon(kernels, 0.02, flatten=True), optim.SGD(others, 0.05, 0.9))
        assert isinstance(model, nn.Module)
        return make(out, model=model, optimizer=optimizer, **options)

    whole = trainer(tmp_path / "whole")
    whole.fit()
    trainer(tmp_path / "part", epochs=1).fit()
    assert training.load_checkpoint(tmp_path / "part" / "last.safetensors").epoch == 1
    rest = trainer(tmp_path / "part")
    rest.fit(resume=True)
    assert bits(rest.model) == bits(whole.model)
