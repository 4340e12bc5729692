"""Containers of modules and parameters: what they take, what they are called, and how they are cut and joined.

The names, orders and errors are those of the documentation of torch.nn, as literals.
"""

from __future__ import annotations

import operator
from collections import OrderedDict

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import nn


def layers(count=3):
    return [nn.Linear(2, 2) for _ in range(count)]


def names(module):
    return [name for name, _ in module.named_children()]


# -- Sequential -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: nn.Sequential(nn.Linear(2, 2), F.tanh, nn.Linear(2, 2)), r"the function tanh, .* write nn\.Tanh\(\)"),
        (lambda: nn.Sequential(F.leaky_relu), r"write nn\.LeakyReLU\(\)"),
        (lambda: nn.Sequential(F.max_pool2d), r"write nn\.MaxPool2d\(\)"),
        (
            lambda: nn.Sequential(F.exp),
            r"the function exp, .*; subclass nn\.Module and call the function in its forward",
        ),
        (lambda: nn.Sequential(lambda x: x), r"subclass nn\.Module"),
        (lambda: nn.Sequential(nn.ReLU), r"the class ReLU, .* write ReLU\(\.\.\.\)"),
        (lambda: nn.Sequential(layers()), r"a list, .* write Sequential\(\*modules\)"),
        (lambda: nn.Sequential(layer for layer in layers()), r"write Sequential\(\*modules\)"),
        (lambda: nn.Sequential(None), "got a NoneType, which is no Module"),
        (lambda: nn.Sequential({"first": F.tanh}), r"nn\.Tanh\(\)"),
        (lambda: nn.Sequential().append(F.relu), r"nn\.ReLU\(\)"),
        (lambda: nn.Sequential().extend([*layers(), F.relu]), r"nn\.ReLU\(\)"),
        (lambda: nn.Sequential().insert(0, F.relu), r"nn\.ReLU\(\)"),
        (lambda: nn.ModuleList([F.sigmoid]), r"ModuleList: .* nn\.Sigmoid\(\)"),
        (lambda: nn.ModuleDict({"a": F.sigmoid}), r"ModuleDict: .* nn\.Sigmoid\(\)"),
        (lambda: nn.ModuleDict({"a": layers()}), "ModuleDict: got a list, .* add its modules one by one"),
        (lambda: nn.Module().add_module("a", F.sigmoid), r"add_module: .* nn\.Sigmoid\(\)"),
        (lambda: operator.add(nn.Sequential(*layers()), [nn.ReLU()]), "cannot add a list"),
    ],
)
def test_what_is_no_module_is_refused_with_what_to_write(wrong, message):
    with pytest.raises(TypeError, match=message):
        wrong()


def test_a_network_with_tanh_is_not_linear():
    first, second = layers(2)
    x = mr.tensor(np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32))
    hidden = np.tanh(x.numpy() @ first.weight.numpy().T + first.bias.numpy())
    expected = hidden @ second.weight.numpy().T + second.bias.numpy()
    np.testing.assert_allclose(nn.Sequential(first, nn.Tanh(), second)(x).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_activations_compute_their_functions():
    x = np.array([[-1.5, 0.0, 2.0]])
    powers = np.exp(x)
    expected = {
        nn.Tanh(): np.tanh(x),
        nn.Sigmoid(): 1 / (1 + np.exp(-x)),
        nn.LeakyReLU(0.1): np.array([[-0.15, 0.0, 2.0]]),
        nn.Softmax(1): powers / powers.sum(),
        nn.LogSoftmax(dim=-1): np.log(powers / powers.sum()),
    }
    for layer, values in expected.items():
        np.testing.assert_allclose(layer(mr.tensor(x)).numpy(), values, rtol=1e-12)
    assert [repr(layer) for layer in expected] == [
        "Tanh()", "Sigmoid()", "LeakyReLU(negative_slope=0.1)", "Softmax(dim=1)", "LogSoftmax(dim=-1)",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_a_mapping_gives_the_names(kind):
    first, second = layers(2)
    net = nn.Sequential(kind([("first", first), ("act", nn.ReLU()), ("second", second)]))
    assert names(net) == ["first", "act", "second"]
    assert list(net.state_dict()) == ["first.weight", "first.bias", "second.weight", "second.bias"]
    assert net.first is first
    assert net[-1] is second
    x = mr.tensor([[1.0, -2.0]])
    assert np.array_equal(net(x).numpy(), second(F.relu(first(x))).numpy())


def test_slices_are_networks_of_the_same_layers_under_their_names():
    net = nn.Sequential(*layers(4))
    part = net[1:3]
    assert isinstance(part, nn.Sequential)
    assert names(part) == ["1", "2"]  # as in torch
    assert list(part) == [net[1], net[2]]
    assert list(net[::2]) == [net[0], net[2]]
    x = mr.tensor([[1.0, -2.0]])
    assert np.array_equal(net[2:](net[:2](x)).numpy(), net(x).numpy())
    extra = nn.ReLU()
    assert list(part.append(extra)) == [net[1], net[2], extra]  # none is replaced, although there is a "2" already


def test_numbers_count_from_either_end_and_end_somewhere():
    a, b, c = layers()
    net = nn.Sequential(a, b, c)
    assert (net[-1], net[-3], net[np.int64(1)]) == (c, a, b)
    for number in (3, -4):
        with pytest.raises(IndexError, match="there is no item"):
            net[number]
    with pytest.raises(TypeError):
        net["0"]


def test_layers_can_be_added_replaced_and_removed():
    a, b, c, d = layers(4)
    net = nn.Sequential(a)
    assert net.append(b) is net
    assert list(net.extend([c])) == [a, b, c]
    assert list(net.insert(1, d)) == [a, d, b, c]
    assert names(net) == ["0", "1", "2", "3"]
    assert list(net.state_dict())[:4] == ["0.weight", "0.bias", "1.weight", "1.bias"]
    del net[1]
    assert (list(net), names(net)) == ([a, b, c], ["0", "1", "2"])
    net[-1] = d
    assert list(net) == [a, b, d]
    assert net.pop(0) is a
    assert list(net) == [b, d]
    del net[0:2]
    assert len(net) == 0
    net += [a, b]
    net.add_module("2", c)
    net.add_module("last", d)
    assert (list(net), names(net)) == ([a, b, c, d], ["0", "1", "2", "last"])
    for place in (5, -5):
        with pytest.raises(IndexError, match="no place"):
            net.insert(place, a)


def test_the_sum_of_two_networks():
    a, b, c = layers()
    net = nn.Sequential(a, b) + nn.Sequential(OrderedDict(x=c))
    assert (list(net), names(net)) == ([a, b, c], ["0", "1", "2"])


# -- ModuleList, ModuleDict, ParameterList, ParameterDict -------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        self.layers = nn.ModuleList([nn.Linear(2, 3), nn.BatchNorm2d(3)])
        self.heads = nn.ModuleDict({"left": nn.Linear(3, 1), "right": nn.Linear(3, 2, bias=False)})
        self.scales = nn.ParameterList([mr.ones(1), nn.Parameter(np.zeros(2, np.float32))])
        self.named = nn.ParameterDict({"gain": mr.ones(3)})


def test_what_is_in_a_container_is_trained_saved_and_switched():
    net = Net()
    assert list(net.state_dict()) == [
        "layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", "layers.1.running_mean",
        "layers.1.running_var", "layers.1.num_batches_tracked", "heads.left.weight", "heads.left.bias",
        "heads.right.weight", "scales.0", "scales.1", "named.gain",
    ]  # fmt: skip
    assert len(list(net.parameters())) == 10
    assert all(parameter.requires_grad for parameter in net.parameters())
    net.eval()
    assert not net.layers[1].training
    assert net.to(np.float64).scales[0].dtype == np.float64
    assert repr(net.scales) == "ParameterList(0: (1,), 1: (2,))"
    left, right = repr(net.heads["left"]), repr(net.heads["right"])
    assert repr(net.heads) == f"ModuleDict(\n  (left): {left}\n  (right): {right}\n)"


def test_a_module_list_is_a_list():
    a, b, c = layers()
    found = nn.ModuleList([a, b])
    assert list(operator.add(found, [c])) == [a, b, c]
    assert isinstance(found[:1], nn.ModuleList)
    assert (len(found), found[-1], b in found, c in found) == (2, b, True, False)
    assert list(found.append(c).insert(0, c)) == [c, a, b, c]
    assert found.pop() is c
    with pytest.raises(TypeError, match="ModuleList has no forward"):
        found(mr.ones(1, 2))
    with pytest.raises(TypeError, match="needs an iterable, got a Linear"):
        nn.ModuleList(a)


def test_a_module_dict_is_a_dict():
    a, b, c = layers()
    found = nn.ModuleDict([("a", a), ("b", b)])
    found["c"] = c
    found.update({"a": b})
    assert (list(found), list(found.keys()), found.values()) == (["a", "b", "c"], ["a", "b", "c"], [b, b, c])
    assert found.items() == [("a", b), ("b", b), ("c", c)]
    assert ("a" in found, "z" in found, len(found), found["c"]) == (True, False, 3, c)
    assert found.pop("b") is b
    with pytest.raises(KeyError):
        found["b"]
    found.clear()
    assert len(found) == 0
    for name in ("keys", "forward", "a.b", ""):
        with pytest.raises(KeyError, match="cannot be called"):
            found[name] = a
    with pytest.raises(TypeError, match="needs a name of type str"):
        found[0] = a


def test_parameters_in_containers_share_their_numbers_and_are_leaves():
    values = mr.zeros(2)
    found = nn.ParameterList([values])
    found[0].assign_(3.0)
    assert values.tolist() == [3.0, 3.0]
    found.append(np.ones(1, np.float32))
    assert [type(value) for value in found] == [nn.Parameter, nn.Parameter]
    assert found[1:][0] is found[1]
    found[0] = nn.Parameter(np.ones(4, np.float32))
    assert found[0].shape == (4,)
    with pytest.raises(TypeError, match="got a list"):
        found.append([1.0])
    with pytest.raises(TypeError, match="result of an operation: use detach"):
        nn.ParameterDict({"w": found[0] * 2})


def test_names_are_those_of_torch(torch):
    def names_in(library):
        linear = library.Linear
        net = library.Sequential(linear(2, 2), library.ReLU(), linear(2, 2))
        yield list(net[1:].state_dict())
        yield list(net.append(linear(2, 2)).state_dict())
        yield list(net.insert(1, linear(2, 2)).state_dict())
        del net[0]
        yield list(net.state_dict())
        yield list(net.extend([linear(2, 2)]).state_dict())
        yield list((net + library.Sequential(linear(2, 2))).state_dict())
        named = library.Sequential(OrderedDict(a=linear(2, 2), b=linear(2, 2), c=linear(2, 2)))
        yield list(named.state_dict())
        del named[1]
        yield list(named.state_dict())
        yield list(library.ModuleDict({"b": linear(2, 2), "a": linear(2, 2)}).state_dict())
        yield list(library.ModuleList([linear(2, 2), library.Tanh(), linear(2, 2)])[1:].state_dict())

    assert list(names_in(nn)) == list(names_in(torch.nn))


def test_deleting_numbers_the_names_anew_as_torch_does():
    net = nn.Sequential(OrderedDict(a=nn.ReLU(), b=nn.Tanh(), c=nn.ReLU()))
    del net[1]
    assert names(net) == ["0", "1"]
