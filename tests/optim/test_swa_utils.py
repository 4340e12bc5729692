"""Averages of weights beside torch's, the files that hold them, batch norm's statistics after, and SWALR."""

from __future__ import annotations

import json

import numpy as np
import pytest

import minires as mr
from minires import nn, optim, weights
from minires.errors import ShapeError
from minires.optim import swa_utils

AVERAGES = {
    "equal weights": lambda s: {},
    "swa, all at once": lambda s: {"multi_avg_fn": s.get_swa_multi_avg_fn()},
    "swa": lambda s: {"avg_fn": s.get_swa_avg_fn()},
    "ema": lambda s: {"avg_fn": s.get_ema_avg_fn(0.7)},
    "ema, all at once": lambda s: {"multi_avg_fn": s.get_ema_multi_avg_fn(0.7)},
    "ema with buffers": lambda s: {"multi_avg_fn": s.get_ema_multi_avg_fn(0.7), "use_buffers": True},
    "one's own": lambda s: {"avg_fn": lambda averaged, current, count: 0.25 * averaged + 0.75 * current},
}


def network(package=nn):
    return package.Sequential(package.Linear(3, 4), package.BatchNorm1d(4), package.Linear(4, 2))


def twins(torch):
    """The same network here and in torch, in float64."""
    mr.manual_seed(0)
    ours = network().to(np.float64)
    theirs = network(torch.nn).double()
    theirs.load_state_dict({name: torch.tensor(value.numpy().copy()) for name, value in ours.state_dict().items()})
    return ours, theirs


def change(ours, theirs, torch, seed):
    """Other weights, statistics and counts in both."""
    rng = np.random.default_rng(seed)
    for name, value in ours.state_dict().items():
        new = np.array(seed + 1) if value.ndim == 0 else rng.uniform(0.5, 1.5, value.shape)
        value.assign_(new)
        theirs.state_dict()[name].copy_(torch.tensor(new))


def states(model):
    return {name: np.array(value.detach().numpy()) for name, value in model.state_dict().items()}


@pytest.mark.parametrize("name", AVERAGES)
def test_an_averaged_model_has_torchs_numbers_under_torchs_names(torch, name):
    pair = twins(torch)
    ours = swa_utils.AveragedModel(pair[0], **AVERAGES[name](swa_utils))
    theirs = torch.optim.swa_utils.AveragedModel(pair[1], **AVERAGES[name](torch.optim.swa_utils))
    for seed in range(5):
        change(*pair, torch, seed)
        ours.update_parameters(pair[0])
        theirs.update_parameters(pair[1])
        found, expected = states(ours), states(theirs)
        assert list(found) == list(expected)
        for key in expected:
            np.testing.assert_allclose(
                found[key], expected[key], rtol=1e-6, err_msg=key
            )  # torch's 1/(n + 1) is float32
            assert found[key].dtype == expected[key].dtype
    x = np.random.default_rng(9).normal(size=(5, 3))
    ours.eval()
    theirs.eval()
    np.testing.assert_allclose(ours(mr.tensor(x)).numpy(), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-5)
    assert ours.module is not pair[0]


def test_a_file_of_an_average_is_read_under_the_names_of_the_model(tmp_path):
    model = network()
    averaged = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5))
    for value in (1.0, 3.0):
        for parameter in model.parameters():
            parameter.assign_(value)
        averaged.update_parameters(model)
    for suffix in ("pth", "safetensors"):
        path = tmp_path / f"average.{suffix}"
        weights.save(path, averaged.state_dict())
        fresh = network()
        fresh.load_state_dict(weights.load(path))
        assert set(np.concatenate([p.numpy().ravel() for p in fresh.parameters()]).tolist()) == {2.0}
    again = swa_utils.AveragedModel(network())
    again.load_state_dict(averaged.state_dict())
    assert again.n_averaged.item() == 2


def test_averages_of_float16_are_made_in_float32():
    """0.999·w + 0.001·w' of weights near 1 would not move in float16, whose step is 2⁻¹⁰ there."""
    layer = nn.Linear(1, 1, bias=False).to(np.float16)
    layer.weight.assign_(1.0)
    averaged = swa_utils.AveragedModel(layer, avg_fn=swa_utils.get_ema_avg_fn(0.5))
    averaged.update_parameters(layer)
    layer.weight.assign_(1 + 2**-9)
    averaged.update_parameters(layer)
    assert averaged.module.weight.item() == 1 + 2**-10
    assert averaged.module.weight.dtype == np.float16


def test_training_goes_on_untouched():
    model = network()
    optimizer = optim.SGD(model.parameters(), 0.1)
    averaged = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.9))
    x = mr.tensor(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32))
    for _ in range(3):
        optimizer.zero_grad()
        (model(x) ** 2).mean().backward()
        optimizer.step()
        averaged.update_parameters(model)
        assert all(parameter.grad is None for parameter in averaged.parameters())
    assert averaged.n_averaged.item() == 3
    assert not np.array_equal(averaged.module[0].weight.numpy(), model[0].weight.numpy())
    assert np.array_equal(averaged.module[1].running_mean.numpy(), model[1].running_mean.numpy())  # the newest


@pytest.mark.parametrize("wrap", ["array", "pair", "tensor"])
def test_update_bn_is_torchs(torch, wrap):
    ours, theirs = twins(torch)
    change(ours, theirs, torch, 3)
    ours.eval()
    theirs.eval()
    batches = np.random.default_rng(4).normal(size=(3, 5, 3))
    wrapped = {"array": lambda b: b, "pair": lambda b: (b, np.zeros(5)), "tensor": mr.tensor}[wrap]
    swa_utils.update_bn([wrapped(batch) for batch in batches], ours)
    torch.optim.swa_utils.update_bn([torch.tensor(batch) for batch in batches], theirs)
    found, expected = states(ours), states(theirs)
    for key in expected:
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-12, err_msg=key)
    assert (ours.training, ours[1].training, ours[1].momentum) == (False, False, 0.1)
    swa_utils.update_bn([], nn.Linear(1, 1))  # without batch norm there is nothing to do


@pytest.mark.parametrize("options", [{}, {"anneal_epochs": 4, "anneal_strategy": "linear"}, {"anneal_epochs": 0}])
def test_swalr_gives_torchs_rates(torch, options):
    ours = optim.SGD([{"params": [mr.ones(1)], "lr": lr} for lr in (0.3, 0.01)])
    theirs = torch.optim.SGD([{"params": [torch.ones(1)], "lr": lr} for lr in (0.3, 0.01)])
    mine = swa_utils.SWALR(ours, [0.05, 0.02], **options)
    other = torch.optim.swa_utils.SWALR(theirs, [0.05, 0.02], **options)
    for t in range(20):
        if t == 2:
            saved = json.loads(json.dumps(mine.state_dict()))
            mine = swa_utils.SWALR(ours, 0.05)
            mine.load_state_dict(saved)
        found, expected = ([group["lr"] for group in each.param_groups] for each in (ours, theirs))
        assert found == pytest.approx(expected, rel=1e-9)
        theirs.step()
        mine.step()
        other.step()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda m: swa_utils.AveragedModel([m]), TypeError, "AveragedModel: needs an nn.Module, got a list"),
        (lambda m: swa_utils.AveragedModel(m, avg_fn=0.9), TypeError, "avg_fn is a float, not a function"),
        (lambda m: swa_utils.AveragedModel(m, avg_fn=max, multi_avg_fn=max), ValueError, "two ways of the same"),
        (lambda m: swa_utils.AveragedModel(m, use_buffers=1), ValueError, "use_buffers = 1 must be True or False"),
        (lambda m: swa_utils.get_ema_avg_fn(1.5), ValueError, "decay = 1.5 must be between 0 and 1"),
        (lambda m: swa_utils.get_ema_multi_avg_fn(-0.1), ValueError, "decay = -0.1 must be between 0 and 1"),
        (lambda m: swa_utils.AveragedModel(m).update_parameters(nn.Linear(2, 2)), ShapeError, "this Linear has other"),
        (lambda m: swa_utils.SWALR([m], 0.1), TypeError, "SWALR: needs an optimiser, got a list"),
        (lambda m: swa_utils.SWALR(optim.SGD(m.parameters()), 0.1, anneal_strategy="x"), ValueError, "'cos' or 'lin"),
        (lambda m: swa_utils.SWALR(optim.SGD(m.parameters()), [0.1, 0.2]), ValueError, "swa_lr has 2 values"),
    ],
)
def test_what_makes_no_sense_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(network())
