"""The functions of nn.utils beside torch's; what clip_grad_norm_ does in detail is in tests/optim/test_optimizer.py."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

import minires as mr
from minires import nn, optim
from minires.errors import NonFiniteError, ShapeError


def pairs(torch, gradients):
    ours = [mr.tensor(np.zeros_like(g), requires_grad=True) for g in gradients]
    theirs = [torch.zeros(g.shape, dtype=torch.float64, requires_grad=True) for g in gradients]
    for p, q, g in zip(ours, theirs, gradients, strict=True):
        p.grad, q.grad = mr.tensor(g), torch.tensor(g)
    return ours, theirs


GRADIENTS = [np.random.default_rng(0).normal(size=shape) for shape in ((3, 4), (5,), ())]


@pytest.mark.parametrize("p", [2.0, 1, math.inf, 3.5])
def test_clip_grad_norm_returns_the_norm_as_a_tensor(torch, p):
    ours, theirs = pairs(torch, GRADIENTS)
    norm = nn.utils.clip_grad_norm_(ours, 0.5, p, foreach=False)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 0.5, p)
    assert isinstance(norm, mr.Tensor)
    assert (norm.shape, norm.item()) == ((), pytest.approx(expected.item(), rel=1e-12))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12)
    assert isinstance(optim.clip_grad_norm_(ours, 0.5), float)


def test_clip_grad_value_cuts_each_element(torch):
    gradients = [*GRADIENTS, np.array([np.nan, np.inf, -np.inf, 0.3, -0.3, 0.0])]
    ours, theirs = pairs(torch, gradients)
    ours.append(mr.zeros(2, requires_grad=True))  # has no gradient
    assert nn.utils.clip_grad_value_(iter(ours), 0.3) is None
    torch.nn.utils.clip_grad_value_(theirs, 0.3)
    for a, b in zip(ours, theirs, strict=False):
        np.testing.assert_array_equal(a.grad.numpy(), b.grad.numpy())
    optim.clip_grad_value_(ours[0], 0.0)  # one Tensor
    assert not ours[0].grad.numpy().any()


def test_a_gradient_that_a_graph_keeps_is_replaced_not_written():
    x = mr.tensor([3.0, 4.0], requires_grad=True)
    (x * x).sum().backward(create_graph=True)
    product = x.grad * x.grad
    was = product.numpy().copy()
    nn.utils.clip_grad_value_([x], 1.0)
    assert np.array_equal(product.numpy(), was)
    assert x.grad.tolist() == [1.0, 1.0]


def test_parameters_become_a_vector_and_return(torch):
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    theirs.load_state_dict({name: torch.tensor(value.numpy().copy()) for name, value in model.state_dict().items()})
    vector = nn.utils.parameters_to_vector(model.parameters())
    assert vector.tolist() == torch.nn.utils.parameters_to_vector(theirs.parameters()).tolist()
    weight = mr.tensor(np.random.default_rng(1).normal(size=vector.shape).astype(np.float32))
    (vector * weight).sum().backward()
    gradient = np.concatenate([parameter.grad.numpy().ravel() for parameter in model.parameters()])
    np.testing.assert_array_equal(gradient, weight.numpy())
    nn.utils.vector_to_parameters(weight, model.parameters())
    torch.nn.utils.vector_to_parameters(torch.tensor(weight.numpy()), theirs.parameters())
    for a, b in zip(model.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.detach().numpy())
    before = weight.numpy().copy()
    model[0].weight.assign_(7.0)
    assert np.array_equal(weight.numpy(), before)  # the parameters have copies


def test_a_vector_of_another_length_changes_nothing():
    x, y = mr.zeros(2), mr.zeros(3)
    for wrong in (mr.ones(4), mr.ones(6), mr.ones(5, 1)):
        with pytest.raises(ShapeError, match=r"vec has shape .*, and the parameters 5 numbers"):
            nn.utils.vector_to_parameters(wrong, [x, y])
    assert (x.tolist(), y.tolist()) == ([0, 0], [0, 0, 0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda x: nn.utils.clip_grad_norm_([x], -1),
            ValueError,
            "clip_grad_norm_: max_norm = -1 must not be negative",
        ),
        (lambda x: nn.utils.clip_grad_norm_([x], 1, foreach=True), ValueError, "foreach = True has no meaning here"),
        (lambda x: nn.utils.clip_grad_norm_([x], 0, 2, True), NonFiniteError, "norm is nan"),
        (lambda x: nn.utils.clip_grad_value_([x], -1), ValueError, "clip_value = -1 must not be negative"),
        (lambda x: nn.utils.clip_grad_value_([x], math.nan), ValueError, "clip_value = nan"),
        (lambda x: nn.utils.clip_grad_value_([x], 1, foreach=True), ValueError, "foreach = True has no meaning here"),
        (lambda x: nn.utils.clip_grad_value_(nn.Linear(1, 1), 1), TypeError, r"model\.parameters\(\)"),
        (lambda x: nn.utils.parameters_to_vector([]), ValueError, "there are no parameters"),
        (lambda x: nn.utils.vector_to_parameters([1.0], [x]), TypeError, "vec is a list, not a Tensor"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, message):
    x = mr.ones(1, requires_grad=True)
    x.grad = mr.tensor([math.nan])
    with pytest.raises(error, match=message):
        call(x)


def test_arguments_are_torchs(torch):
    for name in ("clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"):
        ours, theirs = (inspect.signature(getattr(package.utils, name)) for package in (nn, torch.nn))
        assert list(ours.parameters) == list(theirs.parameters)
        for key, each in theirs.parameters.items():
            assert ours.parameters[key].default == each.default
