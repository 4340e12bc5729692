"""A compiled model answers by the weights of the moment when it was compiled, and leaves the model as it was."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import inference, nn, optim
from minires.errors import MiniResError


def images(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def network() -> nn.Module:
    mr.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8, 4)).eval()


def train(model: nn.Module, steps: int = 2) -> None:
    """Steps of SGD, and running statistics that move."""
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(mr.tensor(images(4, 3, 8, 8, seed=9))), mr.tensor([0, 1, 2, 3])).backward()
        optimizer.step()
    model.eval()


def answers(model, *batches: np.ndarray) -> list[np.ndarray]:
    with mr.no_grad():
        return [model(mr.tensor(x)).numpy().copy() for x in batches]


@pytest.mark.parametrize("kind", ["a function", "a Module", "a function of detached weights"])
def test_training_on_changes_no_answer(kind):
    model = network()
    if kind == "a function of detached weights":
        weight, bias, last = model[0].weight, model[0].bias, model[5]

        def function(x):
            return last(F.relu(F.conv2d(x, weight.detach(), bias.detach())).mean((2, 3)))

    else:
        function = model if kind == "a Module" else lambda x: model(x)
    batches = [images(2, 3, 8, 8), images(3, 3, 8, 8), images(2, 3, 10, 6)]
    compiled = inference.compile(function, batches[0])
    before = answers(function, *batches)
    train(model)
    moved = answers(function, *batches)
    for x, old, new in zip(batches, before, moved, strict=True):  # the first is planned already, the others are not
        assert np.abs(new - old).max() > 1e-2
        np.testing.assert_allclose(compiled(x), old, rtol=0, atol=1e-5 * np.abs(old).max())


def test_a_detached_weight_whose_tensor_has_died_is_known_though_another_gets_its_id():
    weights = [mr.tensor(images(3, 3, 1, 1, seed=seed)) for seed in range(4)]

    def function(x):
        for weight in weights:
            x = F.conv2d(x, weight.detach())  # the tensor of the step before is dead, and its memory free
        return x

    batches = [images(2, 3, 4, 4), images(3, 3, 4, 4)]
    compiled = inference.compile(function, batches[0])
    before = answers(function, *batches)
    for weight in weights:
        weight.mul_(2)
    for x, old in zip(batches, before, strict=True):
        np.testing.assert_allclose(compiled(x), old, rtol=0, atol=1e-5 * np.abs(old).max())


def test_a_weight_that_a_graph_held_when_it_changed():
    """Then the optimiser gives the tensor another array."""
    weight = mr.tensor(images(4, 3, 1, 1), requires_grad=True)
    compiled = inference.compile(lambda x: F.conv2d(x, weight), images(2, 3, 4, 4))
    x, array = images(5, 3, 4, 4), weight.data
    graph = F.conv2d(mr.tensor(x, requires_grad=True), weight)
    weight.assign_(weight.numpy() + 1)
    assert weight.data is not array
    expected = graph.numpy()
    np.testing.assert_allclose(compiled(x), expected, rtol=0, atol=1e-5)


def test_a_mask_is_copied():
    mask = np.arange(16).reshape(4, 4) % 2 == 0
    condition = mr.Tensor(mask)
    compiled = inference.compile(lambda x: F.where(condition, x, x * 0.5), images(1, 2, 4, 4))
    x = images(1, 2, 4, 4)
    before = compiled(x)
    condition.assign_(~mask)
    np.testing.assert_array_equal(compiled(x), before)


def test_what_forward_writes_is_put_back():
    model, count = nn.Conv2d(3, 4, 3), mr.tensor([1.0])

    def counted(x):
        count.assign_((count + 1).data)
        return model(x)

    x = images(4, 3, 6, 6)
    compiled = inference.compile(counted, x)
    compiled(images(2, 3, 6, 6))
    assert count.numpy() == 1
    with mr.no_grad():
        np.testing.assert_allclose(compiled(x), model(mr.tensor(x)).numpy(), rtol=0, atol=1e-4)


# -- folded weights --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["statistics", "eps"])
def test_batch_norms_that_share_weights_and_differ(what):
    w, gamma, beta = mr.tensor(images(8, 3, 3, 3)), mr.tensor(images(8)), mr.tensor(images(8, seed=2))
    means = [mr.tensor(images(8, seed=3)), mr.tensor(images(8, seed=4 if what == "statistics" else 3))]
    var = mr.tensor(np.abs(images(8, seed=5)) + 0.5)

    def both(x):
        y = F.conv2d(x, w)
        eps = (1e-5, 1e-5 if what == "statistics" else 1.0)
        first, second = (
            F.batch_norm(F.conv2d(x, w), mean, var, gamma, beta, eps=e) for mean, e in zip(means, eps, strict=True)
        )
        return first, second, y

    x = images(2, 3, 8, 8)
    with mr.no_grad():
        expected = both(mr.tensor(x))
    for ours, theirs in zip(inference.compile(both, x)(x), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-5 * np.abs(theirs.numpy()).max())


@pytest.mark.parametrize("kind", ["a leaf", "without weights of its own", "computed in forward"])
def test_packed_weights_do_not_pile_up(kind):
    w, mean, var = mr.tensor(images(8, 8, 3, 3)), mr.tensor(np.zeros(8, "f4")), mr.tensor(np.ones(8, "f4"))
    functions = {
        "a leaf": lambda x: F.conv2d(x, w),
        "without weights of its own": lambda x: F.batch_norm(F.conv2d(x, w), mean, var),
        "computed in forward": lambda x: F.conv2d(x, w * 2.0),
    }
    compiled = inference.compile(functions[kind], images(1, 8, 6, 6))
    for _ in range(2):
        for n in range(1, 2 * inference.MAX_PLANS):
            compiled(images(n, 8, 6, 6))
    expected = inference.MAX_PLANS if kind == "computed in forward" else 1
    assert len(compiled._weights._folded) == expected
    assert len(compiled._constants._known) <= 8


# -- the arrays of a Module are shared until somebody writes ----------------------------------------------------------


def test_the_weights_are_not_copied():
    model = network()
    compiled = inference.compile(model, images(1, 3, 8, 8))
    for name, tensor in model.named_parameters():
        assert compiled._model.get_parameter(name).data is tensor.data


def test_numpy_refuses_writes_as_long_as_the_compiled_model_lives():
    model = network()
    compiled = inference.compile(model, images(1, 3, 8, 8))
    with pytest.raises(ValueError, match="read-only"):
        model[0].weight.data[...] = 0
    model[0].weight.assign_(0)  # another array, which nobody shares
    model[0].weight.data[...] = 1
    del compiled
    model[5].weight.data[...] = 0


@pytest.mark.parametrize("how", ["a view", "another Tensor", "the array itself", "a state_dict"])
def test_what_something_else_refers_to_is_copied(how):
    model = network()
    weight = model[0].weight
    other = {
        "a view": lambda: weight.data[:],
        "another Tensor": lambda: weight.detach(),
        "the array itself": lambda: weight.data,
        "a state_dict": lambda: model.state_dict()["0.weight"],
    }[how]()
    batches = [images(2, 3, 8, 8), images(1, 3, 6, 6)]
    expected = answers(model, *batches)
    compiled = inference.compile(model, batches[0])
    assert not np.shares_memory(compiled._model[0].weight.data, weight.data)
    with mr.no_grad():
        np.asarray(other if isinstance(other, np.ndarray) else other.data)[...] = 3.0
    for x, y in zip(batches, expected, strict=True):
        np.testing.assert_allclose(compiled(x), y, rtol=0, atol=1e-5 * np.abs(y).max())


def test_two_compiled_models_of_one_network_share_its_weights():
    model = network()
    first, second = (inference.compile(model, images(1, 3, 8, 8)) for _ in range(2))
    x = images(2, 3, 10, 10)
    expected = answers(model, x)[0]
    train(model)
    del first
    train(model)
    np.testing.assert_allclose(second(x), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


class Counted(nn.Module):
    """Multiplies by the number of calls, or just counts them."""

    def __init__(self, is_used):
        super().__init__()
        self.is_used = is_used
        self.count = nn.Buffer(np.zeros(1, np.float32))

    def forward(self, x):
        self.count += 1
        return x * self.count if self.is_used else x * 2.0


def test_a_module_that_computes_with_what_it_writes_is_refused():
    """A plan would multiply by 1 for ever."""
    x = images(2, 3)
    model = Counted(is_used=True).eval()
    with pytest.raises(MiniResError, match=r"return x \* self\.count.*writes into a parameter or buffer"):
        inference.compile(model, x)
    assert model.count.item() == 0
    compiled = inference.compile(Counted(is_used=False).eval(), x)
    np.testing.assert_array_equal(compiled(x), 2 * x)
