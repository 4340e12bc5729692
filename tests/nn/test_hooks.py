"""Hooks of modules: what they are called with, when, and what they may replace, as in torch."""

from __future__ import annotations

import copy
import gc
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import nn


class TwoInTwoOut(nn.Module):
    """(x, y) -> (x·y + x, 3y), so that both outputs depend on y, and one on x."""

    def forward(self, x, y, scale=3.0):
        return x * y + x, y * scale


def doubled(gradients):
    return tuple(None if g is None else g * 2 for g in gradients)


# -- forward hooks ----------------------------------------------------------------------------------------------------


def calls(library, tensor, module):
    """What a program with all kinds of forward hooks sees, in order."""
    seen = []

    def note(name, replace=None):
        def hook(*arguments):
            shown = [float(x[0]) if isinstance(x, tuple) and x else float(x) for x in arguments[1:] if x != {}]
            seen.append((name, shown))
            return replace(*arguments) if replace else None

        return hook

    def pre_with_kwargs(module, args, kwargs):
        seen.append(("kwargs", sorted(kwargs)))
        return args, {"scale": kwargs.get("scale", 1.0) * 10}

    module.register_forward_pre_hook(note("pre", lambda m, args: args[0] + 1))
    module.register_forward_pre_hook(note("first", lambda m, args: (args[0] * 2,)), prepend=True)
    module.register_forward_pre_hook(pre_with_kwargs, with_kwargs=True)
    module.register_forward_hook(note("post", lambda m, args, output: output + 0.5))
    handle = module.register_forward_hook(note("post first"), prepend=True)
    module.register_forward_hook(lambda m, args, kwargs, output: output * kwargs["scale"], with_kwargs=True)
    seen.append(float(module(tensor([3.0]), scale=4.0)))
    handle.remove()
    with module.register_forward_hook(note("within")):
        seen.append(float(module(tensor([1.0]))))
    seen.append(float(module(tensor([1.0]))))
    return seen


def test_forward_hooks_are_called_as_in_torch(torch):
    def scaled(library):
        class Scaled(library.Module):
            def forward(self, x, scale=1.0):
                return x * scale

        return Scaled()

    assert calls(nn, mr.tensor, scaled(nn)) == calls(torch.nn, torch.tensor, scaled(torch.nn))


def test_what_a_pre_hook_returns_is_checked():
    layer = nn.ReLU()
    layer.register_forward_pre_hook(lambda module, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match=r"must return None or \(args, kwargs\)"):
        layer(mr.ones(1))
    for register in (layer.register_forward_pre_hook, layer.register_forward_hook, layer.register_full_backward_hook):
        with pytest.raises(TypeError, match="a hook must be a function, got a str"):
            register("print")


@pytest.mark.parametrize("where", ["forward", "hook"])
def test_a_hook_that_is_always_called_sees_an_error(where):
    class Failing(nn.Module):
        def forward(self, x):
            if where == "forward":
                raise ValueError("no")
            return x

    def fails(module, args, output):
        raise ValueError("no")

    module, seen = Failing(), []
    module.register_forward_hook(lambda m, args, output: seen.append("usual"))
    if where == "hook":
        module.register_forward_hook(fails)
    module.register_forward_hook(lambda m, args, output: seen.append("after"))
    module.register_forward_hook(lambda m, args, output: seen.append(output), always_call=True)
    with pytest.raises(ValueError, match="no"):
        module(7)
    assert seen == ([None] if where == "forward" else ["usual", 7])
    module.register_forward_hook(lambda m, args, output: 1 / 0, always_call=True)
    with (
        pytest.warns(UserWarning, match="always_call=True.* raised ZeroDivisionError"),
        pytest.raises(ValueError, match="no"),
    ):
        module(7)


# -- backward hooks ---------------------------------------------------------------------------------------------------


def gradients_seen(library, tensor, to_numpy, grad, replace):
    """What backward hooks of a module with two inputs and two outputs see, and the gradients that come of it."""
    seen = []

    class Module(library.Module):
        def forward(self, x, y, note=None):
            return x * y + x, y * 3.0, "text"

    def shown(gradients):
        return [None if g is None else to_numpy(g).tolist() for g in gradients]

    def pre(module, grad_output):
        seen.append(("pre", shown(grad_output)))
        return doubled(grad_output) if replace else None

    def hook(module, grad_input, grad_output):
        seen.append(("hook", shown(grad_input), shown(grad_output)))
        return doubled(grad_input) if replace else None

    module = Module()
    module.register_full_backward_pre_hook(pre)
    module.register_full_backward_hook(hook)
    module.register_full_backward_hook(lambda m, gi, go: seen.append("first"), prepend=True)
    x, y = tensor([2.0, 5.0], requires_grad=True), tensor([3.0, 7.0], requires_grad=True)
    for leaves in ((x, y), (x,), (y,)):
        a, b, text = module(x * 1.0, y * 1.0, "note")
        seen.append(text)
        found = grad([a, b], list(leaves), [tensor([1.0, -2.0]), tensor([0.5, 4.0])])
        seen.append([to_numpy(g).tolist() for g in found])
    a, b, _ = module(x.detach(), y.detach())
    assert not a.requires_grad
    return seen


@pytest.mark.parametrize("replace", [False, True])
def test_backward_hooks_see_all_gradients_at_once_and_may_replace_them(torch, replace):
    ours = gradients_seen(nn, mr.tensor, lambda x: x.detach().numpy(), mr.grad, replace)
    theirs = gradients_seen(torch.nn, torch.tensor, lambda x: x.detach().numpy(), torch.autograd.grad, replace)
    assert ours == theirs
    assert sum(each == "first" for each in ours) == 3


def test_what_has_no_gradient_is_none():
    module, seen = TwoInTwoOut(), []
    module.register_full_backward_hook(lambda module, *gradients: seen.append(gradients))
    x, y = mr.tensor([2.0], requires_grad=True), mr.tensor([3.0], requires_grad=True)
    module(x, y)[1].backward()
    ((grad_input, grad_output),) = seen
    assert (grad_input[0], grad_output[0]) == (None, None)  # the first output was not used, nor x in the second
    assert (grad_input[1].tolist(), grad_output[1].tolist()) == ([3.0], [1.0])


def test_a_module_whose_inputs_require_no_gradient_shows_those_of_its_outputs():
    layer, seen = nn.Linear(2, 1), []
    layer.register_full_backward_hook(lambda module, gi, go: seen.append((gi, go[0].tolist())))
    layer(mr.ones(1, 2)).backward(mr.tensor([[5.0]]))
    assert seen == [((None,), [[5.0]])]
    assert layer.weight.grad.tolist() == [[5.0, 5.0]]
    layer.register_full_backward_hook(lambda module, gi, go: (mr.ones(1, 2),))
    with pytest.raises(RuntimeError, match="none of its inputs requires one"):
        layer(mr.ones(1, 2)).backward(mr.tensor([[5.0]]))


def test_grad_cam_with_hooks():
    """The usual program: activations and gradients of one layer, while the input requires none."""
    mr.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    kept = {}
    net[0].register_forward_hook(lambda m, args, output: kept.update(activation=output.detach().clone()))
    net[1].register_full_backward_hook(lambda m, gi, go: kept.update(gradient=go[0]))
    image = mr.randn(1, 1, 4, 4)
    net(image)[0, 1].backward()
    hidden = F.relu(kept["activation"]).detach().requires_grad_(True)
    expected = mr.grad(net[3](net[2](hidden))[0, 1], hidden)[0]
    np.testing.assert_allclose(kept["gradient"].numpy(), expected.numpy(), rtol=1e-6)


def test_a_hook_sees_the_gradient_through_its_layer_alone_where_the_input_has_other_consumers(torch):
    """In float32 a convolution adds to its input's gradient what others have sent: no hook may see that as its own."""
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(2, 2, 4, 5, 5)).astype(np.float32)
    weight, found = rng.normal(size=(4, 4, 3, 3)).astype(np.float32), []
    for library, layers, tensor in ((mr, nn, mr.tensor), (torch, torch.nn, torch.tensor)):
        conv, seen = layers.Conv2d(4, 4, 3, padding=1, bias=False), []
        with library.no_grad():
            conv.weight.copy_(tensor(weight))
        conv.register_full_backward_hook(lambda module, gi, go, seen=seen: seen.append(gi[0].detach()))
        given = tensor(x, requires_grad=True)
        hidden = given * 2.0
        hidden.register_hook(lambda gradient, seen=seen: seen.append(gradient.detach()))
        (conv(hidden) + hidden).backward(tensor(g))
        found.append([np.asarray(each) for each in (*seen, given.grad)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_change_in_place_behind_a_backward_hook_is_refused_as_in_torch(torch):
    for library, tensor, error in ((nn, mr.tensor, mr.errors.GraphError), (torch.nn, torch.tensor, RuntimeError)):
        layer = library.ReLU(inplace=True)
        layer.register_full_backward_hook(lambda module, gi, go: None)
        with pytest.raises(error, match=r"in-?\s?place"):
            layer(tensor([1.0, -1.0], requires_grad=True) * 2)


@pytest.mark.parametrize("kind", ["hook", "pre-hook"])
@pytest.mark.parametrize("wrong", [(), 3])
def test_a_wrong_number_of_gradients_is_refused(kind, wrong):
    layer = nn.Linear(2, 1)
    register = layer.register_full_backward_hook if kind == "hook" else layer.register_full_backward_pre_hook
    register(lambda *arguments: wrong)
    with pytest.raises(RuntimeError, match=f"a backward {kind} of Linear returned an invalid number of grad_"):
        layer(mr.ones(1, 2, requires_grad=True)).sum().backward()


def test_backward_hooks_of_an_output_that_is_no_tensor_are_told():
    class Dictionary(nn.Module):
        def forward(self, x):
            return {"y": x * 2}

    module = Dictionary()
    module.register_full_backward_hook(lambda module, gi, go: None)
    with pytest.warns(UserWarning, match=r"hooks of Dictionary are not called: its forward returned a dict"):
        module(mr.ones(1, requires_grad=True))


def test_hooks_leave_second_derivatives_right():
    x = mr.tensor(np.array([0.3, -1.2]), requires_grad=True)

    class Cube(nn.Module):
        def forward(self, x):
            return x * x * x

    module = Cube()
    module.register_full_backward_hook(lambda module, gi, go: None)
    (first,) = mr.grad(module(x), x, mr.tensor(np.array([1.0, 2.0])), create_graph=True)
    (second,) = mr.grad(first, x, mr.tensor(np.array([1.0, 1.0])))
    np.testing.assert_allclose(second.numpy(), 6 * x.numpy() * [1, 2], rtol=1e-12)


def test_a_graph_with_backward_hooks_can_run_twice_and_has_no_cycles():
    layer, seen = nn.Linear(2, 2), []
    layer.register_full_backward_hook(lambda module, gi, go: seen.append(gi[0].tolist()))
    x = mr.ones(1, 2, requires_grad=True)
    y = layer(x)
    y.backward(mr.ones(1, 2), retain_graph=True)
    y.backward(mr.ones(1, 2))
    assert seen[0] == seen[1]
    np.testing.assert_allclose(x.grad.numpy(), [2 * np.array(seen[0][0])], rtol=1e-6)
    gc.collect()
    gc.disable()
    try:
        y = layer(x)
        y.backward(mr.ones(1, 2))
        del y
        assert not [each for each in gc.get_objects() if type(each).__name__ in ("Gate", "Junction")]
    finally:
        gc.enable()


def test_no_hooks_are_called_where_nothing_is_recorded():
    layer = nn.Linear(2, 2)
    layer.register_full_backward_hook(lambda module, gi, go: None)
    with mr.no_grad():
        assert layer(mr.ones(1, 2)).node is None


# -- their place ------------------------------------------------------------------------------------------------------


def test_a_module_with_hooks_can_be_copied_and_pickled():
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(negative)
    x = mr.ones(1, 2)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert twin.has_hooks
        assert np.array_equal(twin(x).numpy(), layer(x).numpy())
    assert list(layer.state_dict()) == ["weight", "bias"]


def negative(module, args, output):
    return -output


def test_has_hooks_is_about_calls():
    layer = nn.ReLU()
    assert not layer.has_hooks
    layer.register_state_dict_pre_hook(lambda *arguments: None)
    assert not layer.has_hooks
    handle = layer.register_full_backward_hook(lambda *arguments: None)
    assert layer.has_hooks
    handle.remove()
    assert not layer.has_hooks


def test_a_call_without_hooks_does_nothing_but_forward(monkeypatch):
    monkeypatch.setattr("minires.nn.module.call_with_hooks", None)
    layer = nn.Linear(2, 2)
    layer.state_dict()
    assert layer(mr.ones(1, 2)).shape == (1, 2)


def test_the_code_of_the_page_runs():
    page = (Path(__file__).parents[2] / "docs" / "modules.md").read_text("utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(block, {})
