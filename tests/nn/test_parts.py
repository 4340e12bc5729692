"""The parts of a module as torch finds them: walks with prefixes and duplicates, names, and what is not there."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import minires as mr
from minires import nn


def build(library, tensor):
    """Shared modules and parameters, buffers of both kinds, parts that are None, a child named by a number."""

    class Net(library.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("early", tensor([1.0]))
            self.first = library.Linear(2, 2)
            self.again = self.first
            self.norm = library.BatchNorm1d(2)
            self.tied = library.Linear(2, 2, bias=False)
            self.tied.weight = self.first.weight
            self.register_parameter("nothing", None)
            self.register_module("absent", None)
            self.register_buffer("empty", None)
            self.register_buffer("passing", tensor([2.0]), persistent=False)
            self.scale = library.Parameter(tensor([1.0]))
            self.add_module("0", library.ReLU())

    return Net()


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"bias": False}, {"track_running_stats": False}])
@pytest.mark.parametrize("kind", ["BatchNorm1d", "BatchNorm2d", "InstanceNorm2d"])
def test_a_norm_layer_is_reset_as_in_torch(kind, options, torch):
    layers = [
        getattr(library, kind)(3, **({"affine": True, "track_running_stats": True} | options))
        for library in (nn, torch.nn)
    ]
    x = np.random.default_rng(0).normal(3, 2, (4, 3) if kind.endswith("1d") else (4, 3, 2, 2)).astype(np.float32)
    for layer, library in zip(layers, (mr, torch), strict=True):
        layer(library.tensor(x))
        with library.no_grad():
            for parameter in layer.parameters():
                parameter += 5
    for method in ("reset_running_stats", "reset_parameters"):
        for layer in layers:
            getattr(layer, method)()
        ours, theirs = ([(name, each.tolist()) for name, each in layer.state_dict().items()] for layer in layers)
        assert ours == theirs


def test_layers_that_torch_resets_are_reset(torch):
    """`if hasattr(layer, "reset_parameters"): layer.reset_parameters()` must not leave out a layer."""
    missing = [
        name
        for name in nn.__all__
        if hasattr(getattr(torch.nn, name, None), "reset_parameters")
        and not hasattr(getattr(nn, name), "reset_parameters")
    ]
    assert missing == []
    layers = [nn.Conv1d(2, 3, 3), nn.Conv2d(2, 3, 3, groups=1, bias=False), nn.ConvTranspose2d(2, 3, 3), nn.PReLU(2)]
    layers += [nn.GroupNorm(1, 2), nn.LayerNorm((2, 3), bias=False), nn.LayerNorm(3), nn.RMSNorm(3), nn.Linear(2, 3)]
    for layer in layers:
        mr.manual_seed(7)
        layer.reset_parameters()
        expected = {name: each.tolist() for name, each in layer.state_dict().items()}
        for parameter in layer.parameters():
            parameter.assign_(5.0)
        mr.manual_seed(7)
        layer.reset_parameters()
        assert {name: each.tolist() for name, each in layer.state_dict().items()} == expected
        assert all(5.0 not in each.numpy() for each in layer.parameters())


def test_a_constructor_calls_reset_parameters_as_torchs_does():
    """A layer that starts with other numbers overrides it."""
    for kind, arguments in (
        (nn.Conv2d, (1, 1, 1)),
        (nn.BatchNorm2d, (1,)),
        (nn.GroupNorm, (1, 1)),
        (nn.LayerNorm, (1,)),
    ):
        own = type("Own", (kind,), {"reset_parameters": lambda self: self.weight.assign_(0.125)})
        assert own(*arguments).weight.numpy().ravel().tolist() == [0.125]


@pytest.fixture
def both(torch):
    return build(nn, mr.tensor), build(torch.nn, torch.tensor)


WALKS = [
    ("named_children", {}),
    ("named_modules", {}),
    ("named_modules", {"prefix": "net"}),
    ("named_modules", {"remove_duplicate": False}),
    ("named_parameters", {}),
    ("named_parameters", {"prefix": "net"}),
    ("named_parameters", {"recurse": False}),
    ("named_parameters", {"prefix": "net", "recurse": False}),
    ("named_parameters", {"remove_duplicate": False}),
    ("named_buffers", {}),
    ("named_buffers", {"recurse": False, "prefix": "net"}),
    ("named_buffers", {"remove_duplicate": False}),
]


@pytest.mark.parametrize(("walk", "options"), WALKS)
def test_walks_find_what_torch_finds(both, walk, options):
    ours, theirs = ([name for name, _ in getattr(net, walk)(**options)] for net in both)
    assert ours == theirs


def test_walks_without_names(both):
    for walk, options in (("parameters", {"recurse": False}), ("buffers", {"recurse": False}), ("children", {})):
        ours, theirs = (len(list(getattr(net, walk)(**options))) for net in both)
        assert ours == theirs


def test_a_memo_leaves_out_and_remembers(both):
    found = []
    for net in both:
        memo = {net.norm}
        found.append([name for name, _ in net.named_modules(memo, "p")])
        assert {net, net.first, net.norm, net.tied} <= memo
    assert found[0] == found[1]


def test_a_layer_used_twice_in_a_sequence_runs_twice(torch):
    for library, tensor in ((nn, mr.tensor), (torch.nn, torch.tensor)):

        class Double(library.Module):
            def forward(self, x):
                return x * 2

        double = Double()
        net = library.Sequential(double, double)
        assert float(net(tensor([1.0]))) == 4.0
        assert (len(net), len(list(net.children()))) == (2, 1)
        assert repr(net).count("Double()") == 2


def test_set_submodule_replaces_and_adds(both, torch):
    for net, library in zip(both, (nn, torch.nn), strict=True):
        net.set_submodule("first", library.Sequential(library.ReLU()))
        net.set_submodule("first.0", library.Tanh())
        net.set_submodule("first.new", library.Sigmoid())
        assert [type(module).__name__ for module in net.first.children()] == ["Tanh", "Sigmoid"]
        for target, options in (("first.none", {"strict": True}), ("nowhere.a", {}), ("early.a", {})):
            with pytest.raises(AttributeError):
                net.set_submodule(target, library.ReLU(), **options)
        with pytest.raises(ValueError, match=r"empty|without a target"):
            net.set_submodule("", library.ReLU())


def test_parts_by_name_and_their_errors(both):
    for net in both:
        assert net.get_parameter("scale") is net.scale
        assert net.get_buffer("norm.running_mean") is net.norm.running_mean
        assert net.get_submodule("norm") is net.norm
        for target in ("absent", "first.x.y", "early"):
            with pytest.raises(AttributeError):
                net.get_submodule(target)
        for target in ("nothing", "early", "absent.weight"):
            with pytest.raises(AttributeError):
                net.get_parameter(target)
        with pytest.raises(AttributeError):
            net.get_buffer("scale")


# -- buffers that are None --------------------------------------------------------------------------------------------


def test_none_in_place_of_a_buffer_as_in_torch(torch):
    """It is neither saved nor wanted, keeps its place and its name, and a Tensor there is a buffer again."""
    for library, tensor in ((nn, mr.tensor), (torch.nn, torch.tensor)):
        norm = library.BatchNorm1d(2)
        norm.running_mean = None
        assert norm.running_mean is None
        assert [name for name, _ in norm.named_buffers()] == ["running_var", "num_batches_tracked"]
        assert list(norm.state_dict()) == ["weight", "bias", "running_var", "num_batches_tracked"]
        norm.load_state_dict(norm.state_dict())
        twin = pickle.loads(pickle.dumps(copy.deepcopy(norm)))
        assert list(twin.state_dict()) == list(norm.state_dict())
        twin.running_mean = tensor([1.0, 2.0])
        names = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
        assert list(twin.state_dict()) == names
        with pytest.raises(TypeError):
            twin.running_mean = 3.0


def test_a_name_that_was_deleted_is_free(both, torch):
    for net, library in zip(both, (mr, torch), strict=True):
        del net.passing
        assert not hasattr(net, "passing")
        net.passing = 3
        del net.passing
        net.register_buffer("passing", library.ones(1))
        assert "passing" in net.state_dict()  # persistent, though its predecessor was not


# -- what is not there ------------------------------------------------------------------------------------------------


def test_a_missing_attribute_names_the_nearest_one():
    layer = nn.Linear(2, 3)
    for wrong, nearest in (("wieght", "weight"), ("in_feature", "in_features"), ("zero_grads", "zero_grad")):
        with pytest.raises(AttributeError) as caught:
            getattr(layer, wrong)
        assert str(caught.value) == f"'Linear' object has no attribute '{wrong}'; the nearest is '{nearest}'"
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(AttributeError, match=r"'Linear' object has no attribute 'qqq'$"):
        _ = layer.qqq
    assert not hasattr(layer, "wieght")
    assert getattr(layer, "wieght", 1) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("share_memory", r"model\.state_dict\(\)"),
        ("compile", r"minires\.inference\.compile"),
        ("register_backward_hook", "register_full_backward_hook"),
        ("_parameters", r"named_parameters\(recurse=False\)"),
    ],
)
def test_what_only_torch_has_says_what_to_write(name, message):
    with pytest.raises(AttributeError, match=message):
        getattr(nn.ReLU(), name)


def test_an_error_within_a_property_is_not_hidden():
    class Sub(nn.Module):
        @property
        def broken(self):
            return self.child.wieght

    module = Sub()
    module.child = nn.Linear(1, 1)
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'wieght'; the nearest is 'weight'"):
        _ = module.broken


def test_dir_lists_what_can_be_written():
    net = nn.Sequential(nn.ReLU())
    net.note = 1
    assert {"note", "append", "training"} <= set(dir(net))
    assert "0" not in dir(net)


# -- changes to all parts ---------------------------------------------------------------------------------------------


def test_casts(torch):
    for name, dtype in (("half", "float16"), ("double", "float64"), ("float", "float32")):
        ours, theirs = build(nn, mr.tensor), build(torch.nn, torch.tensor)
        assert getattr(ours, name)() is ours
        getattr(theirs, name)()
        dtypes = [str(tensor.dtype) for tensor in (*ours.parameters(), *ours.buffers())]
        assert dtypes == [str(t.dtype).removeprefix("torch.") for t in (*theirs.parameters(), *theirs.buffers())]
        assert dtypes[0] == dtype
    ours.to(mr.zeros(1, dtype=np.float64), non_blocking=True)
    assert ours.scale.dtype == np.float64
    assert ours.to(np.float32, non_blocking=True).to(dtype=np.float64, device="cpu").scale.dtype == np.float64
    with pytest.raises(ValueError, match="changed in place"):
        ours.to(np.float32, copy=True)
    with pytest.raises(TypeError, match="there is no argument 'dtyp'"):
        ours.to(dtyp=np.float32)
    assert ours.type(np.float32).cpu().scale.dtype == np.float32
    with pytest.raises(mr.errors.DeviceError):
        ours.cuda(1)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad(torch, set_to_none):
    for library, tensor in ((nn, mr.tensor), (torch.nn, torch.tensor)):
        layer = library.Linear(2, 1)
        layer.bias.requires_grad_(False)
        layer(tensor([[1.0, 2.0]])).sum().backward()
        gradient = layer.weight.grad
        layer.zero_grad(set_to_none)
        assert layer.bias.grad is None
        if set_to_none:
            assert layer.weight.grad is None
            assert gradient.tolist() == [[1.0, 2.0]]
        else:
            assert layer.weight.grad is gradient
            assert gradient.tolist() == [[0.0, 0.0]]


def test_zero_grad_of_a_gradient_with_a_graph():
    layer = nn.Linear(2, 1)
    (layer(mr.ones(1, 2)) ** 2).sum().backward(create_graph=True)
    layer.zero_grad(False)
    assert layer.weight.grad.tolist() == [[0.0, 0.0]]
    assert layer.weight.grad.node is None


def test_setstate_updates_the_attributes():
    class Old(nn.Linear):
        def __setstate__(self, state):
            super().__setstate__(state | {"note": "old"})

    twin = copy.deepcopy(Old(1, 1))
    assert twin.note == "old"
    assert list(twin.state_dict()) == ["weight", "bias"]


def test_repr_with_text_of_several_lines_and_children(torch):
    def made(library):
        class Net(library.Module):
            def extra_repr(self):
                return "first=1,\nsecond=2"

        net = Net()
        plain = repr(net)
        net.child = library.Sequential(library.ReLU())
        return plain, repr(net)

    assert made(nn) == made(torch.nn)
