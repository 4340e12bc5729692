"""state_dict and load_state_dict: order, prefix, hooks and `assign`, as in torch."""

from __future__ import annotations

import numpy as np
import pytest

import minires as mr
from minires import nn
from minires.errors import WeightsError


def build(library, tensor):
    """A module whose buffers are registered before its parameters, and its child before both."""

    class Net(library.Module):
        def __init__(self):
            super().__init__()
            self.child = library.Linear(2, 1)
            self.register_buffer("late", tensor([1.0]))
            self.register_buffer("passing", tensor([1.0]), persistent=False)
            self.weight = library.Parameter(tensor([2.0]))
            self.register_parameter("none", None)
            self.register_buffer("count", tensor(0))

    return Net()


def both(torch):
    return (build(nn, mr.tensor), mr), (build(torch.nn, torch.tensor), torch)


def test_the_order_is_torchs(torch):
    ours, theirs = (list(net.state_dict()) for net, _ in both(torch))
    assert ours == theirs == ["weight", "late", "count", "child.weight", "child.bias"]


def test_prefix_and_destination_and_keep_vars():
    net = build(nn, mr.tensor)
    state = {"there": 1}
    assert net.state_dict(destination=state, prefix="net.") is state
    assert list(state) == ["there", *(f"net.{name}" for name in net.state_dict())]
    kept = net.state_dict(keep_vars=True)
    assert kept["child.weight"] is net.child.weight
    assert net.state_dict()["child.weight"] is not net.child.weight


def hooks_of_saving(net):
    seen = []
    net.child.register_state_dict_pre_hook(lambda module, prefix, keep: seen.append(("pre", prefix, keep)))

    def post(module, state, prefix, metadata):
        seen.append(("post", prefix, list(state)))
        state[f"{prefix}extra"] = state.pop(f"{prefix}bias")

    net.child.register_state_dict_post_hook(post)
    seen.append(list(net.state_dict(prefix="p.")))
    return seen


def test_hooks_of_saving_are_called_as_in_torch(torch):
    ours, theirs = (hooks_of_saving(net) for net, _ in both(torch))
    assert ours == theirs


def hooks_of_loading(net, library):
    seen = []

    def rename(state, prefix, metadata, strict, missing, unexpected, errors):
        seen.append(("pre", sorted(state), prefix, strict))
        state[f"{prefix}bias"] = state.pop(f"{prefix}old_bias")

    def with_module(module, state, prefix, *rest):
        seen.append((type(module).__name__, prefix))

    def forgive(module, keys):
        seen.append(("post", list(keys.missing_keys), list(keys.unexpected_keys)))
        keys.missing_keys.clear()

    net.child._register_load_state_dict_pre_hook(rename)
    net.register_load_state_dict_pre_hook(with_module)
    net.register_load_state_dict_post_hook(forgive)
    net.child.register_load_state_dict_post_hook(lambda module, keys: seen.append("child"))
    numbers = {
        "weight": library.tensor([5.0]),
        "late": library.tensor([6.0]),
        "child.weight": library.tensor([[7.0, 8.0]]),
        "child.old_bias": library.tensor([9.0]),
    }
    net.load_state_dict(numbers)
    return [*seen, sorted(numbers), net.child.bias.item(), net.late.item()]


def test_hooks_of_loading_are_called_as_in_torch(torch):
    ours, theirs = (hooks_of_loading(*each) for each in both(torch))
    assert ours[0] == theirs[0] == ("Net", "")
    assert ours[1][0] == "pre"  # it sees the whole checkpoint here, in torch what is left for its module
    assert ours[2:] == theirs[2:]


def test_what_a_hook_of_loading_finds_wrong_is_raised_and_nothing_loaded():
    layer = nn.Linear(1, 1)
    before = layer.weight.item()
    layer.register_load_state_dict_pre_hook(lambda *given: given[-1].append("too old"))
    with pytest.raises(WeightsError, match=r"nothing was loaded: found by a hook \(1\): too old"):
        layer.load_state_dict({"weight": np.ones((1, 1)), "bias": np.ones(1)})
    assert layer.weight.item() == before


def test_what_hooks_after_loading_do_not_forgive_is_raised_after_loading():
    layer = nn.Linear(1, 1)
    layer.register_load_state_dict_post_hook(lambda module, keys: None)
    with pytest.raises(WeightsError, match=r"what fits was loaded: missing \(1\): bias"):
        layer.load_state_dict({"weight": np.full((1, 1), 3.0)})
    assert layer.weight.item() == 3.0
    with pytest.raises(WeightsError, match="nothing was loaded: wrong shape"):
        layer.load_state_dict({"weight": np.zeros((2, 1)), "bias": np.zeros(1)})
    assert layer.weight.item() == 3.0
    layer.register_load_state_dict_post_hook(lambda module, keys: keys)
    with pytest.raises(TypeError, match="return None"):
        layer.load_state_dict({"weight": np.zeros((1, 1)), "bias": np.zeros(1)})


def test_assign_takes_over_dtype_and_memory(torch):
    layer = nn.Linear(2, 1)
    weight = layer.weight
    layer(mr.ones(1, 2)).backward()
    state = {"weight": mr.tensor(np.ones((1, 2))), "bias": mr.tensor(np.zeros(1))}
    layer.load_state_dict(state, assign=True)
    twin = torch.nn.Linear(2, 1)
    twin.load_state_dict({name: torch.tensor(np.array(value)) for name, value in state.items()}, assign=True)
    assert layer.weight is weight  # an optimiser still holds it
    assert layer.weight.requires_grad
    assert layer.weight.grad is None
    assert twin.weight.grad is None
    assert (layer.weight.dtype, str(twin.weight.dtype)) == (np.float64, "torch.float64")
    with pytest.raises(WeightsError, match="weight cannot be assigned, and nothing was: its dtype is int64"):
        layer.load_state_dict({"weight": np.zeros((1, 2), int), "bias": np.ones(1)}, assign=True)
    assert layer.bias.item() == 0.0


def test_a_child_that_defines_state_dict_itself_is_asked():
    class Own(nn.Linear):
        def state_dict(self, *, destination=None, prefix="", keep_vars=False):
            state = super().state_dict(destination=destination, prefix=prefix, keep_vars=keep_vars)
            state[f"{prefix}note"] = mr.ones(1)
            return state

    assert list(nn.Sequential(Own(1, 1)).state_dict()) == ["0.weight", "0.bias", "0.note"]


@pytest.mark.parametrize("name", ["_load_from_state_dict", "_save_to_state_dict", "get_extra_state"])
def test_methods_that_only_torch_calls_are_refused(name):
    with pytest.raises(TypeError, match=rf"Sub\.{name} would never be called here: "):
        type("Sub", (nn.Module,), {name: lambda self: None})
