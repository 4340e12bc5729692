"""Module: what it finds in its attributes, what can be done to all of it, and state that goes in and out."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections import deque

import numpy as np
import pytest

import minires as mr
from minires import nn, weights
from minires.errors import DtypeError, WeightsError


class Net(nn.Module):
    """Two ways in, one layer used twice, one parameter of its own."""

    aliases = {"linear": "fc"}  # noqa: RUF012

    def __init__(self):
        self.scale = nn.Parameter(np.ones(1, np.float32))
        self.stem = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU())
        self.again = self.stem
        self.note = "not a part"
        self.fc = nn.Linear(2, 3)

    def forward(self, x):
        return self.fc(self.again(self.stem(x)[:, :1]).mean((2, 3))) * self.scale


def images(n=2):
    return mr.tensor(np.random.default_rng(0).normal(size=(n, 1, 4, 4)).astype(np.float32))


def contents(model):
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


# -- what it is made of -----------------------------------------------------------------------------------------------


def test_parts_are_found_in_the_order_of_assignment_and_each_once():
    net = Net()
    assert [name for name, _ in net.named_children()] == ["stem", "fc"]
    assert [name for name, _ in net.named_modules()] == ["", "stem", "stem.0", "stem.1", "stem.2", "fc"]
    stem = ["stem.0.weight", "stem.0.bias", "stem.1.weight", "stem.1.bias"]
    expected = ["scale", *stem, "fc.weight", "fc.bias"]
    assert [name for name, _ in net.named_parameters()] == expected
    assert [id(p) for p in net.parameters()] == [id(p) for _, p in net.named_parameters()]
    buffers = ["stem.1.running_mean", "stem.1.running_var", "stem.1.num_batches_tracked"]
    assert [name for name, _ in net.named_buffers()] == buffers
    assert len(list(net.buffers())) == 3


def test_a_shared_parameter_counts_once_and_gets_the_sum_of_its_gradients():
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    net[1].weight = net[0].weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight"]
    assert list(net.state_dict()) == ["0.weight", "1.weight"]
    x = np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32)
    cotangent = np.random.default_rng(2).normal(size=(2, 3)).astype(np.float32)
    net(mr.tensor(x)).backward(mr.tensor(cotangent))
    w = net[0].weight.numpy()
    expected = cotangent.T @ (x @ w.T) + (cotangent @ w).T @ x  # through the second use, and through the first
    np.testing.assert_allclose(net[0].weight.grad.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_names_and_order_equal_torch(torch):
    class Twin(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))
            conv, norm = torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.BatchNorm2d(2)
            self.stem = torch.nn.Sequential(conv, norm, torch.nn.ReLU())
            self.again = self.stem
            self.fc = torch.nn.Linear(2, 3)

    ours, theirs = Net(), Twin()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for walk in ("named_parameters", "named_buffers", "named_modules"):
        assert [name for name, _ in getattr(ours, walk)()] == [name for name, _ in getattr(theirs, walk)()]
    theirs.load_state_dict({name: torch.tensor(np.array(array)) for name, array in ours.state_dict().items()})
    ours.load_state_dict(theirs.state_dict())


def test_a_module_without_forward_says_so():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty has no forward"):
        Empty()(1)


def test_sequential():
    first, second = nn.Linear(2, 3), nn.ReLU()
    net = nn.Sequential(first, second, second)
    assert (len(net), net[0], net[-1], list(net)) == (3, first, second, [first, second, second])
    x = mr.tensor([[1.0, -2.0]])
    assert np.array_equal(net(x).numpy(), np.maximum(first(x).numpy(), 0))
    assert nn.Sequential()(x) is x


def test_repr():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding="same", groups=1, bias=False), nn.Sequential(nn.ReLU()), nn.Identity()
    )
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=same, bias=False)\n"
        "  (1): Sequential(\n"
        "    (0): ReLU()\n"
        "  )\n"
        "  (2): Identity()\n"
        ")"
    )


# -- what can be done to all of it ------------------------------------------------------------------------------------


class Frozen(nn.BatchNorm2d):
    """The usual way to keep the statistics of a pretrained network as they are."""

    def train(self, mode=True):
        return super().train(False)


def test_a_part_that_defines_train_itself_is_asked():
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(Frozen(3), nn.BatchNorm2d(3)))
    assert net.eval().train() is net
    assert [module.training for module in net.modules()] == [True, True, True, False, True]
    net(mr.randn(4, 3, 2, 2))
    assert not net[1][0].running_mean.numpy().any()
    assert net[1][1].running_mean.numpy().any()


def test_train_and_eval_reach_every_part():
    net = Net()
    assert all(module.training for module in net.modules())
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    net.train()
    assert all(module.training for module in net.modules())


def test_apply_goes_to_children_first(torch):
    seen = []
    net = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU()))
    assert net.apply(lambda module: seen.append(type(module).__name__)) is net
    theirs = []
    twin = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Sequential(torch.nn.ReLU()))
    twin.apply(lambda module: theirs.append(type(module).__name__))
    assert seen == theirs == ["Linear", "ReLU", "Sequential", "Sequential"]


def test_zero_grad_and_freezing():
    net = Net()
    net(images()).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    net.zero_grad()
    assert all(parameter.grad is None for parameter in net.parameters())
    net.stem.requires_grad_(False)
    net(images()).sum().backward()
    frozen = {name for name, parameter in net.named_parameters() if parameter.grad is None}
    assert frozen == {"stem.0.weight", "stem.0.bias", "stem.1.weight", "stem.1.bias"}


def test_to_another_dtype_takes_gradients_along_and_leaves_counts_alone():
    net = Net()
    net(images()).sum().backward()
    parameters, before = list(net.parameters()), net.fc.weight.grad.numpy()
    assert net.to(np.float64) is net
    assert all(a is b for a, b in zip(parameters, net.parameters(), strict=True))  # an optimiser still holds them
    assert {tensor.dtype.name for tensor in net.parameters()} == {"float64"}
    assert {parameter.grad.dtype.name for parameter in net.parameters()} == {"float64"}
    assert np.array_equal(net.fc.weight.grad.numpy(), before)
    dtypes = {name: buffer.dtype.name for name, buffer in net.named_buffers()}
    assert dtypes == {
        "stem.1.running_mean": "float64",
        "stem.1.running_var": "float64",
        "stem.1.num_batches_tracked": "int64",
    }
    net(mr.tensor(images().numpy().astype(np.float64))).sum().backward()
    assert net.to("cpu", np.float32).fc.weight.dtype == np.float32


def test_forward_hooks_see_and_replace_and_can_be_taken_back():
    layer, seen = nn.ReLU(), []

    def watch(module, inputs, output):
        seen.append((module, inputs[0].item(), output.item()))

    def double(module, inputs, output):
        return output * 2

    handles = [layer.register_forward_hook(hook) for hook in (double, watch, double)]
    x = mr.tensor([3.0])
    assert layer(x).item() == 12.0
    assert seen == [(layer, 3.0, 6.0)]
    handles[0].remove()
    handles[0].remove()  # the other `double` stays
    assert layer(x).item() == 6.0
    handles[1].remove()
    late = layer.register_forward_hook(double)
    handles[1].remove()
    assert layer(x).item() == 12.0
    late.remove()
    handles[2].remove()
    assert layer(x).item() == 3.0
    assert len(seen) == 2
    assert not layer.state_dict()


def test_a_hook_dies_with_its_module_without_the_garbage_collector():
    def hook(module, inputs, output):
        return None

    model, watched = nn.ReLU(), weakref.ref(hook)
    handle = model.register_forward_hook(hook)
    del hook, handle
    gc.disable()
    try:
        assert watched() is not None
        del model
        assert watched() is None
    finally:
        gc.enable()


def test_a_parameter_wants_an_array():
    with pytest.raises(DtypeError, match=r"needs an array or a Tensor, got a list; make one with minires\.tensor"):
        nn.Parameter([1.0, 2.0])


@pytest.mark.parametrize("dtype", [np.int64, "uint8", bool])
def test_weights_are_never_cut_to_integers(dtype):
    net = Net()
    before = contents(net)
    with pytest.raises(DtypeError, match=r"Net\.to: dtype .* cannot hold weights: use a floating-point dtype"):
        net.to(dtype)
    assert contents(net) == before


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_is_equal_and_separate(duplicate):
    net = Net()
    net(images()).sum().backward()
    twin = duplicate(net)
    assert contents(twin) == contents(net)
    assert twin.again is twin.stem
    before = contents(net)
    for parameter in twin.parameters():
        parameter.assign_(0.0)
    assert contents(net) == before
    assert np.array_equal(twin(images()).numpy(), np.zeros((2, 3), np.float32))


# -- its state --------------------------------------------------------------------------------------------------------


def test_a_state_dict_shares_memory_and_can_be_loaded():
    net = Net().eval()
    state = net.state_dict()
    net.fc.bias.assign_(7.0)
    assert np.array_equal(state["fc.bias"].numpy(), np.full(3, 7, np.float32))
    assert not any(tensor.requires_grad for tensor in state.values())
    other = Net().eval()
    assert other.load_state_dict(state) == nn.LoadResult([], [])
    assert contents(other) == contents(net)
    assert np.array_equal(other(images()).numpy(), net(images()).numpy())
    other.fc.bias.assign_(1.0)
    assert net.fc.bias.numpy()[0] == 7.0  # copied, not shared


def test_loading_casts_to_the_own_dtype():
    net = nn.Linear(2, 2)
    net.load_state_dict({"weight": np.eye(2), "bias": np.array([1, 2])})
    assert net.weight.dtype == net.bias.dtype == np.float32
    net.to(np.float64).load_state_dict({"weight": np.eye(2, dtype=np.float16), "bias": mr.tensor([1.0, 2.0])})
    assert net.weight.dtype == net.bias.dtype == np.float64
    assert net(mr.tensor(np.array([[3.0, 4.0]]))).tolist() == [[4.0, 6.0]]


def spoilt(change):
    state = {name: np.array(tensor) + 1 for name, tensor in Net().state_dict().items()}
    change(state)
    return state


def test_everything_that_does_not_fit_is_told_at_once_and_nothing_changes():
    def change(state):
        del state["scale"], state["stem.0.bias"]
        state["epoch"], state["head.weight"] = np.array(3), np.ones(2)
        state["fc.weight"], state["stem.1.bias"] = np.ones((5, 2)), np.ones(())

    net = Net()
    before = contents(net)
    with pytest.raises(WeightsError) as caught:
        net.load_state_dict(spoilt(change))
    message = str(caught.value)
    assert "do not fit Net, and nothing was loaded" in message
    assert "fc.weight: (5, 2) in the checkpoint, (3, 2) in the model" in message
    assert "stem.1.bias: () in the checkpoint, (2,) in the model" in message
    assert "missing (3): scale, stem.0.bias, again.0.bias" not in message  # again.0.bias was given
    assert "missing (2): scale, stem.0.bias;" in message
    assert "unexpected (2): epoch, head.weight." in message
    assert contents(net) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.update({"fc.weight": np.ones((2, 3))}), r"fc.weight: \(2, 3\) in the checkpoint"),
        (lambda state: state.update({"fc.bias": np.array(["a", "b", "c"])}), "fc.bias cannot be loaded"),
        (lambda state: state.update({"stem.1.num_batches_tracked": "many"}), "num_batches_tracked cannot be loaded"),
        (lambda state: state.update({"scale": 3.0}), r"scale: \(\) in the checkpoint, \(1,\)"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_what_cannot_be_copied_changes_nothing(change, message, strict):
    net = Net()
    before = contents(net)
    with pytest.raises(WeightsError, match=message):
        net.load_state_dict(spoilt(change), strict=strict)
    assert contents(net) == before


def test_not_strict_loads_what_fits_and_reports_the_rest():
    def change(state):
        del state["scale"]
        state["epoch"] = 3

    net = Net()
    state = spoilt(change)
    assert net.load_state_dict(state, strict=False) == nn.LoadResult(["scale"], ["epoch"])
    assert net.scale.item() == 1.0
    assert np.array_equal(net.fc.weight.numpy(), state["fc.weight"])


def test_old_checkpoints_may_lack_num_batches_tracked():
    net = Net()
    net.stem[1].num_batches_tracked.assign_(5)
    state = spoilt(lambda state: [state.pop(name) for name in list(state) if name.endswith("num_batches_tracked")])
    assert net.load_state_dict(state) == nn.LoadResult([], [])
    assert net.stem[1].num_batches_tracked.item() == 5


def test_a_scalar_may_be_a_number():
    state = spoilt(lambda state: state.update({"stem.1.num_batches_tracked": 9, "again.1.num_batches_tracked": 9}))
    net = Net()
    net.load_state_dict(state)
    assert net.stem[1].num_batches_tracked.item() == 9


def test_aliases_find_each_other():
    state = spoilt(
        lambda state: state.update({f"linear.{kind}": state.pop(f"fc.{kind}") for kind in ("weight", "bias")})
    )
    net = Net()
    net.load_state_dict(state)
    assert np.array_equal(net.fc.weight.numpy(), state["linear.weight"])


def test_an_alias_beside_the_name_itself_is_one_too_many():
    net = Net()
    before = contents(net)
    with pytest.raises(WeightsError, match=r"unexpected \(1\): linear.bias"):
        net.load_state_dict(spoilt(lambda state: state.update({"linear.bias": np.zeros(3)})))
    assert contents(net) == before


def test_torch_tensors_are_taken_and_one_with_a_graph_is_refused_whole(torch):
    net = nn.Linear(2, 2)
    net.load_state_dict({"weight": torch.eye(2), "bias": torch.ones(2)})
    assert net(mr.tensor([[1.0, 2.0]])).tolist() == [[2.0, 3.0]]
    before = contents(net)
    with pytest.raises(WeightsError, match="bias cannot be loaded, and nothing was: Can't call numpy"):
        net.load_state_dict({"weight": torch.zeros(2, 2), "bias": torch.nn.Parameter(torch.ones(2))})
    assert contents(net) == before


def test_loading_beside_a_live_graph_leaves_its_numbers_alone():
    net = nn.Linear(2, 2)
    x = mr.tensor([[1.0, 2.0]], requires_grad=True)
    y = net(x)
    was = y.tolist()
    net.load_state_dict({"weight": np.zeros((2, 2)), "bias": np.zeros(2)})
    assert y.tolist() == was
    assert net(x).tolist() == [[0.0, 0.0]]


def test_two_names_of_one_tensor_must_agree():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight
    net.load_state_dict({"0.weight": np.eye(2), "1.weight": np.eye(2)})
    before = contents(net)
    with pytest.raises(WeightsError, match=r"1\.weight and 0\.weight are one tensor in Sequential"):
        net.load_state_dict({"0.weight": np.ones((2, 2)), "1.weight": np.zeros((2, 2))})
    assert contents(net) == before
    net.load_state_dict({"0.weight": np.full((2, 2), np.nan), "1.weight": np.full((2, 2), np.nan)})


@pytest.mark.parametrize("given", ["weights.pth", None, [("weight", np.eye(2))]])
def test_a_state_dict_is_a_mapping(given):
    with pytest.raises(TypeError, match=r"load_state_dict: needs \{name: array\}.*weights\.load"):
        nn.Linear(2, 2).load_state_dict(given)


def test_complex_weights_are_not_cut_to_their_real_part():
    net = nn.Linear(2, 2, bias=False)
    with pytest.raises(WeightsError, match="weight cannot be loaded, and nothing was: it is complex"):
        net.load_state_dict({"weight": np.eye(2) * 1j})


# -- what may be assigned ---------------------------------------------------------------------------------------------


def test_a_parameter_does_not_cease_to_be_one():
    layer = nn.Linear(2, 3)
    weight = layer.weight
    for value in (mr.zeros(3, 2), np.zeros((3, 2), np.float32), 0.0, nn.ReLU(), nn.Buffer(np.zeros(3))):
        with pytest.raises(TypeError, match=r"Linear\.weight is a parameter, .* assign an nn\.Parameter or None"):
            layer.weight = value
    assert layer.weight is weight
    other = nn.Parameter(np.zeros((3, 2), np.float32))
    layer.weight = other
    assert next(layer.parameters()) is other
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    with pytest.raises(TypeError, match=r"Linear\.bias is a parameter"):
        layer.bias = mr.zeros(3)
    layer.bias = nn.Parameter(np.ones(3, np.float32))
    assert layer(mr.zeros(1, 2)).tolist() == [[1.0, 1.0, 1.0]]
    del layer.bias
    layer.bias = mr.zeros(3)  # after del the name is free, as in torch
    assert list(layer.state_dict()) == ["weight"]


@pytest.mark.parametrize("layer", [nn.Linear(2, 3, bias=False), nn.Conv2d(2, 3, 1, bias=False)])
def test_a_layer_without_bias_gets_one_only_as_a_parameter(layer):
    with pytest.raises(TypeError, match="bias is a parameter"):
        layer.bias = mr.zeros(3)
    layer.bias = nn.Parameter(np.zeros(3, np.float32))
    assert list(layer.state_dict()) == ["weight", "bias"]


def test_a_buffer_stays_one_and_takes_tensors():
    norm = nn.BatchNorm2d(2)
    values = mr.tensor([1.0, 2.0])
    norm.running_mean = values
    assert isinstance(norm.running_mean, nn.Buffer)
    assert norm.state_dict()["running_mean"].tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match=r"BatchNorm2d\.running_mean is a buffer, and a ndarray .* minires\.tensor"):
        norm.running_mean = np.zeros(2)
    with pytest.raises(TypeError, match=r"is a buffer, which has no gradient: assign running_mean\.detach\(\)"):
        norm.running_mean = norm.weight * 2
    norm.running_mean = None
    norm.running_mean = values
    assert "running_mean" in dict(norm.named_buffers())


def test_a_buffer_says_whether_it_is_saved(torch):
    for library, tensor in ((nn, mr.tensor), (torch.nn, torch.tensor)):
        net = library.Module()
        net.kept = library.Buffer(tensor([1.0]))
        net.passing = library.Buffer(tensor([1.0]), persistent=False)
        net.register_buffer("later", None, persistent=False)
        assert list(net.state_dict()) == ["kept"]
        assert [name for name, _ in net.named_buffers()] == ["kept", "passing"]
        net.passing = net.later = tensor([3.0])  # a Tensor takes the place as it is
        assert list(net.state_dict()) == ["kept"]
        net.passing, net.kept = library.Buffer(tensor([2.0])), library.Buffer(tensor([2.0]), persistent=False)
        assert list(net.state_dict()) == ["passing"]
        assert list(copy.deepcopy(net).state_dict()) == ["passing"]


def test_a_parameter_says_that_it_is_one(torch):
    for library, tensor in ((nn, mr.tensor), (torch.nn, torch.tensor)):
        first, second = repr(library.Parameter(tensor([1.5]))).splitlines()
        assert first == "Parameter containing:"
        assert second.endswith(", requires_grad=True)")
        assert not isinstance(library.Parameter(tensor([1.5])) * 1, library.Parameter)


def test_a_module_stays_one():
    net = Net()
    for value in (lambda x: x, mr.zeros(1), "relu"):
        with pytest.raises(TypeError, match=r"Net\.fc is a module"):
            net.fc = value
    net.fc = nn.Identity()
    net.fc = None
    assert [name for name, _ in net.named_children()] == ["stem"]


def test_registering_by_name():
    net = nn.Module()
    net.register_parameter("w", nn.Parameter(np.ones(2, np.float32)))
    net.register_buffer("kept", mr.zeros(1))
    net.register_buffer("passing", mr.zeros(3), persistent=False)
    net.register_parameter("later", None)
    net.add_module("0", nn.Linear(1, 1))
    assert list(net.state_dict()) == ["w", "kept", "0.weight", "0.bias"]
    assert [name for name, _ in net.named_buffers()] == ["kept", "passing"]
    assert net.to(np.float64).passing.dtype == np.float64
    net.load_state_dict(net.state_dict())
    with pytest.raises(TypeError, match="later is a parameter"):
        net.later = mr.zeros(2)
    net.passing = mr.ones(3)
    assert list(net.state_dict()) == ["w", "kept", "0.weight", "0.bias"]  # still not persistent


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda net: net.register_parameter("w", mr.zeros(1)), TypeError, r"a parameter is an nn\.Parameter or None"),
        (lambda net: net.register_buffer("b", np.zeros(1)), TypeError, "'b' must be a Tensor or None"),
        (lambda net: net.register_buffer("b", net.fc.weight * 2), TypeError, "requires a gradient"),
        (lambda net: net.register_parameter("a.b", None), KeyError, "dots separate"),
        (lambda net: net.register_buffer("", None), KeyError, "cannot be called ''"),
        (lambda net: net.register_buffer("forward", None), KeyError, "there is an attribute of that name"),
        (lambda net: net.add_module("note", nn.ReLU()), KeyError, "there is an attribute of that name"),
        (lambda net: net.add_module(3, nn.ReLU()), TypeError, "needs a name of type str, got 3"),
    ],
)
def test_registering_what_cannot_be(wrong, error, message):
    with pytest.raises(error, match=message):
        wrong(Net())


def test_parts_by_their_dotted_names():
    net = Net()
    assert net.get_submodule("") is net
    assert net.get_submodule("stem.1") is net.stem[1]
    assert net.get_parameter("stem.0.weight") is net.stem[0].weight
    assert net.get_buffer("stem.1.running_var") is net.stem[1].running_var
    for method, name in ((net.get_submodule, "stem.7"), (net.get_parameter, "stem.1.running_var"),
                         (net.get_buffer, "fc.weight"), (net.get_submodule, "note")):  # fmt: skip
        with pytest.raises(AttributeError, match=f"Net has no .* '{name}'"):
            method(name)


def test_a_mode_is_true_or_false():
    with pytest.raises(ValueError, match="mode 'eval' must be True or False"):
        Net().train("eval")


# -- layers where they are not found ----------------------------------------------------------------------------------


class Hidden(nn.Module):
    def __init__(self, value):
        self.parts = value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([nn.Linear(1, 1)], r"Hidden\.parts is not trained, saved.* a list that holds a Linear\. Use nn\.ModuleList"),
        ((nn.Dropout(),), r"a tuple that holds a Dropout\. Use nn\.ModuleList"),
        ({"a": nn.ReLU()}, r"a dict that holds a ReLU\. Use nn\.ModuleDict"),
        ([nn.Parameter(np.ones(1, np.float32))], r"holds a Parameter\. Use nn\.ParameterList"),
        (mr.ones(2, requires_grad=True), r"is a Tensor that requires a gradient, and no Parameter\. Use nn\.Parameter"),
        ({"deep": [(nn.ReLU(),)]}, r"a dict that holds a ReLU"),
        (deque([nn.ReLU()]), r"a deque that holds a ReLU\. Use nn\.ModuleList"),
    ],
)
@pytest.mark.parametrize(
    "notice", [lambda net: list(net.parameters()), nn.Module.state_dict, nn.Module.eval, nn.Module.to]
)
def test_layers_in_a_plain_container_are_told_once(value, message, notice):
    outer = nn.Sequential(Hidden(value))
    with pytest.warns(UserWarning, match=message) as caught:
        notice(outer)
    assert len(caught) == 1
    list(outer.parameters())  # a second warning would be an error here


def test_layers_appended_later_are_told_too():
    net = Hidden([])
    assert list(net.parameters()) == []
    net.parts.append(nn.Linear(1, 1))
    with pytest.warns(UserWarning, match=r"Hidden\.parts .* is a list"):
        list(net.parameters())


def test_a_second_way_to_parts_of_the_network_is_no_mistake():
    net = Net()
    net.order, net.hooked = [net.stem, net.fc], [net.fc.weight, 1, "a"]
    net.register_forward_hook(nn.Identity())
    list(net.parameters())
    net.eval()


class OfTheClass(nn.Module):
    fc = nn.Linear(1, 1)
    eps = mr.ones(1)


def test_a_layer_of_the_class_is_told():
    with pytest.warns(
        UserWarning, match=r"OfTheClass\.fc is not trained.* belongs to the class\. Assign it in __init__"
    ):
        assert list(OfTheClass().parameters()) == []
    net = OfTheClass()
    net.kept = mr.ones(2)  # without a gradient, and results of operations, are no mistake
    net.last = nn.Parameter(np.ones(1)) * 2
    with pytest.warns(UserWarning, match=r"OfTheClass\.fc") as caught:
        net.eval()
    assert len(caught) == 1


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "model.backbone."])
def test_a_prefix_of_the_checkpoint_is_named_with_the_call_that_strips_it(prefix):
    net = Net()
    call = rf"its names begin with '{prefix}': load_state_dict\(weights.strip_prefix\(state_dict, '{prefix}'\)\)$"
    arrays = {prefix + name: array for name, array in spoilt(lambda state: None).items()}
    with pytest.raises(WeightsError, match=call):
        net.load_state_dict(arrays)
    arrays["head.weight"] = arrays.pop(prefix + "fc.weight")  # a part of the names is enough
    with pytest.raises(WeightsError, match=call):
        net.load_state_dict(arrays)
    net.load_state_dict(mr.weights.strip_prefix({prefix + k: v for k, v in spoilt(lambda s: None).items()}, prefix))


def test_a_prefix_of_the_module_is_named_with_the_part_to_load():
    class Wrapped(nn.Module):
        def __init__(self):
            self.backbone = Net()

    with pytest.raises(
        WeightsError, match=r"begin with 'backbone.', .*: model.backbone.load_state_dict\(state_dict\)$"
    ):
        Wrapped().load_state_dict(Net().state_dict())


def test_other_names_get_no_hint_of_a_prefix():
    with pytest.raises(WeightsError, match="Is it a checkpoint of another model"):
        Net().load_state_dict({"weight": np.zeros(3), "x.y": np.zeros(1)})


@pytest.mark.parametrize("suffix", [".pth", ".npz", ".safetensors"])
@pytest.mark.parametrize("child", ["module", "_orig_mod"])
def test_a_child_with_the_name_of_a_wrapper_survives_a_file(suffix, child, tmp_path):
    def net():
        parent = nn.Module()
        parent.add_module(child, nn.Linear(2, 3))
        return parent

    saved, loaded = net(), net()
    weights.save(tmp_path / f"net{suffix}", saved.state_dict())
    loaded.load_state_dict(weights.load(tmp_path / f"net{suffix}"))
    for name, tensor in saved.state_dict().items():
        np.testing.assert_array_equal(loaded.state_dict()[name].numpy(), tensor.numpy())


def test_methods_that_change_a_module_return_it():
    module = nn.Linear(2, 3)
    for changed in (
        module.requires_grad_(False),
        module.requires_grad_(),
        module.train(),
        module.eval(),
        module.to("cpu"),
        module.apply(lambda each: None),
    ):
        assert changed is module
