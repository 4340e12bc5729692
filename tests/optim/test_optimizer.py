"""What all optimisers share: groups, state that travels, errors that say what is wrong, gradients cut to a norm."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import minires as mr
from minires import nn, optim
from minires.errors import DtypeError, GraphError, NonFiniteError, ShapeError, WeightsError

KINDS = {
    "SGD": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
    "Adam": lambda params: optim.Adam(params, lr=0.01, weight_decay=0.1),
    "AdamW": lambda params: optim.AdamW(params, lr=0.01, amsgrad=True),
    "NAdam": lambda params: optim.NAdam(params, lr=0.01, weight_decay=0.1),
    "RAdam": lambda params: optim.RAdam(params, lr=0.01, betas=(0.9, 0.9)),
    "RMSprop": lambda params: optim.RMSprop(params, lr=0.01, momentum=0.5, centered=True),
    "Adagrad": lambda params: optim.Adagrad(params, lr=0.1, lr_decay=0.1),
    "Adadelta": lambda params: optim.Adadelta(params, weight_decay=0.1),
    "Adamax": lambda params: optim.Adamax(params, lr=0.01),
    "Rprop": lambda params: optim.Rprop(params, lr=0.01),
    "Lookahead": lambda params: optim.Lookahead(optim.SGD(params, lr=0.1, momentum=0.9), k=2, alpha=0.75),
}


def leaves():
    matrix = np.linspace(-1, 1, 6).reshape(2, 3)
    return [mr.tensor(matrix, requires_grad=True), mr.tensor([0.5, 2.0], requires_grad=True)]


def steps(optimizer, parameters, seeds):
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for parameter in parameters:
            parameter.grad = mr.tensor(rng.normal(size=parameter.shape), dtype=parameter.dtype)
        optimizer.step()


def arrays(state):
    return [{key: np.array(value) for key, value in each.items()} for each in state["state"]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_state_goes_on_identically(kind):
    parameters = leaves()
    optimizer = KINDS[kind](parameters)
    steps(optimizer, parameters, range(3))
    saved = optimizer.state_dict()
    saved["param_groups"] = json.loads(json.dumps(saved["param_groups"]))  # as a checkpoint does: tuples become lists
    values = [mr.tensor(parameter, requires_grad=True) for parameter in parameters]
    steps(optimizer, parameters, range(3, 6))

    other = KINDS[kind](values)
    other.param_groups[0]["lr"] = 77.0  # the saved one counts
    other.load_state_dict(saved)
    steps(other, values, range(3, 6))
    for parameter, value in zip(parameters, values, strict=True):
        assert np.array_equal(parameter.numpy(), value.numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_state_stays_as_it_was(kind):
    """Neither the optimiser it was taken from nor one it was loaded into writes into its arrays."""
    parameters = leaves()
    optimizer = KINDS[kind](parameters)
    steps(optimizer, parameters, range(2))
    saved = optimizer.state_dict()
    before = arrays(saved)
    steps(optimizer, parameters, range(2))
    others = leaves()
    other = KINDS[kind](others)
    other.load_state_dict(saved)
    steps(other, others, range(2))
    for state, was in zip(arrays(saved), before, strict=True):
        assert state.keys() == was.keys() != set()
        assert all(np.array_equal(state[key], was[key]) for key in was)


def test_the_first_velocity_is_not_the_gradient_itself():
    (x, _) = parameters = leaves()
    optimizer = optim.SGD(parameters, lr=0.1, momentum=0.9)
    steps(optimizer, parameters, [0])
    velocity = np.array(optimizer.state[0]["velocity"])
    optim.clip_grad_norm_([x], 1e-3)  # writes into the gradient
    assert np.array_equal(optimizer.state[0]["velocity"], velocity)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["state"].pop(), "1 parameters in 1 groups"),
        (lambda s: s["param_groups"].append({}), "2 parameters in 2 groups"),
        (lambda s: s["state"][0].update(velocity=np.zeros(6)), r"velocity of parameter 0 has shape \(6,\)"),
        (lambda s: s["state"][0].update(step=3), "parameter 0 has velocity, step; SGD keeps velocity"),
        (lambda s: s["state"][1].update(velocity=[1.0, 2.0]), "velocity of parameter 1 is a list, not an array"),
        (lambda s: s["param_groups"][0].update(lr=-3), "lr = -3 must not be negative, as it is in group 0"),
        (lambda s: s["param_groups"][0].update(momentum="much"), "momentum = 'much' must be a number"),
        (lambda s: s.clear(), "needs 'state' and 'param_groups'"),
        (lambda s: s.pop("state"), r"has the keys \['param_groups'\]; needs"),
        (
            lambda s: s.update(optim.Adam(leaves()).state_dict()),
            "SGD: group 0 of the saved state has the settings amsgrad, betas, decoupled_weight_decay, eps, lr, "
            "maximize, weight_decay; SGD has dampening, lr, maximize, momentum, nesterov, weight_decay",
        ),
    ],
)
def test_a_state_of_other_parameters_is_refused_and_nothing_changes(change, message):
    parameters = leaves()
    optimizer = KINDS["SGD"](parameters)
    steps(optimizer, parameters, range(2))
    before = arrays(optimizer.state_dict())
    saved = optimizer.state_dict()
    saved["param_groups"][0]["lr"] = 5.0
    change(saved)
    with pytest.raises(WeightsError, match=message):
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] == 0.1
    for state, was in zip(arrays(optimizer.state_dict()), before, strict=True):
        assert all(np.array_equal(state[key], was[key]) for key in was)


def test_groups_override_the_defaults():
    x, y = leaves()
    optimizer = optim.SGD([{"params": iter([x])}, {"params": [y], "lr": 0.5, "momentum": 0.0}], lr=0.1, momentum=0.9)
    assert [(group["lr"], group["momentum"]) for group in optimizer.param_groups] == [(0.1, 0.9), (0.5, 0.0)]
    assert [id(group["params"][0]) for group in optimizer.param_groups] == [id(x), id(y)]
    x0, y0 = x.numpy().copy(), y.numpy().copy()
    x.grad, y.grad = mr.tensor(np.ones((2, 3))), mr.tensor(np.ones(2, np.float32))
    optimizer.step()
    np.testing.assert_allclose(x.numpy(), x0 - 0.1)
    np.testing.assert_allclose(y.numpy(), y0 - 0.5, rtol=1e-6)
    optimizer.zero_grad()
    assert x.grad is None
    assert y.grad is None


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda x, y: optim.SGD([]), ValueError, "no parameters to train"),
        (lambda x, y: optim.SGD([{"params": []}]), ValueError, "no parameters to train"),
        (lambda x, y: optim.Adam([{"lr": 0.1}]), ValueError, "group 0 must be a dict with the key 'params'"),
        (lambda x, y: optim.Adam([{"params": [x]}, y]), ValueError, "group 1 must be a dict"),
        (lambda x, y: optim.SGD([{"params": [x], "learning_rate": 1}]), ValueError, "setting 'learning_rate'"),
        (lambda x, y: optim.SGD([x, x]), ValueError, "given twice"),
        (lambda x, y: optim.SGD([{"params": [x]}, {"params": [y, x]}]), ValueError, "given twice"),
        (lambda x, y: optim.SGD([x, np.ones(2)]), TypeError, "parameter 1 is a ndarray"),
        (lambda x, y: optim.SGD({"x": x}), TypeError, r"parameter 0 is a str.*model.parameters\(\)"),
        (lambda x, y: optim.SGD([x * 2]), ValueError, "parameter 0 is the result of <Multiply>"),
        (lambda x, y: optim.SGD([x], lr=-0.1), ValueError, "lr = -0.1 must not be negative"),
        (lambda x, y: optim.SGD([x], lr=math.nan), ValueError, "lr = nan"),
        (lambda x, y: optim.SGD(x), TypeError, r"SGD: got one Tensor.*pass a list, \[tensor\]"),
        (lambda x, y: optim.SGD(nn.Linear(2, 2)), TypeError, r"SGD: got a Linear: .*model\.parameters\(\)"),
        (lambda x, y: optim.SGD(p for p in []), ValueError, "no parameters to train"),
        (lambda x, y: optim.SGD([x], lr=True), ValueError, "lr = True must be a number, not a bool"),
        (lambda x, y: optim.SGD([x], lr="0.1"), ValueError, "lr = '0.1' must be a number, not a str"),
        (lambda x, y: optim.SGD([x], lr=np.float32(-1)), ValueError, "lr = -1.0 must not be negative"),
        (lambda x, y: optim.Adam([x], betas=0.9), ValueError, "Adam: betas 0.9 must be two numbers"),
        (lambda x, y: optim.Adam([x], betas=(0.9,)), ValueError, r"Adam: betas \(0.9,\) must be two numbers"),
        (lambda x, y: optim.Adam([x], betas=(0.9, math.nan)), ValueError, r"Adam: betas .*nan"),
        (lambda x, y: optim.Adam([x], betas=("a", "b")), ValueError, "Adam: betas = 'a' must be a number"),
        (lambda x, y: optim.clip_grad_norm_([x], -1.0), ValueError, "clip_grad_norm_: max_norm = -1.0 must not be neg"),
        (lambda x, y: optim.clip_grad_norm_([x], math.nan), ValueError, "clip_grad_norm_: max_norm = nan"),
        (lambda x, y: optim.clip_grad_norm_(nn.Linear(2, 2), 1.0), TypeError, r"model\.parameters\(\)"),
        (lambda x, y: optim.SGD([{"params": [x], "lr": -1}]), ValueError, "lr = -1 must not be negative"),
        (lambda x, y: optim.AdamW([x], weight_decay=-1), ValueError, "AdamW: weight_decay = -1"),
        (lambda x, y: optim.SGD([x], momentum=-0.1), ValueError, "momentum = -0.1"),
        (lambda x, y: optim.SGD([x], nesterov=True), ValueError, "Nesterov needs momentum"),
        (lambda x, y: optim.SGD([x], momentum=0.9, dampening=0.1, nesterov=True), ValueError, "no dampening"),
        (
            lambda x, y: optim.SGD([x], 0.1, 0.9, 1e-4),
            TypeError,
            r"name what comes after momentum.*0\.0001, is dampening",
        ),
        (lambda x, y: optim.SGD([x], momentum=0.9, nesterov=1e-4), ValueError, r"nesterov = 0\.0001 must be True"),
        (lambda x, y: optim.SGD([x], "0.1"), ValueError, r"SGD: lr = '0\.1' must be a number"),
        (lambda x, y: optim.SGD([x], momentum=None), ValueError, "momentum = None must be a number"),
        (lambda x, y: optim.Adam([x], eps="tiny"), ValueError, "eps = 'tiny' must be a number"),
        (lambda x, y: optim.Adam([x], betas=(0.9, 1.0)), ValueError, r"betas \(0.9, 1.0\)"),
        (lambda x, y: optim.Adam([x], eps=-1e-8), ValueError, "eps = -1e-08 must not be negative"),
    ],
)
def test_bad_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(*leaves())


@pytest.mark.parametrize(
    ("gradient", "error", "message"),
    [
        (mr.zeros(1), ShapeError, r"parameter 0 of group 1 has shape \(2,\), and its gradient \(1,\)"),
        (mr.zeros(2, 2), ShapeError, r"has shape \(2,\), and its gradient \(2, 2\)"),
        (mr.tensor(np.zeros(2)), DtypeError, "parameter 0 of group 1 has dtype float32, and its gradient float64"),
        (np.zeros(2, np.float32), DtypeError, "parameter 0 of group 1 has a ndarray as its gradient, not a Tensor"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_gradient_unlike_its_parameter_changes_nothing(kind, gradient, error, message):
    x, y = leaves()
    optimizer = KINDS[kind]([{"params": [x]}, {"params": [y]}])
    x.grad, y._grad = mr.tensor(np.ones((2, 3))), gradient  # `.grad` refuses it, but y.data may change afterwards
    before = x.tolist(), y.tolist()
    with pytest.raises(error, match=f"({kind}|SGD): .*{message}"):
        optimizer.step()
    assert (x.tolist(), y.tolist()) == before
    assert optimizer.state == [{}, {}]


def test_a_float32_parameter_stays_float32():
    x = mr.tensor(np.ones(3, np.float32), requires_grad=True)
    for kind in KINDS.values():
        optimizer = kind([x])
        steps(optimizer, [x], range(2))
        assert x.dtype == np.float32
        assert {value.dtype for value in optimizer.state[0].values() if hasattr(value, "dtype")} == {
            np.dtype("float32")
        }


def test_a_live_graph_does_not_stop_a_step_but_its_backward_names_the_op():
    """A validation output kept around: the step goes through, the output keeps its numbers, its gradient is refused."""
    mr.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    optimizer = optim.SGD(net.parameters(), lr=0.1)
    x = mr.tensor(np.random.default_rng(0).normal(size=(2, 1, 4, 4)).astype(np.float32), requires_grad=True)
    kept = net(x)
    was = kept.numpy().copy()
    net(x).sum().backward()
    before = net[0].weight.numpy().copy()
    optimizer.step()
    assert not np.array_equal(net[0].weight.numpy(), before)
    assert np.array_equal(kept.numpy(), was)
    with pytest.raises(GraphError, match=r"(BatchNorm|Conv2d).*changed in place after the forward pass"):
        kept.sum().backward()


def test_decay_groups_spare_biases_and_batch_norm():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    decayed, spared = optim.decay_groups(model, 0.1)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert [names[id(p)] for p in decayed["params"]] == ["0.weight", "3.weight"]
    assert [names[id(p)] for p in spared["params"]] == ["0.bias", "1.weight", "1.bias", "3.bias"]
    optim.SGD(optim.decay_groups(model, 0.1), lr=0.1)


class TestClipGradNorm:
    def gradients(self, scale=1.0):
        parameters = [*leaves(), mr.tensor([1.0], requires_grad=True)]  # the last has no gradient
        for seed, parameter in enumerate(parameters[:2]):
            gradient = np.random.default_rng(seed).normal(size=parameter.shape) * scale
            parameter.grad = mr.tensor(gradient, parameter.dtype)
        return parameters

    def test_scales_to_the_norm_and_returns_the_old_one(self):
        parameters = self.gradients()
        before = [np.array(parameter.grad, np.float64) for parameter in parameters[:2]]
        norm = math.sqrt(sum((gradient**2).sum() for gradient in before))
        assert optim.clip_grad_norm_(iter(parameters), 0.5) == pytest.approx(norm, rel=1e-12)
        for parameter, gradient in zip(parameters[:2], before, strict=True):
            np.testing.assert_allclose(parameter.grad.numpy(), gradient * 0.5 / (norm + 1e-6), rtol=1e-6)

    def test_a_millionth_is_added_to_the_norm(self):
        """It shows where the norm is as small: 1e-6 / (3e-6 + 1e-6) is a quarter, not a third."""
        x = mr.tensor(np.zeros(2), requires_grad=True)
        x.grad = mr.tensor(np.array([3e-6, 0.0]))
        assert optim.clip_grad_norm_([x], 1e-6) == pytest.approx(3e-6, rel=1e-12)
        np.testing.assert_allclose(x.grad.numpy(), [0.75e-6, 0], rtol=1e-12)

    def test_leaves_short_gradients_alone(self):
        parameters = self.gradients()
        before = [parameter.grad.numpy().tobytes() for parameter in parameters[:2]]
        optim.clip_grad_norm_(parameters, 1e3)
        assert [parameter.grad.numpy().tobytes() for parameter in parameters[:2]] == before

    @pytest.mark.parametrize(("max_norm", "scale"), [(0.5, 1.0), (100.0, 1.0), (1.0, 1e25)])
    def test_equals_torch(self, torch, max_norm, scale):
        ours = self.gradients(scale)
        theirs = [torch.tensor(parameter.numpy().copy(), requires_grad=True) for parameter in ours]
        for a, b in zip(ours[:2], theirs[:2], strict=True):
            b.grad = torch.tensor(np.array(a.grad, np.float64)).to(b.dtype)
        if scale == 1.0:
            expected = float(torch.nn.utils.clip_grad_norm_(theirs, max_norm))
            assert optim.clip_grad_norm_(ours, max_norm) == pytest.approx(expected, rel=1e-6)
            for a, b in zip(ours[:2], theirs[:2], strict=True):
                np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-6)
        else:  # float32 squares overflow in torch; ours are summed in float64
            assert math.isfinite(optim.clip_grad_norm_(ours, max_norm))
            assert optim.clip_grad_norm_(ours, max_norm) == pytest.approx(max_norm, rel=1e-5)

    @pytest.mark.parametrize(("p", "norm"), [(1, 14.0), (2.0, 10.0), (math.inf, 8.0), (np.float32(3), 728 ** (1 / 3))])
    def test_other_norms_stand_where_torch_has_them(self, p, norm):
        x = mr.tensor([0.0, 0.0], requires_grad=True)
        x.grad = mr.tensor([-6.0, 8.0])
        assert optim.clip_grad_norm_([x], 1.0, p) == pytest.approx(norm)
        np.testing.assert_allclose(x.grad.tolist(), [-6 / norm, 8 / norm], rtol=1e-5)
        for bad in (True, 0, -1, math.nan, "inf"):
            with pytest.raises(ValueError, match="clip_grad_norm_: norm_type = "):
                optim.clip_grad_norm_([x], 1.0, bad)

    def test_a_nan_is_reported_on_request(self):
        parameters = self.gradients()
        parameters[1].grad = mr.tensor(np.array([np.nan, 1], np.float32))
        with pytest.raises(NonFiniteError, match="the gradients' norm is nan"):
            optim.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
        assert parameters[0].grad.numpy().max() < 10
        optim.clip_grad_norm_(parameters, 1.0)  # else it spreads, as in torch
        assert np.isnan(parameters[0].grad.numpy()).all()

    def test_one_tensor_is_taken_like_a_list_of_one(self):
        x = self.gradients()[0]
        optim.clip_grad_norm_(x, 0.001)
        assert np.linalg.norm(x.grad.numpy()) == pytest.approx(0.001, rel=1e-5)

    def test_an_infinity_makes_no_numpy_warning(self, torch):
        """Warnings are errors in these tests."""
        ours = mr.tensor([1.0, 2.0], requires_grad=True)
        theirs = torch.tensor([1.0, 2.0], requires_grad=True)
        ours.grad, theirs.grad = mr.tensor([math.inf, 3.0]), torch.tensor([math.inf, 3.0])
        assert optim.clip_grad_norm_(ours, 1.0) == float(torch.nn.utils.clip_grad_norm_(theirs, 1.0)) == math.inf
        np.testing.assert_array_equal(ours.grad.numpy(), theirs.grad.numpy())
        ours = mr.tensor(np.array([1.0, 2.0]), requires_grad=True)
        ours.grad = mr.tensor(np.array([1e200, 0.0]))  # its square is too large for float64
        assert optim.clip_grad_norm_(ours, 1.0) == math.inf

    def test_a_gradient_that_a_graph_keeps_is_replaced_not_written(self):
        x = mr.tensor([3.0, 4.0], requires_grad=True)
        (x * x).sum().backward(create_graph=True)
        product = x.grad * x.grad  # keeps the gradient's array
        was = product.numpy().copy()
        optim.clip_grad_norm_([x], 1.0)
        assert np.array_equal(product.numpy(), was)
        assert np.linalg.norm(x.grad.numpy()) == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, lambda value: np.array(value)])
def test_numpys_numbers_become_pythons(kind):
    """So that the state can be written as JSON, and the arrays of the state stay float32."""
    for given in (
        lambda p, f: optim.SGD(p, lr=f(0.5), momentum=f(0.25), weight_decay=f(0.125), dampening=f(0.5)),
        lambda p, f: optim.Adam(p, lr=f(0.5), betas=(f(0.5), f(0.75)), eps=f(0.125), weight_decay=f(0.25)),
        lambda p, f: optim.AdamW([{"params": p, "lr": f(0.5)}], betas=[f(0.5), f(0.75)]),
    ):
        results = []
        for f in (kind, float):
            p = mr.tensor([1.0, -2.0], requires_grad=True)
            optimizer = given([p], f)
            for _ in range(3):
                p.grad = mr.tensor([0.5, 0.25])
                optimizer.step()
                optimizer.param_groups[0]["lr"] = f(0.25)  # as a loop of the user's own sets it
            json.dumps(optimizer.state_dict()["param_groups"])
            state = [value for value in optimizer.state[0].values() if hasattr(value, "dtype")]
            assert {array.dtype for array in state} == {np.dtype(np.float32)}
            results.append(p.tolist())
        assert results[0] == results[1]


def test_settings_that_a_loop_spoils_are_refused_before_anything_changes():
    p = mr.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.1)
    p.grad = mr.tensor([1.0])
    for bad in (math.nan, -0.1, None):
        optimizer.param_groups[0]["lr"] = bad
        with pytest.raises(ValueError, match="SGD: lr = "):
            optimizer.step()
    assert p.item() == 1.0


def test_a_parameter_that_is_listed_twice_is_clipped_once():
    p = mr.tensor([3.0, 4.0], requires_grad=True)
    p.grad = mr.tensor([3.0, 4.0])
    assert optim.clip_grad_norm_([p, p], 1.0) == 5.0
    np.testing.assert_allclose(p.grad.tolist(), [0.6, 0.8], rtol=1e-5)


def test_a_setting_with_a_wrong_name_is_not_taken_silently():
    p = mr.tensor([1.0], requires_grad=True)
    optimizer = optim.SGD([p], lr=0.1)
    optimizer.param_groups[0]["learning_rate"] = 1.0
    with pytest.raises(ValueError, match=r"SGD: a group has settings that it does not know: \['learning_rate'\]"):
        optimizer.step()


@pytest.mark.parametrize(("step", "message"), [(-1, "step of parameter 0 is -1"), ("2", "step of parameter 0 is '2'")])
def test_a_saved_step_that_is_no_count_is_refused(step, message):
    parameters = leaves()
    optimizer = optim.Adam(parameters)
    steps(optimizer, parameters, range(1))
    saved = optimizer.state_dict()
    saved["state"][0]["step"] = step
    with pytest.raises(WeightsError, match=message):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "Lookahead"])
def test_the_state_of_a_version_without_the_later_settings_goes_on(kind):
    """Settings that came later have the value that they had: a maximize of this optimiser is not taken for theirs."""
    parameters = leaves()
    optimizer = KINDS[kind](parameters)
    steps(optimizer, parameters, range(2))
    saved = optimizer.state_dict()
    later = {key: value for key, value in optimizer.later_settings.items() if key in saved["param_groups"][0]}
    for key in later:
        del saved["param_groups"][0][key]
    optimizer.param_groups[0].update(maximize=True)
    optimizer.load_state_dict(saved)
    assert {key: optimizer.param_groups[0][key] for key in later} == later
    assert later["maximize"] is False


class TestAddParamGroup:
    def test_it_is_trained_with_its_settings_as_in_torch(self, torch):
        results = []
        for package in (mr, torch):
            x, y = (package.tensor([1.0, 2.0]).requires_grad_(True) for _ in range(2))
            optimizer = package.optim.Adam([x], lr=0.1)
            for t in range(4):
                if t == 2:
                    optimizer.add_param_group(
                        {"params": y, "lr": 0.5, "betas": (0.5, 0.5)}
                    )  # one Tensor, as torch has it
                for p in (x, y):
                    p.grad = package.tensor([1.0, -3.0]) * (t + 1)
                optimizer.step()
            results.append([*x.tolist(), *y.tolist()])
        assert results[0] == pytest.approx(results[1], rel=1e-6)

    @pytest.mark.parametrize(
        ("group", "error", "message"),
        [
            (lambda x, y: [y], TypeError, "SGD: add_param_group needs a dict with the key 'params', got a list"),
            (lambda x, y: {"lr": 0.1}, ValueError, "group 1 must be a dict with the key 'params'"),
            (lambda x, y: {"params": [y, x]}, ValueError, "given twice"),
            (lambda x, y: {"params": {y}}, TypeError, "in a set, whose order varies: pass a list"),
            (
                lambda x, y: {"params": nn.Linear(1, 1)},
                TypeError,
                r"a Linear: pass its parameters, model\.parameters\(\)",
            ),
            (lambda x, y: {"params": [y * 2]}, ValueError, "parameter 1 is the result of <Multiply>"),
            (lambda x, y: {"params": [y], "lr": -1}, ValueError, "lr = -1 must not be negative"),
            (
                lambda x, y: {"params": [y], "rate": 1},
                ValueError,
                "group 1 has a setting 'rate' that SGD does not know",
            ),
        ],
    )
    def test_what_the_constructor_refuses_is_refused_and_nothing_changes(self, group, error, message):
        x, y = leaves()
        optimizer = optim.SGD([x])
        with pytest.raises(error, match=message):
            optimizer.add_param_group(group(x, y))
        assert (len(optimizer.param_groups), len(optimizer.state)) == (1, 1)


def test_a_closure_computes_the_gradients_and_its_loss_is_returned():
    x = mr.tensor([3.0], requires_grad=True)
    optimizer = optim.SGD([x], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = (x * x).sum()
        loss.backward()
        return loss

    with mr.no_grad():  # the closure records all the same
        assert optimizer.step(closure).item() == 9.0
    assert x.item() == 0.0
    assert optimizer.step() is None


def test_zero_grad_writes_zeros_on_request():
    x = mr.tensor([3.0], requires_grad=True)
    optimizer = optim.SGD([x])
    (x * x).sum().backward(create_graph=True)
    optimizer.zero_grad(set_to_none=False)
    assert (x.grad.tolist(), x.grad.requires_grad) == ([0.0], False)
    optimizer.zero_grad()
    assert x.grad is None
    with pytest.raises(ValueError, match="set_to_none = 1 must be True or False"):
        optimizer.zero_grad(set_to_none=1)


def test_an_optimizer_shows_its_groups(torch):
    ours, theirs = optim.Adagrad([mr.ones(1)]), torch.optim.Adagrad([torch.ones(1)])
    assert repr(ours).splitlines()[:2] == repr(theirs).splitlines()[:2] == ["Adagrad (", "Parameter Group 0"]
    assert set(repr(ours).splitlines()) - set(repr(theirs).splitlines()) == {
        *(
            "    lr_decay: 0.0",
            "    weight_decay: 0.0",
            "    initial_accumulator_value: 0.0",
        )  # torch's defaults are ints
    }


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: optim.SGD([x], maximize=1), "SGD: maximize = 1 must be True or False"),
        (lambda x: optim.Adam([x], amsgrad="yes"), "Adam: amsgrad = 'yes' must be True or False"),
        (lambda x: optim.RMSprop([x], centered=None), "RMSprop: centered = None must be True or False"),
        (lambda x: optim.RMSprop([x], alpha=-0.1), "RMSprop: alpha = -0.1 must not be negative"),
        (lambda x: optim.RMSprop([x], momentum=-0.1), "RMSprop: momentum = -0.1 must not be negative"),
        (lambda x: optim.Adagrad([x], lr_decay=-1), "Adagrad: lr_decay = -1 must not be negative"),
        (lambda x: optim.Adagrad([x], initial_accumulator_value=-1), "initial_accumulator_value = -1 must not be neg"),
        (lambda x: optim.Adadelta([x], rho=1.5), "Adadelta: rho = 1.5 must be between 0 and 1"),
        (lambda x: optim.Adamax([x], betas=(0.9, 1)), r"Adamax: betas \(0.9, 1\) must be two numbers in \[0, 1\)"),
        (lambda x: optim.NAdam([x], momentum_decay=-1), "NAdam: momentum_decay = -1 must not be negative"),
        (lambda x: optim.RAdam([x], eps=-1), "RAdam: eps = -1 must not be negative"),
        (lambda x: optim.Rprop([x], etas=(0.5,)), r"Rprop: etas \(0.5,\) must be two numbers"),
        (lambda x: optim.Rprop([x], etas=(0.5, 0.9)), "must be 0 < η₋ < 1 < η₊"),
        (lambda x: optim.Rprop([x], step_sizes=(2, 1)), "must be least, most"),
    ],
)
def test_settings_of_the_other_optimizers_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make(mr.ones(2))


def test_rmsprop_of_a_constant_gradient_is_finite():
    """v − ḡ² of a constant gradient is rounded to either side of 0: torch's square root is NaN then."""
    x = mr.tensor(np.full(100, 2.0, np.float32), requires_grad=True)
    optimizer = optim.RMSprop([x], alpha=0.5, centered=True)
    for _ in range(100):
        x.grad = mr.tensor(np.linspace(0.1, 0.9, 100, dtype=np.float32))
        optimizer.step()
        assert np.isfinite(x.numpy()).all()


def test_a_setting_that_a_loop_turns_on_begins_from_there():
    x = mr.tensor([1.0], requires_grad=True)
    for optimizer, change in (
        (optim.Adam([x]), {"amsgrad": True}),
        (optim.RMSprop([x]), {"centered": True, "momentum": 0.9}),
        (optim.SGD([x]), {"momentum": 0.9, "nesterov": True}),
    ):
        for _ in range(2):
            x.grad = mr.tensor([1.0])
            optimizer.step()
            optimizer.param_groups[0].update(change)
        assert math.isfinite(x.item())
