"""What gradcheck takes, what it gives back, and that it leaves everything as it found it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minires as mr
from minires import functional as F
from minires import nn
from minires.core.function import Function
from minires.core.random import default_generator, get_state
from minires.errors import GradcheckError, GraphError, MiniResError
from minires.gradcheck import Report, Verdict, gradcheck


def normal(*shape: int, seed: int = 0, **options: Any) -> mr.Tensor:
    return mr.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True, **options)


class Doubled(Function):
    """x³, whose backward is twice what it should be."""

    def forward(self, x: np.ndarray) -> np.ndarray:
        return x**3

    def backward(self, g: mr.Tensor) -> mr.Tensor:
        return g * 6 * self.inputs[0] ** 2


def doubled(x: mr.Tensor) -> mr.Tensor:
    return Doubled()(x)


# -- what f may be ---------------------------------------------------------------------------------------------------


OUTPUTS: dict[str, Callable[[mr.Tensor], Any]] = {
    "one": lambda x: x.exp(),
    "a scalar": lambda x: (x * x).sum(),
    "several": lambda x: (x.exp(), x * x, x.sum()),
    "a list": lambda x: [x.exp(), x * 2],
    "integers among them": lambda x: (x * 2, x.argmax(), x.detach() > 0),
    "an empty one among them": lambda x: (x[:0], x.tanh()),
    "the input itself": lambda x: x,
    "the same twice": lambda x: (x, x),
    "one that no input reaches": lambda x: (x.exp(), mr.tensor(np.ones(3))),
}


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("order", [1, 2])
def test_outputs(name, order):
    assert gradcheck(OUTPUTS[name], normal(3), order=order).check().verdict is Verdict.PASS


@pytest.mark.parametrize(
    "output", [None, 1.0, {"y": 1}, np.ones(3), "y"], ids=["None", "a float", "a dict", "an array", "a string"]
)
def test_outputs_that_are_no_tensors(output):
    with pytest.raises(GraphError, match="f must return a Tensor or several, not a"):
        gradcheck(lambda x: output, normal(3))


def test_integers_alone_are_not_differentiable():
    with pytest.raises(GraphError, match="no Tensor of a floating-point dtype"):
        gradcheck(lambda x: x.argmax(), normal(3))


@pytest.mark.parametrize("order", [1, 2])
def test_f_that_depends_on_nothing_is_vacuous(order):
    report = gradcheck(lambda x: mr.tensor(np.ones(3)), normal(3), order=order)
    assert report.verdict is Verdict.VACUOUS
    assert not report
    assert "f does not depend on it" in str(report)


def test_an_input_that_is_not_used_is_a_note():
    report = gradcheck(lambda x, y: x.exp(), [normal(3), normal(2)]).check()
    assert [array.note for array in report.arrays] == ["", "f does not depend on it"]
    assert not report.arrays[1].elements
    assert not gradcheck(lambda x, y: y.detach(), [normal(3), normal(2)])


def test_an_error_in_f_is_the_users():
    with pytest.raises(ZeroDivisionError):
        gradcheck(lambda x: x * (1 / 0), normal(3))


# -- what the inputs may be ------------------------------------------------------------------------------------------


INPUTS: dict[str, Any] = {
    "a tensor": normal(3, 2),
    "an array": np.random.default_rng(0).normal(size=(3, 2)),
    "no axes": mr.tensor(0.7, dtype="float64", requires_grad=True),
    "an array of no axes": np.array(0.7),
    "not contiguous": mr.tensor(np.random.default_rng(0).normal(size=(4, 6))[::2, ::-1].T, requires_grad=True),
    "an array that is not contiguous": np.random.default_rng(0).normal(size=(4, 6))[::2, ::-1].T,
    "a list of one": [normal(3)],
    "a tuple of one": (normal(3),),
    "float32": mr.tensor(np.array([0.5, -1.0], np.float32), requires_grad=True),
    "tiny": normal(3, seed=1).detach() * 1e-8,
    "huge negative": mr.tensor(np.array([-1e8, -1e3, 0.5]), requires_grad=True),
    "of all scales": mr.tensor(np.array([1e-8, 1e-3, 0.5, 300.0]), requires_grad=True),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs(name):
    assert gradcheck(lambda x: x.exp() + x * x, INPUTS[name]).check()


def test_an_empty_array_is_no_evidence():
    report = gradcheck(F.exp, np.ones((0, 3)))
    assert not report
    assert "empty" in str(report)
    assert "nothing passed" in str(report)


def test_an_empty_array_beside_a_full_one():
    report = gradcheck(lambda a, b: a.sum() + b, [np.ones((0, 3)), np.ones(3)])
    assert [array.note for array in report.arrays] == ["empty", ""]
    assert report


def test_only_what_requires_gradients_is_checked():
    report = gradcheck(F.multiply, [normal(3), mr.tensor(np.ones(3))])
    assert [array.name for array in report.arrays] == ["input"]


def test_all_floating_point_inputs_if_none_requires_gradients():
    report = gradcheck(lambda x, i, y: x[i] * y, [np.ones(3), np.array([0, 2]), np.ones(2)])
    assert [array.name for array in report.arrays] == ["x", "y"]
    assert report


@pytest.mark.parametrize(
    "inputs", [1.0, None, [[1.0, 2.0]], "x", {"x": np.ones(3)}], ids=["a float", "None", "a list", "a string", "a dict"]
)
def test_inputs_that_are_no_arrays(inputs):
    with pytest.raises(MiniResError, match=r"an input is a .*give Tensors, arrays or Modules"):
        gradcheck(F.exp, inputs)


def test_nothing_to_differentiate_by():
    with pytest.raises(MiniResError, match="nothing to differentiate by"):
        gradcheck(lambda x: x * 1.0, mr.tensor(np.arange(3)))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_point_where_f_is_not_finite_proves_nothing(value):
    report = gradcheck(F.exp, np.array([1.0, value]))
    assert report.verdict in (Verdict.VACUOUS, Verdict.WRONG)
    assert not report
    assert "not finite" in str(report)


# -- names -----------------------------------------------------------------------------------------------------------


def names(report: Report) -> list[str]:
    return [array.name for array in report.arrays]


def test_names_from_the_signature():
    assert names(gradcheck(lambda weight, bias: weight * bias, [normal(2), normal(2)])) == ["weight", "bias"]
    assert names(gradcheck(lambda first, *rest: first * rest[0], [normal(2), normal(2)])) == ["first", "input 1"]
    assert names(gradcheck(F.multiply, [normal(2), normal(2)])) == ["input", "other"]


def test_names_that_are_given():
    assert names(gradcheck(F.multiply, [normal(2), normal(2)], names=["a", "b"])) == ["a", "b"]


@pytest.mark.parametrize("given", [["a"], ["a", "b", "c"]])
def test_names_of_another_number(given):
    with pytest.raises(MiniResError, match=rf"{len(given)} names for 2 inputs"):
        gradcheck(F.multiply, [normal(2), normal(2)], names=given)


# -- modules ---------------------------------------------------------------------------------------------------------


def test_a_module_is_checked_by_its_parameters_and_its_input():
    report = gradcheck(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), normal(4, 3)).check()
    assert names(report) == ["0.weight", "0.bias", "input"]
    assert report.settings["dtype"] == "float64"


def test_a_module_among_the_inputs():
    report = gradcheck(lambda net, x: net(x).exp(), [nn.Linear(3, 2), normal(4, 3)]).check()
    assert names(report) == ["weight", "bias", "x"]


def test_frozen_parameters_are_not_checked():
    net = nn.Linear(3, 2)
    net.weight.requires_grad_(False)
    assert names(gradcheck(net, normal(4, 3)).check()) == ["bias", "input"]
    assert not net.weight.requires_grad


def test_a_frozen_parameter_does_not_hide_a_wrong_gradient():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, x: mr.Tensor) -> mr.Tensor:
            return doubled(self.linear(x))

    net = Net()
    net.linear.weight.requires_grad_(False)
    assert gradcheck(net, normal(4, 3)).verdict is Verdict.WRONG


# -- the report ------------------------------------------------------------------------------------------------------


def test_a_wrong_gradient():
    report = gradcheck(doubled, normal(2, 3))
    assert not report
    assert report.verdict is Verdict.WRONG
    (array,) = report.arrays
    assert array.count(Verdict.WRONG) == 6
    worst = array.worst_element
    assert worst is not None
    assert worst.analytic == pytest.approx(2 * worst.numeric)
    assert worst.error < 1e-9 * abs(worst.numeric)
    assert worst.left is not None
    assert array.curve is not None
    text = str(report)
    assert "WRONG" in text
    assert f"WRONG at {list(worst.index or ())}" in text
    assert "factor 2" in array.guess
    with pytest.raises(GradcheckError, match="doubled: WRONG") as caught:
        report.check()
    assert caught.value.report is report


def test_raise_exception():
    with pytest.raises(GradcheckError, match="WRONG"):
        gradcheck(doubled, normal(2), raise_exception=True)
    assert gradcheck(F.exp, normal(2), raise_exception=True)


@pytest.mark.parametrize("point", [[1.0, 2.0], [0.0, -1.0], [np.nan, 1.0], [np.inf, 0.0]])
@pytest.mark.parametrize("f", [doubled, F.relu, F.log], ids=["doubled", "relu", "log"])
def test_as_dict_is_json(f, point):
    report = gradcheck(f, np.array(point))
    plain = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert plain["verdict"] == report.verdict.value
    assert plain["passed"] is bool(report)
    assert [array["name"] for array in plain["arrays"]] == names(report)


def test_the_same_seed_gives_the_same_report():
    first, second, other = (gradcheck(doubled, normal(3), seed=seed).as_dict() for seed in (3, 3, 4))
    assert first == second
    assert first != other


# -- everything is left as it was ------------------------------------------------------------------------------------


def network() -> nn.Module:
    mr.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.3))
    net.train()
    for k, parameter in enumerate(net.parameters()):
        parameter.grad = mr.tensor(np.full(parameter.shape, k, np.float32))
    return net


def state_of(net: nn.Module) -> list[tuple[Any, ...]]:
    """Of each parameter and buffer: identities and bytes."""
    return [
        (
            name,
            id(each),
            id(each.data),
            each.data.tobytes(),
            each.data.flags.writeable,
            each.dtype,
            each.version,
            each.requires_grad,
            each.node,
            id(each.grad),
            None if each.grad is None else each.grad.data.tobytes(),
        )
        for name, each in [*net.named_parameters(), *net.named_buffers()]
    ]


@pytest.mark.parametrize(
    "options",
    [{}, pytest.param({"order": 2}, marks=pytest.mark.slow), {"provider": "reference"}, {"check_forward": True}],
    ids=str,
)
def test_a_network_is_left_as_it_was(options):
    net, x = network(), normal(4, 2, 3, 3)
    before, modes, random, given = state_of(net), [m.training for m in net.modules()], get_state(), x.data.copy()
    generator = default_generator()
    gradcheck(net, x, fast_mode=True, **options).check()
    assert state_of(net) == before
    assert [m.training for m in net.modules()] == modes
    assert get_state() == random
    assert default_generator() is generator
    assert np.array_equal(x.data, given)
    assert x.grad is None
    assert x.requires_grad


def test_a_network_that_f_closes_over_is_left_as_it_was():
    net, x = nn.BatchNorm2d(2).to(dtype="float64"), normal(4, 2, 3, 3)
    before = state_of(net)
    gradcheck(lambda x: net(x), x, fast_mode=True).check()
    assert state_of(net) == before


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 5, 8, 13, 21])
def test_everything_is_left_as_it_was_when_f_raises(calls):
    net, x = network(), normal(4, 2, 3, 3)
    before, random, given = state_of(net), get_state(), x.data.copy()
    left = [calls]

    def f(net: nn.Module, x: mr.Tensor) -> mr.Tensor:
        y = net(x)
        left[0] -= 1
        if left[0] < 0:
            raise KeyError("f")
        return y

    with pytest.raises(KeyError):
        gradcheck(f, [net, x])
    assert state_of(net) == before
    assert get_state() == random
    assert np.array_equal(x.data, given)
    assert (normal(1) * 2).requires_grad


def test_an_f_that_writes_into_its_tensors_is_undone():
    counter = mr.tensor(np.zeros(2))

    def f(x: mr.Tensor, steps: mr.Tensor) -> mr.Tensor:
        counter.assign_(counter.data + 1)
        steps.assign_(steps.data + 1)
        return x.exp()

    steps = mr.tensor(np.arange(3))
    array, version = counter.data, counter.version
    gradcheck(f, [normal(3), steps]).check()
    assert counter.data is array
    assert counter.version == version
    assert counter.numpy().tolist() == [0, 0]
    assert steps.numpy().tolist() == [0, 1, 2]


def test_arrays_of_the_user_stay_writeable_and_the_same():
    x = np.random.default_rng(0).normal(size=(3, 3))
    copy = x.copy()
    gradcheck(F.exp, x)
    assert x.flags.writeable
    assert np.array_equal(x, copy)


# -- randomness ------------------------------------------------------------------------------------------------------


def test_the_mask_of_dropout_is_frozen():
    report = gradcheck(lambda x: F.dropout(x * x, 0.5), normal(40)).check()
    zero = sum(element.numeric == 0 for array in report.arrays for element in array.elements)
    assert 5 < zero < 35


def test_noise_of_the_threads_generator_is_frozen():
    assert gradcheck(lambda x: x * float(default_generator().normal()), normal(3)).check()


def random_factor(rng: np.random.Generator) -> Callable[[mr.Tensor], mr.Tensor]:
    return lambda x: F.relu(x * float(rng.normal()))


def random_shape(rng: np.random.Generator) -> Callable[[mr.Tensor], mr.Tensor]:
    count = iter(range(10**6))
    return lambda x: x[: 1 + next(count) % 3]


def random_path(rng: np.random.Generator) -> Callable[[mr.Tensor], mr.Tensor]:
    count = iter(range(10**6))
    return lambda x: x.exp() if next(count) % 2 else F.relu(x).tanh()


@pytest.mark.parametrize("make", [random_factor, random_shape, random_path])
@pytest.mark.parametrize("order", [1, 2])
def test_an_f_that_gives_two_answers_is_reported(make, order):
    report = gradcheck(make(np.random.default_rng(0)), normal(5), order=order)
    assert not report
    assert not report.deterministic
    assert "not deterministic" in str(report)
    assert report.verdict in (Verdict.VACUOUS, Verdict.WRONG)


def test_a_backward_that_gives_two_answers_is_reported():
    rng = np.random.default_rng(0)

    class Noisy(Function):
        def forward(self, x: np.ndarray) -> np.ndarray:
            return x**2

        def backward(self, g: mr.Tensor) -> mr.Tensor:
            return 2 * g * self.inputs[0] * (1 + 1e-5 * float(rng.normal()))

    report = gradcheck(lambda x: Noisy()(x), normal(5))
    assert not report
    assert not report.deterministic
    assert "the gradient differs" in str(report)


def test_nondet_tol():
    rng = np.random.default_rng(0)

    def f(x: mr.Tensor) -> mr.Tensor:
        return x * (1 + 1e-12 * float(rng.normal()))

    assert not gradcheck(f, normal(5)).deterministic
    assert gradcheck(f, normal(5), nondet_tol=1e-9, rtol=1e-3).check().deterministic
